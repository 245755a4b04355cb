"""Requests to image services: one attempt each, and what its answer means.

Several services are asked in turn: whoever answered last is asked first.  Whether a
failed attempt is repeated is decided by `Attempts`, at the place that knows whether
anything was gained meanwhile.

Source: contract compute-fetch 2, C-5, C-6, C-15.
"""

import random
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urljoin, urlsplit

from urllib3 import BaseHTTPResponse, PoolManager, Timeout
from urllib3.exceptions import HTTPError

from imagereg.client.session import Reply, Trust, explanation, reason_of, tls_context
from imagereg.errors import (
    FetchFailed,
    FetchNoData,
    FetchNotFound,
    FetchRefused,
    FetchUnreachable,
    Invalid,
    RegistryRefused,
)
from imagereg.fetch.facts import Facts, read_facts
from imagereg.fetch.reporting import Reporter

#: Pauses between attempts, and the longest that a service may ask for, in seconds.
FIRST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_WISH_S = 0.25, 15.0, 120.0

#: Answers after which the same request may succeed: those, and all from 500 on.
_PASSING = frozenset({408, 429})

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 3

#: How much of an error document is read.
_EXPLANATION_BYTES = 64 * 1024


class Auth(Protocol):
    """Who is calling."""

    def headers(self) -> Mapping[str, str]:
        """Return what each request carries."""

    def renew(self) -> bool:
        """Get other headers after a 401; return whether there are any."""


@runtime_checkable
class FindsService(Protocol):
    """A caller whose login tells where the service is."""

    def endpoint(self) -> str:
        """Return the URL of the image service."""


class FixedAuth:
    """Headers that stay as they are: nobody, a token, a name and a password."""

    def __init__(self, headers: Mapping[str, str] | None = None) -> None:
        self._headers = dict(headers or {})

    def headers(self) -> Mapping[str, str]:
        """Return the headers."""
        return self._headers

    def renew(self) -> bool:
        """Return False: there are no others."""
        return False


