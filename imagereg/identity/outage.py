"""A service that is away, and who goes to see whether it is back.

Every caller who finds out for himself that a service hangs holds a thread for as long
as his patience lasts; soon there would be none left for those who do not need it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from imagereg.errors import IdentityUnreachable

#: How long nobody asks a service that has failed, in seconds.
PAUSE_S = 2.0


class Outage:
    """Lets everybody pass while a service answers, and one at a time while not.

    Args:
        clock: seconds that only grow.
    """

    def __init__(
        self, pause_s: float = PAUSE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._lock = Lock()
        self._next_try: float | None = None
        self._is_tried = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Ask the service within the block.

        Only an `IdentityUnreachable` is an outage.  Whoever gets any answer, as odd as
        it may be, has reached the service; else one odd token would be the end for all.

        Raises:
            IdentityUnreachable: the service did not answer a moment ago, or somebody
                else is asking whether it is back.
        """
        is_probe = self._enter()
        try:
            yield
        except IdentityUnreachable:
            self._leave(self._clock() + self._pause_s, is_probe=is_probe)
            raise
        except BaseException:
            self._leave(None, is_probe=is_probe)
            raise
        self._leave(None, is_probe=is_probe)

    def _enter(self) -> bool:
        with self._lock:
            if self._next_try is None:
                return False
            if self._is_tried or self._clock() < self._next_try:
                raise IdentityUnreachable("it did not answer a moment ago")
            self._is_tried = True
            return True

    def _leave(self, next_try: float | None, *, is_probe: bool) -> None:
        with self._lock:
            self._next_try = next_try
            if is_probe:
                self._is_tried = False
