"""What a caller is told while an image is on its way, and how it says stop.

Source: contract compute-fetch C-12, C-13.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagereg.errors import FetchCancelled

#: At most five reports of progress in a second.
INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """One report.

    Attributes:
        event: ``start``, ``progress``, ``verify``, ``convert``, ``done``, ``error``.
        done, total: bytes; ``total`` is None when the service does not say.
        rate: bytes in a second, since the start.
        source: ``direct``, ``http`` or ``cache``; empty while that is open.
    """

    event: str
    image: str
    done: int = 0
    total: int | None = None
    rate: float = 0.0
    source: str = ""


Listener = Callable[[Progress], None]


class Reporter:
    """Tells one caller of one image; every call is also a chance to be cancelled.

    Args:
        limit_rate: bytes in a second that `moved` slows down to; 0 is no limit.
    """

    def __init__(
        self,
        image_id: str,
        listen: Listener | None = None,
        cancel: threading.Event | None = None,
        limit_rate: int = 0,
    ) -> None:
        self._image = image_id
        self._listen = listen
        self._cancel = cancel or threading.Event()
        self._limit_rate = limit_rate
        self._source = ""
        self._total: int | None = None
        self._first = self._done = 0
        self._begun = self._last = time.monotonic()

    def start(self, source: str, done: int, total: int | None) -> None:
        """Say that bytes begin to come from ``source``."""
        self._source, self._total = source, total
        self._first = self._done = done
        self._begun = self._last = time.monotonic()
        self.say("start")

    def moved(self, done: int) -> None:
        """Say how many bytes are there.

        Raises:
            FetchCancelled: the caller has said stop.
        """
        self._done = done
        now = time.monotonic()
        if self._limit_rate:
            ahead = (done - self._first) / self._limit_rate - (now - self._begun)
            if ahead > 0:
                self.wait(ahead)
        self.check()
        if now - self._last >= INTERVAL_S:
            self._last = now
            self.say("progress")

    def wait(self, seconds: float) -> None:
        """Wait, or raise `FetchCancelled` as soon as the caller says stop."""
        self._cancel.wait(seconds)
        self.check()

    def check(self) -> None:
        """Raise `FetchCancelled` if the caller has said stop."""
        if self._cancel.is_set():
            raise FetchCancelled(f"image {self._image} is no longer wanted")

    def say(self, event: str) -> None:
        """Report an event."""
        if self._listen is None:
            return
        past = time.monotonic() - self._begun
        rate = (self._done - self._first) / past if past > 0 else 0.0
        self._listen(
            Progress(event, self._image, self._done, self._total, rate, self._source)
        )
