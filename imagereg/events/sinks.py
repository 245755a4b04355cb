"""Where events go: a file, or somebody's URL.

The URL is the operator's own word, like that of the database: it may lie on a private
address, and the filter for addresses that users name does not apply to it.
"""

import hashlib
import hmac
import time
from collections.abc import Sequence
from typing import Protocol

import urllib3
from urllib3.util import make_headers, parse_url

from imagereg.db.outbox import PendingEvent
from imagereg.events.journal import Journal

#: Carries the time of the attempt, in seconds, and what proves who sent it.
SIGNATURE_HEADER = "X-Imagereg-Signature"

_TYPE = "application/cloudevents+json; charset=UTF-8"

#: Refusals of everything, not of this one event.
_BUSY = (408, 425, 429)


class Undelivered(Exception):
    """An event was not taken.

    Attributes:
        told: how many events before it were.
        is_down: the sink takes none just now, so others need not be tried.
    """

    def __init__(self, reason: str, told: int, *, is_down: bool) -> None:
        self.told = told
        self.is_down = is_down
        super().__init__(reason)


class Sink(Protocol):
    """Takes events, at least once each."""

    #: How many it is told at a time.
    at_once: int

    def tell(self, events: Sequence[PendingEvent]) -> None:
        """Return when these events are safe.  Raises `Undelivered`."""


class LogSink:
    """Appends events to a file of JSON lines, safe on the disk."""

    at_once = 100

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def tell(self, events: Sequence[PendingEvent]) -> None:
        """Append events, one line each."""
        try:
            self._journal.append(event.document for event in events)
        except OSError as error:
            raise Undelivered(str(error.strerror), 0, is_down=True) from error


class Webhook:
    """Posts events to a URL, one at a time and in CloudEvents' structured mode.

    Redirects are not followed.  With a secret each request is signed: the header
    reads ``t=<seconds since 1970>,v1=<hex>``, and the hex digits are HMAC-SHA256,
    with the secret as key, of ``<seconds>.`` and the body.
    """

    at_once = 1

    def __init__(self, url: str, secret: str | None, timeout_s: float) -> None:
        parts = parse_url(url)
        self._url = parts._replace(auth=None).url
        self._secret = secret.encode() if secret else None
        self._headers = {"Content-Type": _TYPE, "User-Agent": "imagereg"}
        if parts.auth:
            self._headers |= make_headers(basic_auth=parts.auth)
        self._http = urllib3.PoolManager(
            timeout=timeout_s, retries=False, num_pools=1, maxsize=1
        )

    def tell(self, events: Sequence[PendingEvent]) -> None:
        """Post events."""
        for told, event in enumerate(events):
            headers = {**self._headers, **self._signature(event.document)}
            try:
                answer = self._http.request(
                    "POST",
                    self._url,
                    body=event.document,
                    headers=headers,
                    redirect=False,
                )
            except urllib3.exceptions.HTTPError as error:
                # Their messages name the URL, which may hold a key.
                reason = type(error).__name__
                raise Undelivered(reason, told, is_down=True) from None
            if not 200 <= answer.status < 300:
                is_down = answer.status >= 500 or answer.status in _BUSY
                reason = f"answered {answer.status}"
                raise Undelivered(reason, told, is_down=is_down)

    def _signature(self, body: bytes) -> dict[str, str]:
        if self._secret is None:
            return {}
        now = int(time.time())
        digest = hmac.new(self._secret, b"%d." % now + body, hashlib.sha256)
        return {SIGNATURE_HEADER: f"t={now},v1={digest.hexdigest()}"}
