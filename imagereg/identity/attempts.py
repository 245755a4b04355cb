"""How often a peer may try passwords.  Source: ruling U-2."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from threading import Lock

FAILURES = 10
WINDOW_S = 60.0

#: Peers that are remembered; who tries from more addresses pushes out the oldest.
_PEERS = 10_000


class Attempts:
    """Counts failures by peer, in this process, over the last minute.

    An attempt counts as a failure from its beginning, so that many at once are no
    way around the limit; `forgive` takes back one that succeeded.
    """

    def __init__(
        self,
        failures: int = FAILURES,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._window_s = window_s
        self._clock = clock
        self._lock = Lock()
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, peer: str) -> float:
        """Count an attempt; return 0, or the seconds to wait after too many."""
        now = self._clock()
        with self._lock:
            times = self._times.setdefault(peer, deque())
            self._times.move_to_end(peer)
            while times and now - times[0] >= self._window_s:
                times.popleft()
            if len(times) >= self._failures:
                return self._window_s - (now - times[0])
            times.append(now)
            while len(self._times) > _PEERS:
                self._times.popitem(last=False)
        return 0.0

    def forgive(self, peer: str) -> None:
        """Take back the latest attempt of a peer, which succeeded."""
        with self._lock:
            times = self._times.get(peer)
            if times:
                times.pop()
            if not times:
                self._times.pop(peer, None)
