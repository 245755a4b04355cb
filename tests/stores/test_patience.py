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
from tests.stores.conformance import put
from tests.stores.conftest import Make

LIMIT_S = 0.2
SHORT = PatienceOptions(LIMIT_S, threads=2, warn_percent=100)


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
    patience = Patience(SHORT)

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
    assert len(begun) == 2
    assert "2 of 2 threads for file operations are busy" in caplog.text

    released.set()
    deadline = time.monotonic() + 10
    while True:
        try:
            assert patience.call(lambda: 7) == 7
            break
        except StoreUnavailable:
            assert time.monotonic() < deadline


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
    driver = make(patience=SHORT)
    url = put(driver, "key", b"bytes")
    hang(function)
    begun = time.monotonic()

    with pytest.raises(StoreUnavailable):
        question(driver, url)

    assert time.monotonic() - begun < 10
    released.set()


def test_a_directory_that_hangs_gives_way_to_another(
    tmp_path: Path,
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    released: threading.Event,
) -> None:
    driver = make((tmp_path / "lost", 2), (tmp_path / "sound", 1), patience=SHORT)
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
    driver = make(patience=SHORT)
    url = put(driver, "key", b"bytes")
    hang("unlink")
    with pytest.raises(StoreUnavailable):
        driver.delete(url)

    released.set()

    def is_gone() -> bool:
        try:
            driver.size(url)
        except BlobNotFound:
            return True
        return False

    deadline = time.monotonic() + 10
    while not is_gone():
        assert time.monotonic() < deadline
    with pytest.raises(BlobNotFound):
        driver.delete(url)
