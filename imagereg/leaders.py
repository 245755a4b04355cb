"""Which thread answers which connection, and how many of them run at once.

Threads that run side by side in one process take turns at the interpreter's lock, at
each read of a socket or of the database, and a turn costs more than many a read.  So
few threads, the leaders, answer whoever comes next.  When one has been with a request
for longer than `STALL_S`, another thread leads in its place, and it ends the request
beside: a transfer, a long page, a client that stalls.  Nobody waits long for somebody
else's request, and there are no more threads than leaders and requests that take their
time, with what each of them keeps.

Waiting for a turn to write is no work, so a leader may do so for `TURN_S`.  Another one
in its place would soon take a write as well, and wait beside it: with 64 connections
that create images on SQLite that cost a tenth, as each thread has a connection to the
database.  While any thread of the process has waited for longer, somebody keeps the
database, and nobody who reads waits behind those who write.

Source: DATAPATH 1 and 8.
"""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

log = logging.getLogger(__name__)

#: How long one request may keep others waiting, in seconds, give or take as much.
STALL_S = 0.01

#: How long it may do so while it waits for its turn to write, in seconds.
TURN_S = 0.05


class Connection(Protocol):
    """A client's connection, on which requests come one after another."""

    sock: socket.socket


C = TypeVar("C", bound=Connection)


class _Lead:
    """A thread's time as a leader.

    Attributes:
        thread: its number, once it runs.
        begun: how many requests it has taken.
        is_busy: it is answering one.
        is_over: another thread leads in its place.
    """

    __slots__ = ("begun", "is_busy", "is_over", "thread")

    def __init__(self) -> None:
        self.thread = 0
        self.begun = 0
        self.is_busy = False
        self.is_over = False


class Leaders(Generic[C]):
    """Connections at rest, and the threads that answer the next one that asks."""

    def __init__(
        self,
        answer: Callable[[C], None],
        threads: ThreadPoolExecutor,
        count: int,
        waiting: Mapping[int, float],
    ) -> None:
        """Take no connection yet.

        Args:
            answer: answers one request, and gives the connection back if it is kept.
            threads: where leaders run, and requests that take long.
            count: of leaders; more than one use the time in which a request waits.
            waiting: threads that wait for their turn to write, and since when, of
                `time.monotonic`; empty where leaders shall not wait for it.
        """
        self._answer = answer
        self._threads = threads
        self._writers = waiting
        self._waiting = select.epoll()
        self._resting: dict[int, tuple[C, float]] = {}
        self._leads = [_Lead() for _ in range(count)]
        self._is_stirred = threading.Event()
        self._is_over = False
        self._end = os.eventfd(0)
        self._waiting.register(self._end, select.EPOLLIN)

    def start(self) -> None:
        """Begin to answer."""
        for lead in self._leads:
            self._threads.submit(self._run, lead)
        threading.Thread(target=self._watch, name="leaders", daemon=True).start()

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
            # Whoever removes it has it: a leader may be quicker.
            if begun <= since and self._resting.pop(number, None) is not None:
                found.append(connection)
        return found

    def _run(self, lead: _Lead) -> None:
        """Answer one connection after another, as long as this thread may."""
        lead.thread = threading.get_ident()
        while not lead.is_over and not self._is_over:
            for number, _ in self._waiting.poll(maxevents=1):
                found = self._resting.pop(number, None)
                if found is not None:
                    lead.begun += 1
                    lead.is_busy = True
                    if not self._is_stirred.is_set():
                        self._is_stirred.set()
                    self._answer_one(found[0])
                    lead.is_busy = False

    def _answer_one(self, connection: C) -> None:
        try:
            self._answer(connection)
        except Exception:
            # Without this thread nobody would be answered.
            log.exception("a connection was lost")

    def _watch(self) -> None:
        """Have another thread lead in place of one that takes long."""
        seen = [0 for _ in self._leads]
        while not self._is_over:
            self._is_stirred.wait()
            time.sleep(STALL_S)
            if not self._is_busy():
                self._is_stirred.clear()
                # One may have become busy before, and believed this thread awake.
                if self._is_busy():
                    self._is_stirred.set()
            for number, lead in enumerate(self._leads):
                if self._may_wait(lead):
                    # The time that its request takes begins anew.
                    seen[number] = 0
                    continue
                if lead.is_busy and lead.begun == seen[number]:
                    self._hand_over(number)
                seen[number] = self._leads[number].begun

    def _may_wait(self, lead: _Lead) -> bool:
        """Return whether a leader waits for its turn to write, which soon may come."""
        if lead.thread not in self._writers:
            return False
        latest = time.monotonic() - TURN_S
        return all(since > latest for since in list(self._writers.values()))

    def _is_busy(self) -> bool:
        return any(lead.is_busy for lead in self._leads)

    def _hand_over(self, number: int) -> None:
        self._leads[number].is_over = True
        self._leads[number] = _Lead()
        try:
            self._threads.submit(self._run, self._leads[number])
        except RuntimeError:
            # All threads are told to end, and then these here are.
            log.debug("no thread leads any more")
