"""The one way in which the service reads from a URL that somebody named.

Every hop passes the `URLFilter`, and the connection goes to an address that the
filter checked, while ``Host`` and TLS carry the name: a name server cannot change
its answer in between.  Only a proxy, where the operator wants one, is told the name
and looks it up itself.  What a remote server says in words never reaches a user.

Source: contract stores 4, api-images 18.3; ruling S-13.
"""

import logging
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urljoin

from urllib3 import (
    BaseHTTPResponse,
    HTTPConnectionPool,
    HTTPSConnectionPool,
    ProxyManager,
    Timeout,
)
from urllib3.exceptions import HTTPError

from imagereg.errors import BlobNotFound, StoreUnavailable
from imagereg.stores.proxies import Proxy
from imagereg.stores.url_filter import CheckedURL, URLFilter

log = logging.getLogger(__name__)

MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302})

CHUNK_BYTES = 256 * 1024

_UNREACHABLE = "the remote source cannot be read just now"


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """How remote servers are asked.

    Attributes:
        connect_s: for a connection to one address.
        read_s: how long a server may be silent.
        head_s: for everything up to the first byte of the answer, redirects included.
        verify: check certificates (S-13).
        ca_file: whom to trust instead of the system's authorities.
        proxies: scheme -> whom to ask for URLs of it.
    """

    connect_s: float = 10.0
    read_s: float = 60.0
    head_s: float = 90.0
    verify: bool = True
    ca_file: Path | None = None
    proxies: Mapping[str, Proxy] = field(default_factory=dict)


