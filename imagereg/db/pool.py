"""Connections to a database server: a few stay open, some more come under load.

A thread has a connection for one statement or one transaction, and gives it back.
The most recently used one goes out first, so that those which are not needed grow
old and are replaced.  What came under load stays for a moment after it: to open a
connection costs more than most statements, and the next one would begin with it.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from peewee import OperationalError

#: How long a connection that came under load waits to be needed again, in seconds.
SPARE_S = 10


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many connections one process has, and for how long.

    Attributes:
        size: connections that stay open; 0 keeps all and knows no limit.
        overflow: further ones under load, and for `SPARE_S` after it.
        timeout_s: how long to wait for a free one.
        recycle_s: older ones are replaced; negative is never.
    """

    size: int = 5
    overflow: int = 50
    timeout_s: float = 30
    recycle_s: float = 3600


class Connector(Protocol):
    """What a pool must know of a driver."""

    def open_connection(self) -> Any:  # noqa: ANN401 - a connection of whichever driver
        """Open a connection."""

    def close_connection(self, connection: Any) -> None:  # noqa: ANN401 - as above
        """Close a connection, whatever state it is in."""

    def is_clean(self, connection: Any) -> bool:  # noqa: ANN401 - as above
        """Return whether a connection is open and in no transaction."""


class Pool:
    """The connections of one process.

    Attributes:
        in_use: how many threads have one just now.
    """

    def __init__(
        self,
        connector: Connector,
        limits: PoolLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connector = connector
        self._limits = limits
        self._clock = clock
        self._free = threading.Condition()
        # Connection, when it was opened, and when it came back; the last one last.
        self._idle: list[tuple[Any, float, float]] = []
        self._since: dict[int, float] = {}
        self._pid = os.getpid()
        # Connections of the process that this one was forked from.  To let go of
        # them would end them for both, because the driver says good-bye.
        self._inherited: list[Any] = []
        self.in_use = 0

    @property
    def idle(self) -> int:
        """How many connections wait for somebody."""
        return len(self._idle)

    def acquire(self) -> Any:  # noqa: ANN401 - a connection of whichever driver
        """Return a connection that nobody else has until `release`.

        Raises:
            OperationalError: none became free in time.
        """
        self._wait()
        try:
            connection, since = self._taken()
        except BaseException:
            self._leave()
            raise
        self._since[id(connection)] = since
        return connection

    def release(self, connection: Any) -> None:  # noqa: ANN401 - as above
        """Take a connection back; one that is not clean is closed."""
        since = self._since.pop(id(connection), None)
        unwanted = [connection]
        if since is not None and self._connector.is_clean(connection):
            with self._free:
                self._idle.append((connection, since, self._clock()))
                unwanted = self._spare()
        for each in unwanted:
            self._connector.close_connection(each)
        if since is not None:
            self._leave()

    def _spare(self) -> list[Any]:
        """Take out those beyond the size that nobody needed for a while."""
        size, latest = self._limits.size, self._clock() - SPARE_S
        beyond = len(self._idle) - size if size else 0
        count = sum(used <= latest for _, _, used in self._idle[: max(0, beyond)])
        spare, self._idle[:count] = self._idle[:count], []
        return [connection for connection, *_ in spare]

    def clear(self) -> None:
        """Close the connections that nobody uses."""
        with self._free:
            idle, self._idle = self._idle, []
        for connection, *_ in idle:
            self._connector.close_connection(connection)

    def _wait(self) -> None:
        limits = self._limits
        with self._free:
            self._forget_parent()
            if limits.size and not self._free.wait_for(
                lambda: self.in_use < limits.size + limits.overflow, limits.timeout_s
            ):
                message = f"no connection became free within {limits.timeout_s} s"
                raise OperationalError(message)
            self.in_use += 1

    def _leave(self) -> None:
        with self._free:
            self.in_use -= 1
            self._free.notify()

    def _taken(self) -> tuple[Any, float]:
        while True:
            with self._free:
                if not self._idle:
                    break
                connection, since, _ = self._idle.pop()
            too_old = 0 <= self._limits.recycle_s < self._clock() - since
            if not too_old and self._connector.is_clean(connection):
                return connection, since
            self._connector.close_connection(connection)
        return self._connector.open_connection(), self._clock()

    def _forget_parent(self) -> None:
        if self._pid != os.getpid():
            self._inherited += [connection for connection, *_ in self._idle]
            self._idle, self._since = [], {}
            self._pid, self.in_use = os.getpid(), 0
