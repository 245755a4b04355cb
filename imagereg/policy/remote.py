"""The ``http:`` and ``https:`` check: a server of the operator's says yes or no.

Source: contract policy 1.5, ruling P-11.
"""

import json
import socket
import ssl
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Timer
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from imagereg.errors import ConfigurationError, RuleFailed
from imagereg.policy.compiler import Values

#: However much the operator allows, no decision waits longer (ruling P-11).
LONGEST_S = 5.0

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
# What a path may hold as it is; an image's name may hold anything.
_SAFE = "!$%&'()*+,/:;=?@[]~"
_YES = frozenset({b"True", b'"True"'})


@dataclass(frozen=True, slots=True)
class RemoteOptions:
    """How a server is asked; the ``remote_*`` options of ``[oslo_policy]``.

    Attributes:
        content_type: of the question, a form or JSON.
        timeout_s: for the whole exchange; more than 5 counts as 5.
        verify: check the server's certificate.
        ca_file: whom to trust instead of the system's authorities.
        client_cert_file, client_key_file: who we are.
    """

    content_type: str = _FORM
    timeout_s: float = LONGEST_S
    verify: bool = True
    ca_file: Path | None = None
    client_cert_file: Path | None = None
    client_key_file: Path | None = None


class RemoteClient:
    """Asks servers, and takes anything but a clear yes or no as no answer.

    Redirects are not followed, the HTTP status is ignored, and a body that is not
    exactly ``True`` means no.

    Raises:
        ConfigurationError: a certificate or key cannot be loaded, or the content
            type is neither form nor JSON.
    """

    def __init__(self, options: RemoteOptions = RemoteOptions()) -> None:
        if options.content_type not in (_FORM, _JSON):
            fault = f"remote_content_type `{options.content_type}` is not supported"
            raise ConfigurationError([fault])
        self._json = options.content_type == _JSON
        self._content_type = options.content_type
        self._timeout_s = min(options.timeout_s, LONGEST_S)
        self._options = options
        if options.ca_file or options.client_cert_file:
            # Files of the operator's are read now, so that a fault is told at once.
            _ = self._tls

    def __call__(
        self, url: str, rule: str | None, target: Values, credentials: Values
    ) -> bool:
        """Return whether the server at ``url`` says yes.

        Raises:
            RuleFailed: it cannot be reached, or did not answer in time.
        """
        question = {"rule": rule, "target": target, "credentials": credentials}
        try:
            return self._post(url, self._body(question)) in _YES
        except (OSError, HTTPException, ValueError, TypeError) as failure:
            # The URL may hold what the target says about an image, so it stays out.
            raise RuleFailed(f"remote check failed: {failure!r}") from failure

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """How servers are trusted.

        Made when the first one is asked: the system's authorities take tens of
        milliseconds to read, at every start, and few rules ask anybody.
        """
        return _tls(self._options)

    def _body(self, question: Mapping[str, object]) -> bytes:
        """Return the question as the server expects it."""
        if self._json:
            return _dump(question).encode()
        parts = {name: _dump(part) for name, part in question.items()}
        return urlencode(parts).encode()

    def _post(self, url: str, body: bytes) -> bytes:
        """Return the first bytes of the answer to ``body``."""
        address = urlsplit(url)
        if not address.hostname:
            raise ValueError("the URL names no host")
        connection = self._connection(address.scheme, address.hostname, address.port)
        path = quote(
            urlunsplit(("", "", address.path or "/", address.query, "")), _SAFE
        )
        with _Deadline(self._timeout_s) as deadline:
            try:
                connection.connect()
                deadline.guard(connection.sock)
                headers = {"Content-Type": self._content_type}
                connection.request("POST", path, body, headers)
                answer = connection.getresponse().read(max(map(len, _YES)) + 1)
            finally:
                connection.close()
            deadline.check()
        return answer

    def _connection(self, scheme: str, host: str, port: int | None) -> HTTPConnection:
        if scheme == "https":
            return HTTPSConnection(
                host, port, timeout=self._timeout_s, context=self._tls
            )
        return HTTPConnection(host, port, timeout=self._timeout_s)


class _Deadline:
    """Cuts a connection off when its time is over, however slowly it trickles.

    A socket's own timeout starts anew with every byte.
    """

    def __init__(self, limit_s: float) -> None:
        self._sock: socket.socket | None = None
        self._over = False
        self._timer = Timer(limit_s, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def guard(self, sock: socket.socket) -> None:
        """Cut ``sock`` off when the time is over, which may be already."""
        self._sock = sock
        self.check()

    def check(self) -> None:
        """Raise `TimeoutError` if the time is over."""
        if self._over:
            raise TimeoutError("timed out")

    def _cut(self) -> None:
        self._over = True
        if self._sock is not None:
            # Below TLS on purpose: a farewell would wait for the other side.
            try:
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            except OSError:
                return  # It is closed already.


def _tls(options: RemoteOptions) -> ssl.SSLContext:
    """Return how ``https`` servers are trusted, and what we show them."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.client_cert_file:
            context.load_cert_chain(options.client_cert_file, options.client_key_file)
    except OSError as error:
        fault = f"certificates of remote checks cannot be loaded: {error}"
        raise ConfigurationError([fault]) from error
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _dump(value: object) -> str:
    """Return JSON of credentials or a target, whatever mappings they are."""
    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    """Return what JSON can say instead of ``value``."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(map(str, value))
    return str(value)
