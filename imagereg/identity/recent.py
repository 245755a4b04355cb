"""What was found out a moment ago, so that it need not be asked again."""

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Values that count for a while; the least recently used make room for new ones.

    Args:
        most: values that are kept.
        clock: seconds that only grow.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._lock = Lock()
        self._kept: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def find(self, key: bytes) -> Value | None:
        """Return the value, or None if there is none that still counts."""
        with self._lock:
            until, value = self._kept.get(key, (0.0, None))
            if value is None:
                return None
            if until <= self._clock():
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
        return value

    def keep(self, key: bytes, value: Value, for_s: float) -> None:
        """Have a value count for some seconds."""
        if for_s <= 0:
            return
        with self._lock:
            self._kept[key] = self._clock() + for_s, value
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def __len__(self) -> int:
        """Return how many are kept, those that count no more included."""
        return len(self._kept)
