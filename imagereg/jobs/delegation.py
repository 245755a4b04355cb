"""What callers lend to one import: their token, for the image service of a region.

A token is in the memory of the process that took the request, and nowhere else: in
no row, no record, no log.  It is dropped once the data are here, when the import
fails, and after an hour at the latest.

Source: contract auth 1, rulings U-5 and U-7.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

from imagereg.errors import Conflict, Invalid

log = logging.getLogger(__name__)

#: How long a token is kept, in seconds, and how many one process keeps.
LONGEST_S = 3600.0
MOST = 1000

#: What a token may hold: a joined list of two would be none.
_TOKEN = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,8192}")
_VERSION = re.compile(r"/v2(\.[0-9]+)?$")


@dataclass(frozen=True, slots=True)
class Delegation:
    """What came with one request.

    Attributes:
        token: the caller's own, empty if there was none.
        catalog: the value of ``X-Service-Catalog``, likewise.
    """

    token: str = field(default="", repr=False)
    catalog: str = field(default="", repr=False)

    def access(self, region: str, interface: str) -> "RegionAccess":
        """Return how to speak to the image service of a region.

        Raises:
            Invalid: no usable token came, or the catalog knows no such service.
        """
        if not _TOKEN.fullmatch(self.token):
            raise Invalid("glance-download needs a request with a token")
        for endpoint in self._endpoints():
            url = endpoint.get(f"{interface}URL")
            named = endpoint.get("region")
            if not (isinstance(named, str) and isinstance(url, str)):
                continue
            if named.lower() == region.lower() and _is_usable(url):
                base = _VERSION.sub("", url.rstrip("/"))
                return RegionAccess(base, self.token)
        message = (
            f"the service catalog of this request names no image service of region "
            f"`{region}` with interface `{interface}`"
        )
        raise Invalid(message)

    def _endpoints(self) -> list[Mapping[str, object]]:
        """Return the endpoints of all image services; none of a malformed catalog."""
        if not self.catalog:
            return []
        try:
            services = orjson.loads(self.catalog)
        except orjson.JSONDecodeError:
            services = None
        if not isinstance(services, list):
            log.warning("a service catalog is malformed, and is ignored")
            return []
        found = [
            service.get("endpoints")
            for service in services
            if isinstance(service, dict) and service.get("type") == "image"
        ]
        lists = [each for each in found if isinstance(each, list)]
        return [e for endpoints in lists for e in endpoints if isinstance(e, dict)]


@dataclass(frozen=True, slots=True)
class RegionAccess:
    """Where the image service of a region is, and the token to show there.

    Attributes:
        url: without a slash or version at its end.
    """

    url: str
    token: str = field(repr=False)


class Delegations:
    """What is lent to the imports that this process accepted.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, RegionAccess]] = {}

    def keep(self, task_id: str, access: RegionAccess) -> None:
        """Keep what a task will need.

        Raises:
            Conflict: too many others wait.
        """
        with self._lock:
            self._expire()
            if len(self._kept) >= MOST:
                raise Conflict("too many downloads from other regions wait already")
            self._kept[task_id] = self._clock() + LONGEST_S, access

    def find(self, task_id: str) -> RegionAccess | None:
        """Return what was kept for a task, None if it is gone or never was here."""
        with self._lock:
            self._expire()
            kept = self._kept.get(task_id)
        return kept[1] if kept else None

    def drop(self, task_id: str) -> None:
        """Forget what was kept for a task."""
        with self._lock:
            self._kept.pop(task_id, None)

    def tasks(self) -> Collection[str]:
        """Return the tasks that only this process can begin."""
        with self._lock:
            self._expire()
            return list(self._kept)

    def _expire(self) -> None:
        now = self._clock()
        for task_id in [t for t, (ends, _) in self._kept.items() if ends <= now]:
            del self._kept[task_id]


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    # A query would swallow the path that is put behind it.
    return parts.scheme in ("http", "https") and not (parts.query or parts.fragment)