class Answer:
    """A remote server's answer, whose body is read once.  Close it.

    Attributes:
        status: 200, another one below 300, or 416.
        size: what Content-Length says, None if nothing.
    """

    def __init__(
        self, response: BaseHTTPResponse, pool: HTTPConnectionPool, method: str
    ) -> None:
        self._response = response
        self._pool = pool
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        length = response.headers.get("Content-Length", "")
        # urllib3 refuses two that differ when it reads a body; HEAD has none.
        plain = length.isascii() and length.isdigit() and len(length) < 19
        self.size = int(length) if plain else None
        self._method = method

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body.

        Raises:
            StoreUnavailable: it broke off.
        """
        try:
            yield from self._response.stream(CHUNK_BYTES, decode_content=False)
        except (HTTPError, OSError) as error:
            log.info("a remote source broke off: %s", type(error).__name__)
            raise StoreUnavailable(_UNREACHABLE) from error

    def close(self) -> None:
        """Hang up; a second call does nothing."""
        with suppress(HTTPError, OSError):
            self._response.close()
        self._pool.close()


class Fetcher:
    """Follows URLs that pass the filter.

    Raises:
        OSError: the file of certificate authorities cannot be read.
    """

    def __init__(
        self, url_filter: URLFilter, options: FetchOptions = FetchOptions()
    ) -> None:
        self.filter = replace(url_filter, proxied=frozenset(options.proxies))
        self._options = options
        if options.ca_file:
            # A file of the operator's is read now, so that a fault is told at once.
            _ = self._tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """How servers are trusted.

        Made when the first one is asked: the system's authorities take tens of
        milliseconds to read, at every start, and few registries read from elsewhere.
        """
        return _tls(self._options)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer at the end of all redirects.

        ``secrets`` are headers for the server that the URL names, and for no other:
        with them, a redirect to another one is not followed.

        Raises:
            URLRefused: the URL, or one that it redirects to, may not be followed.
            BlobNotFound: the server says that there is nothing.
            StoreUnavailable: any other answer, too many redirects, or none in time.
        """
        deadline = monotonic() + self._options.head_s
        first = checked = self.filter.check(url)
        sent = {**(headers or {}), **(secrets or {})}
        for _ in range(MAX_REDIRECTS + 1):
            # Credentials stay with the server that the URL names (S-13).
            trusted = first if checked.origin == first.origin else None
            answer = self._ask(method, checked, trusted, sent, deadline)
            if answer.status not in REDIRECTS:
                return _accepted(answer)
            answer.close()
            url = urljoin(url, answer.headers.get("Location", ""))
            checked = self.filter.check(url)
            if secrets and checked.origin != first.origin:
                log.info("a remote source redirects to another server")
                raise StoreUnavailable(_UNREACHABLE)
        log.info("a remote source redirects without end")
        raise StoreUnavailable(_UNREACHABLE)

    def _ask(
        self,
        method: str,
        checked: CheckedURL,
        trusted: CheckedURL | None,
        headers: Mapping[str, str],
        deadline: float,
    ) -> Answer:
        sent = {
            "Host": checked.host_header,
            "User-Agent": "imagereg",
            "Accept": "*/*",
            # Bytes are wanted as they lie there: sizes and ranges count them.
            "Accept-Encoding": "identity",
            **headers,
        }
        if trusted is not None and trusted.credentials is not None:
            sent["Authorization"] = _basic(*trusted.credentials)
        for pool, target in self._ways(checked, deadline):
            try:
                response = pool.urlopen(
                    method,
                    target,
                    headers=sent,
                    redirect=False,
                    retries=False,
                    # That of the pool may be a proxy's.
                    assert_same_host=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (HTTPError, OSError) as error:
                pool.close()
                log.info("a remote source cannot be read: %s", type(error).__name__)
                continue
            return Answer(response, pool, method)
        raise StoreUnavailable(_UNREACHABLE)

    def _ways(
        self, checked: CheckedURL, deadline: float
    ) -> Iterator[tuple[HTTPConnectionPool, str]]:
        """Yield where to connect, and what to ask for there, while there is time."""
        proxy = self._options.proxies.get(checked.scheme)
        for address in checked.addresses if proxy is None else (checked.host,):
            left_s = deadline - monotonic()
            if left_s <= 0:
                return
            if proxy is None:
                yield self._pool(checked, address, left_s), checked.target
            else:
                yield self._proxied(checked, proxy, left_s)

    def _proxied(
        self, checked: CheckedURL, proxy: Proxy, left_s: float
    ) -> tuple[HTTPConnectionPool, str]:
        # TLS goes through the proxy to the server, and the proxy sees none of it.
        manager = ProxyManager(
            proxy.url, proxy_headers=proxy.headers, **self._manners(checked, left_s)
        )
        pool = manager.connection_from_host(checked.host, checked.port, checked.scheme)
        if checked.scheme == "https":
            return pool, checked.target
        return pool, f"http://{checked.host_header}{checked.target}"

    def _pool(
        self, checked: CheckedURL, address: str, left_s: float
    ) -> HTTPConnectionPool:
        manners = self._manners(checked, left_s)
        kind = HTTPConnectionPool if checked.scheme == "http" else HTTPSConnectionPool
        return kind(address, checked.port, **manners)

    def _manners(self, checked: CheckedURL, left_s: float) -> dict[str, Any]:
        """Return how a server is talked to, and with TLS, who it has to be."""
        timeout = Timeout(
            connect=min(self._options.connect_s, left_s), read=self._options.read_s
        )
        plain: dict[str, Any] = {"timeout": timeout, "maxsize": 1}
        if checked.scheme == "http":
            return plain
        return plain | {
            "ssl_context": self._tls,
            "server_hostname": checked.host,
            "assert_hostname": checked.host if self._options.verify else False,
            "cert_reqs": "CERT_REQUIRED" if self._options.verify else "CERT_NONE",
        }


def _accepted(answer: Answer) -> Answer:
    """Return an answer that brings data, close any other."""
    encoding = answer.headers.get("Content-Encoding", "identity").lower()
    if (answer.status < 300 and encoding == "identity") or answer.status == 416:
        return answer
    answer.close()
    if answer.status in (404, 410):
        raise BlobNotFound("there is nothing at the remote source")
    log.info("a remote source answers %d", answer.status)
    raise StoreUnavailable(_UNREACHABLE)


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _tls(options: FetchOptions) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.ca_file)
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
