"""Memory for uploads whose bytes wait in memory, shared out among those of a process.

Each upload may always hold one part, so it goes on whatever the others do; more it
gets while its fair part of the whole lasts.  Nobody ever waits for another upload:
who is refused sends off what he holds, and asks again.

Source: ruling S-5, house rule on memory.
"""

import threading

MiB = 1024 * 1024

DEFAULT_BYTES = 256 * MiB
"""Full speed for five uploads, in parts of the usual length."""


class Budget:
    """So many bytes for all uploads of this process together.

    They are exceeded only by what the uploads hold that hold one part each.
    """

    def __init__(self, limit_bytes: int = DEFAULT_BYTES) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._taken = 0
        self._shares = 0

    @property
    def taken_bytes(self) -> int:
        """How many bytes are claimed just now."""
        return self._taken

    def share(self) -> "Share":
        """Return the share of one more upload, which must be closed."""
        with self._lock:
            self._shares += 1
        return Share(self)

    def claim(self, held: int, wanted: int) -> bool:
        """Take ``wanted`` bytes for a share that holds ``held``, if it may have them.

        A share grows to what an even division leaves it, as the number of shares is
        now: those that hold more get no more until they hold less.
        """
        with self._lock:
            fair = self._limit // max(self._shares, 1)
            fits = held + wanted <= fair and self._taken + wanted <= self._limit
            if held and not fits:
                return False
            self._taken += wanted
            return True

    def give_back(self, size_bytes: int, *, leaves: bool = False) -> None:
        """Let others have bytes again; ``leaves`` ends a share."""
        with self._lock:
            self._taken -= size_bytes
            self._shares -= leaves


class Share:
    """What one upload holds of a budget; one thread at a time may use it."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self._is_open = True

    def claim(self, size_bytes: int) -> bool:
        """Take bytes if they are to be had; a share that holds none gets them."""
        is_granted = self._budget.claim(self._held, size_bytes)
        if is_granted:
            self._held += size_bytes
        return is_granted

    def give_back(self, size_bytes: int) -> None:
        """Let others have bytes that were claimed."""
        self._held -= size_bytes
        self._budget.give_back(size_bytes)

    def close(self) -> None:
        """Give back everything; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            self._budget.give_back(self._held, leaves=True)
            self._held = 0
