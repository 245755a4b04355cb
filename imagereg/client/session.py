"""Requests to a registry, and what its answers mean.

A request that may be repeated is, while the registry cannot be reached: an upload
outlives a restart of the server that way, and a network that comes and goes.
"""

import re
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError

from imagereg.errors import Invalid, RegistryRefused, RegistryUnreachable

#: How long a connection may take, and may stall while sending, in seconds.
CONNECT_S = 30.0

#: How long the registry may take to answer: it writes a part to the disk first.
ANSWER_S = 300.0

#: Pauses between attempts, in seconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 15.0

#: Answers after which the same request may succeed.
PASSING = frozenset({408, 429, 500, 502, 503, 504})

BLOCK_BYTES = 1024 * 1024

MESSAGE_CHARACTERS = 300

#: How much of an error document that is no JSON is looked at.
LONGEST_ERROR_BYTES = 4096
_TAG = re.compile(r"<[^<>]{1,80}>")


@dataclass(frozen=True, slots=True)
class Trust:
    """Which certificates count.

    Attributes:
        ca_file: whom to trust instead of the system's authorities.
        verify: False believes anyone.
    """

    ca_file: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the registry."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body, a JSON object.

        Raises:
            RegistryRefused: it is none, so this is no registry.
        """
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise RegistryRefused(self.status, "the answer is not one of a registry")
        return document


class Session:
    """A conversation with one registry, for any number of threads.

    Args:
        endpoint: its URL, without ``/v2``.
        headers: who is calling.
        patience_s: for how long an unreachable registry is asked again.
        connections: how many requests there are at once.
    """

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        trust: Trust = Trust(),
        patience_s: float = 300.0,
        connections: int = 1,
    ) -> None:
        self.endpoint = endpoint
        self._headers = {"Accept": "application/json", **headers}
        self._patience_s = patience_s
        self._pool = PoolManager(
            maxsize=connections,
            block=False,
            retries=False,
            timeout=Timeout(connect=CONNECT_S, read=ANSWER_S),
            blocksize=BLOCK_BYTES,
            ssl_context=tls_context(trust),
        )
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Have requests that wait for another attempt give up."""
        self._stopped.set()

    def close(self) -> None:
        """Hang up."""
        self._pool.clear()

    def get(self, path: str) -> Reply:
        """Read ``path``, again and again while the registry cannot be reached.

        Raises:
            RegistryRefused, RegistryUnreachable: there is no such answer.
        """
        return self.persist("GET", path)

    def post(self, path: str, document: object) -> Reply:
        """Send a document, once.  Raises as `get`."""
        headers = {"Content-Type": "application/json"}
        return _accepted(self.once("POST", path, orjson.dumps(document), headers))

    def persist(self, method: str, path: str) -> Reply:
        """Send a request without a body until it is answered.  Raises as `get`."""
        patience = Patience(self._patience_s, self._stopped)
        while True:
            try:
                return _accepted(self.once(method, path))
            except RegistryUnreachable as error:
                patience.wait(error)

    def patience(self) -> "Patience":
        """Return what tells for how long, and when, to try again."""
        return Patience(self._patience_s, self._stopped)

    def once(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and return its answer, whatever the status.

        Raises:
            RegistryUnreachable: no answer, or one that says to try again.
        """
        try:
            response: BaseHTTPResponse = self._pool.request(
                method,
                f"{self.endpoint}{path}",
                body=body,
                headers={**self._headers, **(headers or {})},
                redirect=False,
            )
        except (HTTPError, OSError) as error:
            message = f"the registry does not answer: {reason_of(error)}"
            raise RegistryUnreachable(message) from error
        reply = Reply(response.status, response.headers, response.data)
        if reply.status in PASSING:
            message = f"the registry answers {reply.status}: {explanation(reply)}"
            raise RegistryUnreachable(message)
        return reply


class Patience:
    """How long an unreachable registry is asked again.

    Args:
        limit_s: counted from the last success.
        stopped: ends the waiting at once.
    """

    def __init__(self, limit_s: float, stopped: threading.Event) -> None:
        self._limit_s = limit_s
        self._stopped = stopped
        self._pause_s = FIRST_PAUSE_S
        self._since: float | None = None

    def wait(self, error: RegistryUnreachable) -> None:
        """Wait before the next attempt, or raise ``error`` if there was time enough."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since + self._pause_s > self._limit_s:
            raise error
        if self._stopped.wait(self._pause_s):
            raise error
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


def refusal(reply: Reply) -> RegistryRefused:
    """Return the failure that an answer tells of."""
    return RegistryRefused(reply.status, f"{explanation(reply)} ({reply.status})")


def _accepted(reply: Reply) -> Reply:
    if reply.status >= 300:
        raise refusal(reply)
    return reply


def explanation(reply: Reply) -> str:
    """Return what an error document says, or as much of anything else as is decent."""
    try:
        document = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict):
        inner = document.get("error", document)
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return _plain(str(inner["message"]))
    text = _plain(reply.body[:LONGEST_ERROR_BYTES].decode(errors="replace"))
    return text or "no reason given"


def _plain(text: str) -> str:
    """Return what a page says, on one line: some services write HTML everywhere."""
    return " ".join(_TAG.sub(" ", text).split())[:MESSAGE_CHARACTERS]


def reason_of(error: Exception) -> str:
    """Return the innermost reason, which is the one that says something."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def tls_context(trust: Trust) -> ssl.SSLContext:
    """Return what connections are checked against.

    Raises:
        Invalid: the file of authorities cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=trust.ca_file)
    except OSError as error:
        raise Invalid(f"{trust.ca_file}: {error.strerror or error}") from error
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
