import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagereg.stores.hashing import LANES_FROM_BYTES, RING_CHUNKS, Digests, LaneSupply
from tests.server import eventually

MiB = 1024 * 1024


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    # One by one, not counted: a thread of an earlier test may end while this one runs.
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def hash_all(digests: Digests, chunks: list[bytes]) -> tuple[str, str]:
    with digests:
        for chunk in chunks:
            digests.update(chunk)
        return digests.finish()


@pytest.mark.parametrize("pairs", [None, 0, 1])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 12])
@pytest.mark.parametrize("algorithm", ["sha512", "md5"])
def test_digests_are_those_of_hashlib(
    algorithm: str, count: int, pairs: int | None
) -> None:
    chunks = [bytes([number]) * MiB for number in range(count)]
    supply = None if pairs is None else LaneSupply(pairs)

    md5, other = hash_all(Digests(algorithm, supply), chunks)

    assert md5 == hashlib.md5(b"".join(chunks)).hexdigest()
    assert other == hashlib.new(algorithm, b"".join(chunks)).hexdigest()


def test_small_streams_start_no_threads() -> None:
    with Digests("sha512", LaneSupply(1)) as digests:
        digests.update(bytes(LANES_FROM_BYTES - 1))

        assert not digests._lanes


def test_lanes_are_given_back() -> None:
    supply = LaneSupply(1)

    hash_all(Digests("sha512", supply), [bytes(LANES_FROM_BYTES)])

    assert supply.take()
    assert not supply.take()


def test_a_stream_without_lanes_takes_them_later() -> None:
    supply = LaneSupply(1)
    assert supply.take()
    with Digests("sha512", supply) as digests:
        digests.update(bytes(LANES_FROM_BYTES))
        assert not digests._lanes
        supply.give_back()

        digests.update(b"x")

        assert digests._lanes
        _, other = digests.finish()
    assert other == hashlib.sha512(bytes(LANES_FROM_BYTES) + b"x").hexdigest()


def test_by_default_lanes_fit_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    supply = LaneSupply()

    assert [supply.take() for _ in range(3)] == [True, True, False]


class BrokenDigest:
    """Fails at the second chunk."""

    def __init__(self) -> None:
        self.count = 0

    def update(self, data: bytes, /) -> None:
        self.count += 1
        if self.count == 2:
            raise MemoryError

    def hexdigest(self) -> str:
        return ""


@pytest.mark.parametrize("chunks", [2, 3, 20])
def test_a_broken_lane_is_heard_of(chunks: int) -> None:
    digests = Digests("sha512", LaneSupply(1))
    digests._digests = (BrokenDigest(), hashlib.sha512())

    with pytest.raises(MemoryError):
        hash_all(digests, [bytes(LANES_FROM_BYTES)] * chunks)


class HeldDigest:
    """Waits before the first chunk, and counts what came."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.count = 0

    def update(self, data: bytes, /) -> None:
        self.go.wait()
        self.count += 1

    def hexdigest(self) -> str:
        return ""


def test_leaving_early_hashes_no_more() -> None:
    held = HeldDigest()
    digests = Digests("sha512", LaneSupply(1))
    digests._digests = (held, hashlib.sha512())

    with digests:
        for _ in range(RING_CHUNKS):
            digests.update(bytes(LANES_FROM_BYTES))
        digests._lanes[0]._is_abandoned = True
        held.go.set()

    assert held.count <= 1


def test_no_more_than_the_ring_waits() -> None:
    held = HeldDigest()
    digests = Digests("sha512", LaneSupply(1))
    digests._digests = (held, hashlib.sha512())
    fed: list[int] = []

    def feed() -> None:
        with digests:
            for number in range(RING_CHUNKS + 1):
                digests.update(bytes(LANES_FROM_BYTES))
                fed.append(number)
            digests.finish()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(feed)
        eventually(lambda: len(fed) == RING_CHUNKS, 60)
        with pytest.raises(TimeoutError):
            done.result(timeout=0.1)
        waiting = len(fed)
        held.go.set()
        done.result()

    assert waiting == RING_CHUNKS
    assert held.count == RING_CHUNKS + 1
