"""What is counted, for whoever counts; here it is nobody.

Rooms that have something to count are given a `Meters` and tell it; which library
makes numbers of that is known to `telemetry/prometheus.py` alone.  Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass

from imagereg.occasion import Occasion


@dataclass(frozen=True, slots=True)
class Backlog:
    """What the queue of jobs holds.

    Attributes:
        oldest_s: how long the one that waits longest has waited; 0 if none does.
    """

    waiting: int
    running: int
    oldest_s: float


class Meters:
    """Takes note of what happens; this one does not."""

    def answered(self, occasion: Occasion) -> None:
        """Note a request that is over."""

    def transfers(self, direction: str, change: int) -> None:
        """Note that image data begin (1) or end (-1) to go ``in`` or ``out``."""

    def store_failed(self, store_id: str) -> None:
        """Note that a store did not do what it was asked."""

    def cache_asked(self, *, is_hit: bool) -> None:
        """Note whether a copy answered a download instead of the stores."""

    def page(self, find_backlog: Callable[[], Backlog | None]) -> bytes | None:
        """Return all numbers as text, or None where nobody counts.

        ``find_backlog`` returns None when the database does not tell.
        """
        return None
