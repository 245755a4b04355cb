"""Logs: one line an event, to standard error or a file.

Every line of a request carries its id.  Tokens, passwords and signed URLs are never
logged, because no code hands them to a logger.
"""

import logging
import sys

from flask import g, has_app_context

from imagereg.settings import Settings
from imagereg.settings.pending import pending

_FORMAT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


class _RequestId(logging.Filter):
    """Adds the id of the request that is being answered, or a dash."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the id and let every record through."""
        record.request_id = g.get("request_id", "-") if has_app_context() else "-"
        return True


def configure_logging(settings: Settings) -> None:
    """Send log lines where the configuration says, and say what it warns of."""
    base = settings.default
    handler: logging.Handler
    if base.log_file is not None:
        handler = logging.FileHandler(base.log_file, encoding="utf-8")
    else:
        handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_RequestId())
    handler.setFormatter(logging.Formatter(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if base.debug else logging.INFO)
    log = logging.getLogger("imagereg.configuration")
    for warning in (*settings.warnings, *pending(settings)):
        log.warning("%s", warning)
