"""Memory of S3 uploads: bounded for all of them together, and nobody waits for ever."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from imagereg.stores.budget import Budget, Share
from imagereg.stores.s3 import S3Driver
from imagereg.stores.s3_client import S3Client
from imagereg.stores.s3_part import Part
from tests.stores.bucket import Service

MiB = 1024 * 1024
PART = 5 * MiB
WAIT_S = 120


def test_a_share_that_holds_nothing_is_never_refused() -> None:
    budget = Budget(PART)

    granted = [budget.share().claim(2 * PART) for _ in range(10)]

    assert granted == [True] * 10
    assert budget.taken_bytes == 20 * PART


def test_one_share_alone_may_have_all() -> None:
    share = Budget(4 * PART).share()

    granted = [share.claim(PART) for _ in range(5)]

    assert granted == [True] * 4 + [False]


def test_a_share_gets_no_more_once_others_have_come() -> None:
    budget = Budget(4 * PART)
    greedy = budget.share()
    for _ in range(4):
        assert greedy.claim(PART)
    late = budget.share()

    first, second = late.claim(PART), late.claim(PART)
    greedy.give_back(2 * PART)
    after = (greedy.claim(PART), late.claim(PART))

    assert (first, second) == (True, False)
    # Half of it each: the one holds two parts, the other had one.
    assert after == (False, True)


def test_what_a_closed_share_held_is_free_again() -> None:
    budget = Budget(2 * PART)
    gone, other = budget.share(), budget.share()
    gone.claim(PART)
    other.claim(PART)
    assert not other.claim(PART)

    gone.close()
    gone.close()

    assert other.claim(PART)
    other.close()
    assert budget.taken_bytes == 0


def test_shares_that_come_and_go_at_once_leave_nothing_taken() -> None:
    budget = Budget(6 * PART)
    together = threading.Barrier(8)
    peaks: list[int] = []

    def work(_: int) -> None:
        together.wait(WAIT_S)
        for _ in range(200):
            share = budget.share()
            while share.claim(PART):
                peaks.append(budget.taken_bytes)
            share.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))

    assert budget.taken_bytes == 0
    assert PART <= max(peaks) <= (6 + 8) * PART


class Watched(Share):
    """A share that notes how much all of them hold."""

    def __init__(self, budget: "Watching") -> None:
        super().__init__(budget)
        self._watching = budget

    def claim(self, size_bytes: int) -> bool:
        """Claim, and note."""
        is_granted = super().claim(size_bytes)
        watching = self._watching
        with watching.noting:
            watching.peak = max(watching.peak, watching.taken_bytes)
        return is_granted


class Watching(Budget):
    """A budget that knows its peak."""

    peak = 0
    noting = threading.Lock()

    def share(self) -> Share:
        """Return a share that tells of itself."""
        super().share()
        return Watched(self)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yield how many bytes wait in parts, and the most there ever were."""
    counts = [0, 0]
    lock = threading.Lock()
    append, call = Part.append, S3Client.call

    def count(change: int) -> None:
        with lock:
            counts[0] += change
            counts[1] = max(counts)

    def counted(part: Part, chunk: memoryview) -> None:
        count(len(chunk))
        append(part, chunk)

    def called(client: S3Client, operation: str, **params: object) -> object:
        answer = call(client, operation, **params)  # type: ignore[arg-type] # passed on
        if operation in ("upload_part", "put_object"):
            count(-len(params["Body"]))  # type: ignore[arg-type] # a part
        return answer

    monkeypatch.setattr(Part, "append", counted)
    monkeypatch.setattr(S3Client, "call", called)
    yield counts


def test_uploads_at_once_stay_within_the_budget(s3: Service, held: list[int]) -> None:
    """Six of 16 MiB each, over memory for four parts: all end, and whole."""
    budget = Watching(4 * PART)
    options = s3.driver(part_bytes=PART, single_bytes=0)._options
    driver = S3Driver(options, budget)
    chunk = bytes(range(256)) * 1024

    def upload(number: int) -> int:
        # Some announce their length, others do not.
        announced = 64 * len(chunk) if number % 2 else 0
        with driver.writer(f"key{number}", announced, replace=True) as writer:
            for _ in range(64):
                writer.write(chunk)
            return driver.size(writer.commit().url)

    with ThreadPoolExecutor(6) as pool:
        sizes = list(pool.map(upload, range(6)))

    assert sizes == [64 * len(chunk)] * 6
    assert budget.taken_bytes == 0
    assert budget.peak <= (4 + 6) * PART
    assert held[0] == 0
    assert held[1] <= budget.peak


def test_an_upload_that_fails_gives_back_what_it_held(s3: Service) -> None:
    budget = Budget(2 * PART)
    driver = S3Driver(s3.driver(part_bytes=PART, single_bytes=0)._options, budget)

    with (
        pytest.raises(ZeroDivisionError),
        driver.writer("key", 0, replace=True) as writer,
    ):
        writer.write(bytes(PART + 1))
        assert budget.taken_bytes == 2 * PART
        raise ZeroDivisionError

    assert budget.taken_bytes == 0
    assert driver.find("key") is None
    assert driver.sweep(key="key") == 0


def test_a_small_image_is_sent_at_once_however_little_there_is(s3: Service) -> None:
    """What fits into one request needs one part's memory, or becomes two parts."""
    budget = Budget(1)
    driver = S3Driver(s3.driver(part_bytes=PART)._options, budget)

    for size in (0, 1, PART, 2 * PART + 1):
        with driver.writer(f"key{size}", size, replace=True) as writer:
            writer.write(bytes(size))
            url = writer.commit().url
        assert driver.size(url) == size

    assert budget.taken_bytes == 0
