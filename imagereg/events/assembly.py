"""Put together what tells events.  Source: contract config 9."""

from dataclasses import dataclass
from pathlib import Path

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


@dataclass(frozen=True)
class Journals:
    """The files that are appended to, those of them that are wanted."""

    events: Journal | None = None
    audit: Journal | None = None

    def close(self) -> None:
        """Close them."""
        for journal in (self.events, self.audit):
            if journal is not None:
                journal.close()


def open_journals(settings: Settings) -> Journals:
    """Open the files that are appended to.

    Raises:
        ConfigurationError: with each one that cannot be written to.
    """
    own = settings.imagereg
    faults: list[str] = []
    opened = Journals(
        _open("event_log", own.event_log, faults, sync=True),
        _open("audit_log", own.audit_log, faults, sync=own.audit_fsync),
    )
    if faults:
        opened.close()
        raise ConfigurationError(faults)
    return opened


def _open(
    option: str, path: Path | None, faults: list[str], *, sync: bool
) -> Journal | None:
    if path is None:
        return None
    try:
        return Journal(path, sync=sync)
    except OSError as error:
        faults.append(f"[imagereg] {option}: {error.strerror}")
        return None


def make_delivery(
    settings: Settings, engine: Engine, journal: Journal | None
) -> Delivery | None:
    """Return what tells events, None where nobody is told."""
    own = settings.imagereg
    sinks: dict[str, Sink] = {}
    if journal is not None:
        sinks[LOG] = LogSink(journal)
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