class Passing(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        after_s: the pause that the service asks for.
    """

    def __init__(self, message: str, after_s: float = 0.0) -> None:
        self.after_s = after_s
        super().__init__(message)


class Attempts:
    """Counts failed attempts since the last success."""

    def __init__(self, retries: int, report: Reporter) -> None:
        self._retries = retries
        self._report = report
        self._failed = 0

    def succeeded(self) -> None:
        """Start counting anew: bytes have come in."""
        self._failed = 0

    def wait(self, error: Passing) -> None:
        """Wait before the next attempt.

        Raises:
            FetchUnreachable: there were enough of them.
        """
        self._failed += 1
        if self._failed > self._retries:
            raise FetchUnreachable(str(error)) from error
        longest = min(FIRST_PAUSE_S * 2 ** (self._failed - 1), LONGEST_PAUSE_S)
        # Nodes that lost the same service must not all come back at once.
        pause_s = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        self._report.wait(max(pause_s, min(error.after_s, LONGEST_WISH_S)))


class Service:
    """One image service, behind one or more URLs, for any number of threads.

    Args:
        endpoints: its URLs; none if the login tells where it is.
        retries: how often a failed request is repeated.
        timeout_s: how long a connection may stay silent.

    Raises:
        Invalid: there is no URL, or one is none.
    """

    def __init__(
        self,
        endpoints: tuple[str, ...],
        auth: Auth,
        trust: Trust,
        *,
        retries: int = 3,
        timeout_s: float = 60.0,
    ) -> None:
        if not endpoints and not isinstance(auth, FindsService):
            raise Invalid(
                "no image service: use --endpoint, or set endpoint_override, "
                "api_servers or OS_IMAGE_ENDPOINT_OVERRIDE"
            )
        self.retries = retries
        self._endpoints = tuple(_root(url) for url in endpoints)
        self._first = 0
        self._auth = auth
        self._lock = threading.Lock()
        self._pool = PoolManager(
            maxsize=16,
            block=False,
            retries=False,
            timeout=Timeout(connect=timeout_s, read=timeout_s),
            ssl_context=tls_context(trust),
        )

    def close(self) -> None:
        """Hang up."""
        self._pool.clear()

    def show(self, image_id: str, report: Reporter) -> Facts:
        """Return what the service says of an image.

        Raises:
            FetchFailed: the class says why.
        """
        attempts = Attempts(self.retries, report)
        while True:
            try:
                return self._show_once(image_id)
            except Passing as error:
                attempts.wait(error)

    def _show_once(self, image_id: str) -> Facts:
        response = self._once(f"/v2/images/{image_id}", {"Accept": "application/json"})
        try:
            body = response.data
        except (HTTPError, OSError) as error:
            raise self._lost(error) from error
        try:
            document: dict[str, Any] = Reply(200, {}, body).json()
        except RegistryRefused as error:
            # Headers that were cut look like whole ones, with nothing after them.
            raise Passing(error.message) from error
        facts = read_facts(document)
        if facts.id != image_id:
            raise FetchNotFound(f"the service answers with image {facts.id}")
        return facts

    def open(
        self, image_id: str, start: int, last: int | None = None
    ) -> BaseHTTPResponse:
        """Return the data of an image from a byte on, unread; one attempt.

        The answer is 200 (the whole), 206, or 400 or 416 where ranges are refused.

        Raises:
            Passing: another attempt may succeed.
            FetchFailed: it would not.
        """
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        if start or last is not None:
            headers["Range"] = f"bytes={start}-{'' if last is None else last}"
        return self._once(f"/v2/images/{image_id}/file", headers)

    def _once(self, path: str, headers: Mapping[str, str]) -> BaseHTTPResponse:
        number = self._first
        url = self._roots()[number] + path
        response = self._send(number, url, {**headers, **self._auth.headers()})
        if response.status == 401 and self._renew(response):
            response = self._send(number, url, {**headers, **self._auth.headers()})
        for _ in range(MOST_REDIRECTS):
            if response.status not in REDIRECTS:
                break
            url = _next_url(url, response)
            _drop(response)
            # Whoever the service sends us to gets no credentials of ours.
            response = self._send(number, url, headers)
        return self._judge(number, response, is_range="Range" in headers)

    def _roots(self) -> tuple[str, ...]:
        """Return the URLs of the services; a login is asked for one when it is due."""
        if not self._endpoints and isinstance(self._auth, FindsService):
            self._endpoints = (_root(self._auth.endpoint()),)
        return self._endpoints

    def _send(
        self, number: int, url: str, headers: Mapping[str, str]
    ) -> BaseHTTPResponse:
        try:
            return self._pool.request(
                "GET", url, headers=headers, redirect=False, preload_content=False
            )
        except (HTTPError, OSError) as error:
            raise self._lost(error, number) from error

    def _lost(self, error: Exception, number: int | None = None) -> Passing:
        self._rotate(self._first if number is None else number)
        return Passing(f"the image service does not answer: {reason_of(error)}")

    def lost(self, error: Exception) -> Passing:
        """Return the failure that a connection broke, and ask another service next."""
        return self._lost(error)

    def _rotate(self, number: int) -> None:
        """Have another service asked next, unless somebody else did that already."""
        with self._lock:
            if self._first == number:
                self._first = (number + 1) % len(self._endpoints)

    def _renew(self, response: BaseHTTPResponse) -> bool:
        _drop(response)
        return self._auth.renew()

    def _judge(
        self, number: int, response: BaseHTTPResponse, *, is_range: bool
    ) -> BaseHTTPResponse:
        """Return an answer with data, or one that refuses the range; raise others."""
        status = response.status
        if status in (200, 206) or (is_range and status in (400, 416)):
            return response
        after_s = _retry_after(response)
        why = _explain(response)
        if is_passing(status):
            self._rotate(number)
            raise Passing(f"the image service answers {status}: {why}", after_s)
        if status in (204, 409, 410):
            raise FetchNoData(f"the image has no data to give: {why} ({status})")
        if status == 404:
            raise FetchNotFound(f"{why} ({status})")
        if status in (401, 403):
            raise FetchRefused(f"{why} ({status})")
        raise FetchFailed(f"the image service answers {status}: {why}")


def is_passing(status: int | None) -> bool:
    """Return whether the same request may succeed after such an answer."""
    return status is not None and (status in _PASSING or status >= 500)


def _root(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"the endpoint `{url}` is no http or https URL")
    return url.rstrip("/").removesuffix("/v2").rstrip("/")


def _next_url(url: str, response: BaseHTTPResponse) -> str:
    target = urljoin(url, response.headers.get("Location", ""))
    before, after = urlsplit(url).scheme, urlsplit(target).scheme
    if after not in ("http", "https") or (before, after) == ("https", "http"):
        raise FetchRefused("the service redirects to where nobody should follow")
    return target


def _explain(response: BaseHTTPResponse) -> str:
    try:
        body = response.read(_EXPLANATION_BYTES)
    except (HTTPError, OSError):
        body = b""
    _drop(response)
    return explanation(Reply(response.status, {}, body))


def _drop(response: BaseHTTPResponse) -> None:
    # What was not read yet may be long; a new connection is cheaper.
    response.close()


def _retry_after(response: BaseHTTPResponse) -> float:
    """Return the pause that an answer asks for, in seconds or until a date."""
    text = response.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    until = _moment(text)
    if until is None:
        return 0.0
    # By the service's own clock, if it tells: ours may be wrong.
    now = _moment(response.headers.get("Date", "")) or datetime.now(UTC)
    return max((until - now).total_seconds(), 0.0)


def _moment(text: str) -> datetime | None:
    """Return the moment of an HTTP date, or None where there is none.

    Source: RFC 9110, section 5.6.7.
    """
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
