"""Which thread answers which connection, and how many of them run at once.

Threads that run side by side in one process take turns at the interpreter's lock, at
each read of a socket or of the database, and a turn costs more than many a read.  So
one thread, which has the lane, answers whoever comes next.  When it has been with one
request for longer than `STALL_S` and others wait, another thread takes the lane, and
it ends its request beside it: a transfer, a long page, a client that stalls.  Nobody
waits long for somebody else's request, and there are no more threads than requests
that take their time, with what each of them keeps.

Source: DATAPATH 1 and 8.
"""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

#: How long one request may keep others waiting, in seconds, give or take as much.
STALL_S = 0.005


class Connection(Protocol):
    """A client's connection, on which requests come one after another."""

    sock: socket.socket


C = TypeVar("C", bound=Connection)


class _Stay:
    """A thread's stay in the lane.

    Attributes:
        begun: how many requests it has taken.
        is_busy: it is answering one.
        is_over: another thread has the lane now.
    """

    __slots__ = ("begun", "is_busy", "is_over")

    def __init__(self) -> None:
        self.begun = 0
        self.is_busy = False
        self.is_over = False


class Lane(Generic[C]):
    """Connections at rest, and the thread that answers the next one that asks."""

    def __init__(
        self, answer: Callable[[C], None], threads: ThreadPoolExecutor
    ) -> None:
        """Answer by ``answer``, which hands the connection back if it is kept."""
        self._answer = answer
        self._threads = threads
        self._waiting = select.epoll()
        self._resting: dict[int, tuple[C, float]] = {}
        self._stay = _Stay()
        self._is_stirred = threading.Event()
        self._is_over = False
        self._end = os.eventfd(0)
        self._waiting.register(self._end, select.EPOLLIN)

    def start(self) -> None:
        """Begin to answer."""
        self._threads.submit(self._run, self._stay)
        threading.Thread(target=self._watch, name="lane", daemon=True).start()

    def stop(self) -> None:
        """Answer no more; requests that were taken go on to their end."""
        self._is_over = True
        self._is_stirred.set()
        os.eventfd_write(self._end, 1)

    def welcome(self, connection: C) -> None:
        """Have a new connection wait for its first request."""
        number = connection.sock.fileno()
        self._resting[number] = connection, time.monotonic()
        self._waiting.register(number, select.EPOLLIN | select.EPOLLONESHOT)

    def rest(self, connection: C) -> None:
        """Have a connection wait for its next request."""
        number = connection.sock.fileno()
        self._resting[number] = connection, time.monotonic()
        self._waiting.modify(number, select.EPOLLIN | select.EPOLLONESHOT)

    def withdraw(self, since: float) -> list[C]:
        """Return the connections that have rested since then, which wait no more.

        Args:
            since: of `time.monotonic`, in seconds.
        """
        found = []
        for number, (connection, begun) in list(self._resting.items()):
            # Whoever removes it has it: the lane may be quicker.
            if begun <= since and self._resting.pop(number, None) is not None:
                found.append(connection)
        return found

    def _run(self, stay: _Stay) -> None:
        """Answer one connection after another, as long as this thread may."""
        while not stay.is_over and not self._is_over:
            for number, _ in self._waiting.poll(maxevents=1):
                found = self._resting.pop(number, None)
                if found is not None:
                    stay.begun += 1
                    stay.is_busy = True
                    if not self._is_stirred.is_set():
                        self._is_stirred.set()
                    self._answer_one(found[0])
                    stay.is_busy = False

    def _answer_one(self, connection: C) -> None:
        try:
            self._answer(connection)
        except Exception:
            # Without this thread nobody would be answered.
            log.exception("a connection was lost")

    def _watch(self) -> None:
        """Have another thread take the lane when a request keeps others waiting."""
        seen = self._stay, 0
        while not self._is_over:
            self._is_stirred.wait()
            time.sleep(STALL_S)
            stay = self._stay
            if not stay.is_busy:
                self._is_stirred.clear()
                # It may have become busy before, and believed this thread awake.
                if stay.is_busy:
                    self._is_stirred.set()
            elif seen == (stay, stay.begun) and self._somebody_waits():
                self._hand_over()
            seen = stay, stay.begun

    def _hand_over(self) -> None:
        self._stay.is_over = True
        self._stay = _Stay()
        try:
            self._threads.submit(self._run, self._stay)
        except RuntimeError:
            # The threads are called together to end, before the lane is.
            log.debug("no thread takes the lane any more")

    def _somebody_waits(self) -> bool:
        waiting = select.poll()
        waiting.register(self._waiting, select.POLLIN)
        return bool(waiting.poll(0))
