"""The pool of connections, with connections that only count."""

import threading
from collections.abc import Iterator

import pytest
from peewee import OperationalError

from imagereg.db.dialects import choose
from imagereg.db.pool import SPARE_S, Pool, PoolLimits


class Line:
    """A connection."""

    def __init__(self) -> None:
        self.is_open = True
        self.is_clean = True


class Lines:
    """Opens and closes connections, and remembers them."""

    def __init__(self) -> None:
        self.made: list[Line] = []
        self.now = 0.0
        self.refuses = False

    def open_connection(self) -> Line:
        if self.refuses:
            raise OperationalError("away")
        self.made.append(Line())
        return self.made[-1]

    def close_connection(self, connection: Line) -> None:
        connection.is_open = False

    def is_clean(self, connection: Line) -> bool:
        return connection.is_open and connection.is_clean

    def pool(self, **limits: float) -> Pool:
        return Pool(self, PoolLimits(**limits), clock=lambda: self.now)  # type: ignore[arg-type] # the tests know the fields

    @property
    def open(self) -> int:
        return sum(line.is_open for line in self.made)


@pytest.fixture
def lines() -> Iterator[Lines]:
    yield Lines()


def test_a_connection_is_used_again(lines: Lines) -> None:
    pool = lines.pool()

    for _ in range(3):
        pool.release(pool.acquire())

    assert len(lines.made) == 1


def test_what_came_under_load_is_closed_a_while_after_it(lines: Lines) -> None:
    pool = lines.pool(size=2, overflow=3)
    taken = [pool.acquire() for _ in range(5)]

    for line in taken:
        lines.now += 1
        pool.release(line)
    kept = lines.open, pool.idle
    lines.now += SPARE_S
    pool.release(pool.acquire())

    assert kept == (5, 5)
    assert (lines.open, pool.idle) == (2, 2)


def test_a_load_that_goes_on_opens_no_connection_anew(lines: Lines) -> None:
    pool = lines.pool(size=2, overflow=3)

    for _ in range(100):
        lines.now += 1
        for line in [pool.acquire() for _ in range(5)]:
            pool.release(line)

    assert len(lines.made) == 5


def test_those_needed_lately_stay(lines: Lines) -> None:
    pool = lines.pool(size=1, overflow=4)
    taken = [pool.acquire() for _ in range(5)]
    for line in taken:
        pool.release(line)
    lines.now += SPARE_S / 2
    for line in [pool.acquire() for _ in range(3)]:
        pool.release(line)

    lines.now += SPARE_S / 2
    pool.release(pool.acquire())

    assert (lines.open, pool.idle) == (3, 3)


def test_beyond_the_limit_one_waits_for_so_long(lines: Lines) -> None:
    pool = lines.pool(size=1, overflow=1, timeout_s=0.05)
    one, _ = pool.acquire(), pool.acquire()

    with pytest.raises(OperationalError, match="no connection became free"):
        pool.acquire()
    pool.release(one)

    assert pool.acquire() is one


def test_whoever_waits_gets_what_another_gives_back(lines: Lines) -> None:
    pool = lines.pool(size=1, overflow=0, timeout_s=30)
    one = pool.acquire()
    found: list[object] = []
    waiting = threading.Thread(target=lambda: found.append(pool.acquire()))
    waiting.start()

    pool.release(one)
    waiting.join(30)

    assert found == [one]


@pytest.mark.parametrize("url", ["postgresql://h/d", "mysql://h/d"])
def test_an_engine_at_its_limit_gives_back_while_others_wait(
    url: str, lines: Lines
) -> None:
    dialect = choose(url, PoolLimits(), synchronous=False)
    dialect.peewee.pool = lines.pool(size=1, overflow=0, timeout_s=30)  # type: ignore[attr-defined] # of both dialects
    dialect.peewee.server_version = 0
    dialect.open()
    found: list[object] = []

    def wait() -> None:
        dialect.open()
        found.append(dialect.peewee.connection())  # type: ignore[no-untyped-call] # Peewee leaves it untyped
        dialect.peewee.close()

    waiting = threading.Thread(target=wait)
    waiting.start()
    dialect.peewee.close()
    waiting.join(30)

    assert found == lines.made


def test_no_size_is_no_limit(lines: Lines) -> None:
    pool = lines.pool(size=0, overflow=0, timeout_s=0)
    taken = [pool.acquire() for _ in range(70)]

    for line in taken:
        pool.release(line)

    assert lines.open == 70


@pytest.mark.parametrize(
    ("recycle_s", "later", "made"), [(60, 59, 1), (60, 61, 2), (-1, 10**9, 1)]
)
def test_old_connections_are_replaced(
    lines: Lines, recycle_s: int, later: int, made: int
) -> None:
    pool = lines.pool(recycle_s=recycle_s)
    pool.release(pool.acquire())
    lines.now += later

    pool.release(pool.acquire())

    assert (len(lines.made), lines.open) == (made, 1)


def test_a_connection_inside_a_transaction_is_not_handed_on(lines: Lines) -> None:
    pool = lines.pool()
    line = pool.acquire()
    line.is_clean = False

    pool.release(line)

    assert not line.is_open
    assert pool.acquire() is not line


def test_a_server_that_is_away_uses_up_no_place(lines: Lines) -> None:
    pool = lines.pool(size=1, overflow=0, timeout_s=0)
    lines.refuses = True
    for _ in range(3):
        with pytest.raises(OperationalError, match="away"):
            pool.acquire()
    lines.refuses = False

    pool.release(pool.acquire())

    assert pool.in_use == 0


def test_a_forked_process_leaves_the_connections_of_its_parent_alone(
    lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = lines.pool(size=1, overflow=0)
    line = pool.acquire()
    pool.release(line)

    with monkeypatch.context() as forked:
        forked.setattr("imagereg.db.pool.os.getpid", lambda: -1)
        other = pool.acquire()

    assert other is not line
    assert line.is_open
