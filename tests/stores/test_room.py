"""Free space is kept for those who announced their size."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imagereg.errors import StoreFull
from imagereg.stores import filewriter
from tests.stores.conformance import put
from tests.stores.conftest import Make
from tests.stores.trouble import room

KiB = 1024
MiB = 1024 * KiB


def test_an_announced_size_must_fit_beside_the_reserve(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make(reserve_bytes=100)
    room(monkeypatch, data=1000)

    with pytest.raises(StoreFull):
        driver.writer("key", 901, replace=False)
    assert driver.sweep() == 0
    with driver.writer("key", 900, replace=False):
        pass


def test_running_uploads_keep_their_room(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    room(monkeypatch, data=10 * MiB)

    with driver.writer("one", 6 * MiB, replace=False):
        with pytest.raises(StoreFull):
            driver.writer("two", 6 * MiB, replace=False)
        with driver.writer("three", 3 * MiB, replace=False):
            pass

    with driver.writer("two", 6 * MiB, replace=False):
        pass


def test_what_is_written_is_not_kept_twice(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    room(monkeypatch, data=10 * MiB)

    with driver.writer("one", 6 * MiB, replace=False) as writer:
        writer.write(b"x" * 6 * MiB)
        room(monkeypatch, data=4 * MiB)

        with driver.writer("two", 4 * MiB - 64 * KiB, replace=False):
            pass


HOLD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from imagereg.stores.filesystem import FileOptions, FilesystemDriver\n"
    "driver = FilesystemDriver(FileOptions(((Path(sys.argv[1]), 0),)))\n"
    "with driver.writer('one', 6 << 20, replace=False):\n"
    "    print('ready', flush=True)\n"
    "    sys.stdin.read()\n"
)


def test_uploads_of_other_processes_keep_their_room_while_they_live(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    room(monkeypatch, data=10 * MiB)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, home],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"ready\n"

        with pytest.raises(StoreFull):
            driver.writer("two", 6 * MiB, replace=False)
        other.kill()
        other.wait()
        with driver.writer("two", 6 * MiB, replace=False):
            pass

    assert driver.sweep() == 1


def test_an_upload_of_unknown_length_stops_at_the_reserve(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filewriter, "RESERVE_CHECK_BYTES", 1000)
    driver = make(reserve_bytes=100)

    with driver.writer("key", 0, replace=False) as writer:
        writer.write(b"x" * 999)
        writer.write(b"x" * 2)
        room(monkeypatch, data=99)
        writer.write(b"x" * 900)
        with pytest.raises(StoreFull):
            writer.write(b"x" * 200)


def test_a_large_upload_leaves_the_page_cache(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filewriter, "STRIDE_BYTES", 10)
    advised: list[tuple[int, int]] = []
    monkeypatch.setattr(
        os, "posix_fadvise", lambda _, start, size, __: advised.append((start, size))
    )

    put(make(), "key", b"x" * 65)

    assert advised == [(n, 10) for n in (0, 10, 20, 30, 40, 0, 50, 10)]
