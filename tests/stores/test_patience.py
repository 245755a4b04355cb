"""File operations that hang: a store says so in time, and works again afterwards."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagereg.errors import BlobNotFound, StoreUnavailable
from imagereg.stores.filesystem import FilesystemDriver
from imagereg.stores.patience import Patience, PatienceOptions
from tests.server import eventually
from tests.stores.conformance import put
from tests.stores.conftest import Make

LIMIT_S = 0.2
SHORT = PatienceOptions(LIMIT_S, threads=2, warn_percent=100)

#: For what does not hang, on however busy a machine.
LONG = PatienceOptions(60)


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Yield an event that lets everything go on that hangs; it comes at the end."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def hang(
    monkeypatch: pytest.MonkeyPatch, released: threading.Event
) -> Callable[[str], None]:
    """Return a function that makes a function of ``os`` hang until released."""

    def hang(name: str) -> None:
        real = getattr(os, name)

        def hanging(*args: object, **options: object) -> object:
            released.wait()
            return real(*args, **options)

        monkeypatch.setattr(os, name, hanging)

    return hang


def test_what_returns_or_fails_in_time_does_so() -> None:
    patience = Patience(LONG)

    assert patience.call(lambda: 7) == 7
    with pytest.raises(BlobNotFound):
        patience.call(lambda: (_ for _ in ()).throw(BlobNotFound("nothing")))
    with pytest.raises(TimeoutError, match="its own"):
        patience.call(lambda: (_ for _ in ()).throw(TimeoutError("its own")))


def test_without_a_limit_no_thread_is_made() -> None:
    assert Patience(PatienceOptions()).call(threading.current_thread) is (
        threading.current_thread()
    )


def test_what_hangs_keeps_its_thread_and_no_more_than_all(
    released: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    patience = Patience(SHORT)
    begun: list[int] = []

    def hanging() -> None:
        begun.append(1)
        released.wait()

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="does not answer in time"):
                patience.call(hanging)
    # A thread may get its first turn after its time is over.
    assert eventually(lambda: len(begun) >= 2, 60)
    assert len(begun) == 2
    assert "2 of 2 threads for file operations are busy" in caplog.text

    released.set()
    assert eventually(lambda: in_time(lambda: patience.call(lambda: 7)) == 7, 60)


def in_time(question: Callable[[], object]) -> object:
    """Return the answer, or None if it does not come in time."""
    try:
        return question()
    except StoreUnavailable:
        return None


Question = Callable[[FilesystemDriver, str], object]

HANGING: dict[str, tuple[str, Question]] = {
    "delete": ("unlink", lambda driver, url: driver.delete(url)),
    "size": ("stat", lambda driver, url: driver.size(url)),
    "open": ("stat", lambda driver, url: driver.open(url, 0, None)),
    "find": ("stat", lambda driver, url: driver.find("key")),
    "write": (
        "statvfs",
        lambda driver, url: driver.writer("other", 5, replace=True),
    ),
}


@pytest.mark.parametrize("name", HANGING)
def test_a_directory_that_hangs_fails_its_store_in_time(
    make: Make, hang: Callable[[str], None], released: threading.Event, name: str
) -> None:
    function, question = HANGING[name]
    url = put(make(patience=LONG), "key", b"bytes")
    driver = make(patience=SHORT)
    hang(function)
    begun = time.monotonic()

    with pytest.raises(StoreUnavailable):
        question(driver, url)

    assert time.monotonic() - begun < 60
    released.set()


def test_a_directory_that_hangs_gives_way_to_another(
    tmp_path: Path,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    released: threading.Event,
) -> None:
    # The sound one must answer in time.
    patience = PatienceOptions(1, threads=2)
    driver = make((tmp_path / "lost", 2), (tmp_path / "sound", 1), patience=patience)
    real = os.statvfs
    lost = (tmp_path / "lost").stat().st_ino

    def statvfs(home: int) -> os.statvfs_result:
        if os.fstat(home).st_ino == lost:
            released.wait()
        return real(home)

    monkeypatch.setattr(os, "statvfs", statvfs)

    assert put(driver, "key", b"bytes") == f"file://{tmp_path}/sound/key"


def test_a_delete_given_up_may_be_asked_for_again(
    make: Make, hang: Callable[[str], None], released: threading.Event
) -> None:
    url = put(make(patience=LONG), "key", b"bytes")
    driver = make(patience=SHORT)
    hang("unlink")
    with pytest.raises(StoreUnavailable):
        driver.delete(url)

    released.set()

    def is_missing(question: Callable[[str], object]) -> bool:
        try:
            in_time(lambda: question(url))
        except BlobNotFound:
            return True
        return False

    assert eventually(lambda: is_missing(driver.size), 60)
    assert eventually(lambda: is_missing(driver.delete), 60)
