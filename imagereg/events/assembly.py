"""Put together what tells events.  Source: contract config 9."""

from imagereg.db.engine import Engine
from imagereg.db.leases import LeaseRepository
from imagereg.db.outbox import EventRepository
from imagereg.errors import ConfigurationError
from imagereg.events.delivery import Bounds, Delivery, is_teller_gone
from imagereg.events.journal import Journal
from imagereg.events.sinks import LogSink, Sink, Webhook
from imagereg.images.processes import worker_name
from imagereg.settings import Settings

#: The names under which events are written down for each sink.
LOG = "log"
WEBHOOK = "webhook"


def make_delivery(settings: Settings, engine: Engine) -> Delivery | None:
    """Return what tells events, None where nobody is told.

    Raises:
        ConfigurationError: the file of events cannot be written to.
    """
    own = settings.imagereg
    sinks: dict[str, Sink] = {}
    if own.event_log is not None:
        try:
            sinks[LOG] = LogSink(Journal(own.event_log, sync=True))
        except OSError as error:
            fault = f"[imagereg] event_log: {error.strerror}"
            raise ConfigurationError([fault]) from error
    if own.event_webhook is not None:
        sinks[WEBHOOK] = Webhook(
            own.event_webhook, own.event_webhook_secret, own.event_webhook_timeout
        )
    if not sinks:
        return None
    return Delivery(
        EventRepository(engine),
        LeaseRepository(engine, is_teller_gone),
        sinks,
        Bounds(own.event_attempts, own.event_max_age, own.event_max_pending),
        worker_name,
    )
