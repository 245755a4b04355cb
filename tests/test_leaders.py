"""Leaders: one thread for all who ask, and another one only while it must."""

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from imagereg.leaders import Leaders
from tests.server import eventually

#: What a client asks for a quick answer, for one that takes long, for one that has to
#: wait for its turn to write, and for none.
QUICK, LONG, WRITE, FAULT = b"q", b"l", b"w", b"f"


@dataclass(eq=False)
class Peer:
    """A connection, with both of its ends."""

    sock: socket.socket
    client: socket.socket

    def ask(self, what: bytes) -> None:
        """Send a request of one byte."""
        self.client.sendall(what)

    def answer(self) -> bytes:
        """Return the answer of one byte."""
        return self.client.recv(1)


@dataclass
class Service:
    """A leader that answers with the byte that was asked for.

    Attributes:
        go_on: set when answers that take long may end.
        threads: those that answered, in order.
        waiting: those that wait for their turn to write, and since when.
    """

    stack: ExitStack
    most: int = 8
    count: int = 1
    go_on: threading.Event = field(default_factory=threading.Event)
    threads: list[int] = field(default_factory=list)
    waiting: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.most)
        self.leaders = Leaders[Peer](self._answer, self.pool, self.count, self.waiting)
        self.stack.callback(self.pool.shutdown)
        self.stack.callback(self.leaders.stop)
        self.stack.callback(self.go_on.set)
        self.leaders.start()

    def peers(self, count: int) -> list[Peer]:
        """Return so many connections that rest."""
        found = []
        for _ in range(count):
            ends = socket.socketpair()
            for end in ends:
                end.settimeout(60)
                self.stack.callback(end.close)
            found.append(Peer(*ends))
            self.leaders.welcome(found[-1])
        return found

    def _answer(self, peer: Peer) -> None:
        asked = peer.sock.recv(1)
        self.threads.append(threading.get_ident())
        if asked == FAULT:
            raise ValueError("not today")
        if asked == WRITE:
            self.waiting[threading.get_ident()] = time.monotonic()
        if asked in (LONG, WRITE):
            assert self.go_on.wait(60)
        self.waiting.pop(threading.get_ident(), None)
        peer.sock.sendall(asked)
        if asked:
            self.leaders.rest(peer)


Start = Callable[..., Service]


@pytest.fixture
def start() -> Iterator[Start]:
    """Yield a function that starts services, which end with the test."""
    with ExitStack() as stack:
        yield lambda **wanted: Service(stack, **wanted)


def test_requests_that_are_quick_are_all_answered_by_one_thread(start: Start) -> None:
    service = start(most=32)
    peers = service.peers(16)

    for _ in range(5):
        for peer in peers:
            peer.ask(QUICK)
        assert [peer.answer() for peer in peers] == [QUICK] * 16

    assert len(service.threads) == 80
    # A machine that is busy may let one take long after all.
    assert len(set(service.threads)) < 8


def test_a_request_that_takes_long_keeps_nobody_waiting(start: Start) -> None:
    service = start()
    slow, slower, *others = service.peers(6)
    slow.ask(LONG)
    slower.ask(LONG)

    for _ in range(3):
        for peer in others:
            peer.ask(QUICK)
            assert peer.answer() == QUICK

    service.go_on.set()
    assert (slow.answer(), slower.answer()) == (LONG, LONG)


def test_a_turn_to_write_is_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagereg.leaders.TURN_S", 1000)
    service = start()
    writer, reader = service.peers(2)
    writer.ask(WRITE)
    assert eventually(lambda: len(service.waiting) == 1)
    reader.ask(QUICK)
    time.sleep(0.1)
    answered = len(service.threads)

    service.go_on.set()

    assert answered == 1
    assert (writer.answer(), reader.answer()) == (WRITE, QUICK)


def test_nobody_waits_long_for_writers_that_do(start: Start) -> None:
    service = start()
    *writers, reader = service.peers(5)
    for peer in writers:
        peer.ask(WRITE)

    reader.ask(QUICK)

    assert reader.answer() == QUICK
    service.go_on.set()
    assert [peer.answer() for peer in writers] == [WRITE] * 4


def test_one_that_waited_for_longer_tells_that_the_rest_will_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagereg.leaders.TURN_S", 1000)
    service = start()
    service.waiting[0] = -math.inf
    writer, reader = service.peers(2)
    writer.ask(WRITE)
    assert eventually(lambda: len(service.waiting) == 2)

    reader.ask(QUICK)

    assert reader.answer() == QUICK
    service.go_on.set()
    assert writer.answer() == WRITE


def test_whoever_comes_when_all_threads_are_kept_is_answered_later(
    start: Start,
) -> None:
    service = start(most=3)
    *slow, late = service.peers(4)
    for peer in slow:
        peer.ask(LONG)
    assert eventually(lambda: len(service.threads) == 3)
    late.ask(QUICK)
    time.sleep(0.05)
    assert len(service.threads) == 3

    service.go_on.set()

    assert late.answer() == QUICK
    assert [peer.answer() for peer in slow] == [LONG] * 3


def test_a_fault_loses_one_connection_and_no_other(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    service = start()
    bad, good = service.peers(2)
    bad.ask(FAULT)
    good.ask(QUICK)

    assert good.answer() == QUICK
    # Another thread may have answered, while that with the fault was held up.
    assert eventually(lambda: told(caplog) == ["a connection was lost"])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what leaders logged; threads of other tests may have more to tell."""
    records = [each for each in caplog.records if each.name == "imagereg.leaders"]
    return [each.getMessage() for each in records]


def test_connections_that_rested_long_are_given_back_once(start: Start) -> None:
    service = start()
    old = service.peers(2)
    between = time.monotonic()
    new = service.peers(1)

    assert service.leaders.withdraw(between) == old
    assert service.leaders.withdraw(between) == []

    new[0].ask(QUICK)
    assert new[0].answer() == QUICK
    old[0].ask(QUICK)
    time.sleep(0.05)
    assert len(service.threads) == 1


def test_a_connection_that_asks_has_not_rested(start: Start) -> None:
    service = start()
    (peer,) = service.peers(1)
    peer.ask(LONG)
    assert eventually(lambda: len(service.threads) == 1)

    assert service.leaders.withdraw(time.monotonic()) == []

    service.go_on.set()
    assert peer.answer() == LONG


def test_the_end_waits_for_what_is_being_answered(start: Start) -> None:
    service = start()
    slow, idle = service.peers(2)
    slow.ask(LONG)
    assert eventually(lambda: len(service.threads) == 1)

    service.leaders.stop()
    service.go_on.set()
    service.pool.shutdown(wait=True)

    assert slow.answer() == LONG
    idle.ask(QUICK)
    assert len(service.threads) == 1
