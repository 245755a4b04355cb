"""What an upload leaves, whenever it ends."""

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagereg.errors import Forbidden, StoreFull, StoreUnavailable
from imagereg.stores.datadir import DataDir
from imagereg.stores.filewriter import FileWriter
from tests.stores.conformance import put, read
from tests.stores.conftest import Make
from tests.stores.trouble import failing, listed, room

KiB = 1024
MiB = 1024 * KiB


# Durability.


def _calls(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    made: list[str] = []
    for name in names:

        def call(
            *arguments: object,
            _name: str = name,
            _real: object = getattr(os, name),
            **more: object,
        ) -> object:
            made.append(_name)
            return _real(*arguments, **more)  # type: ignore[operator]  # a function of os

        monkeypatch.setattr(os, name, call)
    return made


def test_effects_come_in_the_order_of_the_contract(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make(mode=0o640)
    with driver.writer("key", 5, replace=False) as writer:
        writer.write(b"bytes")
        made = _calls(monkeypatch, "fdatasync", "fchmod", "rename", "fsync")
        writer.commit()

    assert made == ["fdatasync", "fchmod", "rename", "fsync"]


def test_syncs_can_be_switched_off(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _calls(monkeypatch, "fdatasync", "fsync")

    put(make(fsync=False), "key", b"bytes")

    assert made == []


def test_a_killed_writer_leaves_nothing_under_the_name(make: Make, home: Path) -> None:
    driver = make()
    script = (
        "import sys, os, signal\n"
        "from pathlib import Path\n"
        "from imagereg.stores.filesystem import FileOptions, FilesystemDriver\n"
        "driver = FilesystemDriver(FileOptions(((Path(sys.argv[1]), 0),)))\n"
        "with driver.writer('key', 1 << 20, replace=False) as writer:\n"
        "    writer.write(b'x' * 70000)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    done = subprocess.run([sys.executable, "-c", script, home], check=False)

    assert done.returncode == -signal.SIGKILL
    assert driver.find("key") is None
    assert len(listed(home / ".tmp")) == 2  # the lock and the leftover
    assert driver.sweep(key="other") == 0
    assert driver.sweep(older_than_s=3600) == 0
    assert driver.sweep(key="key") == 1
    assert listed(home / ".tmp") == [".lock"]


def test_a_leftover_of_a_dead_writer_keeps_no_room(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    with (home / ".tmp" / "key.0123").open("wb") as leftover:
        leftover.truncate(100 * MiB)
    room(monkeypatch, data=10 * MiB)

    put(driver, "other", bytes(9 * MiB))

    assert driver.sweep() == 1


def test_a_running_upload_is_not_swept(make: Make) -> None:
    driver = make()
    with driver.writer("key", 5, replace=False) as writer:
        writer.write(b"bytes")

        assert driver.sweep(key="key") == 0
        assert read(driver.open(writer.commit().url, 0, None)) == b"bytes"


def test_a_sweep_leaves_alone_what_is_no_leftover(make: Make, home: Path) -> None:
    driver = make()
    (home / ".tmp" / "directory").mkdir()

    assert driver.sweep() == 0


# Failures.


@contextmanager
def _file_size_limit(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("announced", [0, 100])
@pytest.mark.parametrize("is_thin", [False, True])
@pytest.mark.parametrize("limit", [0, 1, 4095, 4096, 9999])
def test_a_full_disk_leaves_nothing_at_any_byte(
    make: Make, home: Path, limit: int, is_thin: bool, announced: int
) -> None:
    driver = make(is_thin=is_thin)

    with (
        pytest.raises(StoreFull),
        _file_size_limit(limit),
        driver.writer("key", announced and limit, replace=False) as writer,
    ):
        for _ in range(100):
            writer.write(b"x" * 100)
        writer.commit()

    assert listed(home) == [".tmp"]
    assert listed(home / ".tmp") == [".lock"]


def test_an_announced_size_beyond_the_limit_fails_at_once(make: Make) -> None:
    driver = make()

    with _file_size_limit(1000), pytest.raises(StoreFull):
        driver.writer("key", 1001, replace=False)

    assert driver.sweep() == 0


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ENOSPC, StoreFull),
        (errno.EDQUOT, StoreFull),
        (errno.EFBIG, StoreFull),
        (errno.EACCES, StoreUnavailable),
        (errno.EROFS, StoreUnavailable),
        (errno.EIO, StoreUnavailable),
    ],
)
@pytest.mark.parametrize("call", ["fdatasync", "rename", "fsync", "fstat"])
def test_a_failing_commit_leaves_nothing(
    make: Make,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    failure: type[Exception],
) -> None:
    driver = make()

    with driver.writer("key", 5, replace=False) as writer:
        writer.write(b"bytes")
        with monkeypatch.context() as broken, pytest.raises(failure):
            broken.setattr(os, call, failing(number))
            writer.commit()

    assert listed(home) == [".tmp"]
    assert listed(home / ".tmp") == [".lock"]


def test_a_write_that_fails_at_close_leaves_nothing(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    real = os.close

    with driver.writer("key", 5, replace=False) as writer:
        assert isinstance(writer, FileWriter)
        upload = writer._file.descriptor

        def close(descriptor: int) -> None:
            real(descriptor)
            if descriptor == upload:
                raise OSError(errno.EIO, "delayed")

        writer.write(b"bytes")
        with monkeypatch.context() as broken, pytest.raises(StoreUnavailable):
            broken.setattr(os, "close", close)
            writer.commit()

    assert listed(home) == [".tmp"]
    assert listed(home / ".tmp") == [".lock"]


def test_writes_that_are_taken_in_pieces_are_whole(make: Make, home: Path) -> None:
    driver = make()
    with driver.writer("key", 0, replace=False) as writer:
        assert isinstance(writer, FileWriter)
        writer._bypass._put = lambda file, data, offset: os.pwrite(
            file, data[:7], offset
        )
        writer.write(b"0123456789" * 10)
        writer.commit()

    assert (home / "key").read_bytes() == b"0123456789" * 10


def test_a_mode_that_cannot_be_set_only_warns(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(os, "fchmod", failing(errno.EPERM))

    put(make(mode=0o640), "key", b"bytes")

    assert "cannot set the mode" in caplog.text


def test_a_file_that_cannot_be_deleted_is_forbidden(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    url = put(driver, "key", b"bytes")
    monkeypatch.setattr(os, "unlink", failing(errno.EPERM))

    with pytest.raises(Forbidden):
        driver.delete(url)


def test_a_directory_without_its_mount_is_unavailable(make: Make, home: Path) -> None:
    driver = make()
    url = put(driver, "key", b"bytes")
    home.rename(home.parent / "away")
    home.mkdir()  # the bare mount point

    for call in (
        lambda: driver.open(url, 0, None),
        lambda: driver.size(url),
        lambda: driver.delete(url),
        lambda: driver.find("key"),
        lambda: driver.sweep(),
        lambda: driver.writer("key", 0, replace=True),
    ):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_file_that_cannot_be_opened_is_unavailable(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    url = put(driver, "key", b"bytes")
    monkeypatch.setattr(DataDir, "open", failing(errno.EACCES))

    with pytest.raises(StoreUnavailable):
        driver.open(url, 0, None)


def test_a_temporary_file_that_cannot_be_locked_is_removed(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    real = fcntl.flock

    def refuse(descriptor: int, operation: int) -> None:
        if operation & fcntl.LOCK_NB:
            raise OSError(errno.ENOLCK, "no locks")
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(StoreUnavailable):
        driver.writer("key", 5, replace=False)
    assert listed(home / ".tmp") == [".lock"]


# Holes.


def _allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.mark.parametrize("chunk_bytes", [1000, 4096, 64 * KiB, 3 * MiB])
def test_zeros_become_holes_however_they_are_cut(
    make: Make, home: Path, chunk_bytes: int
) -> None:
    data = b"a" * 5000 + bytes(MiB) + b"b" * 3000 + bytes(MiB)
    driver = make(is_thin=True)

    with driver.writer("key", len(data), replace=False) as writer:
        for start in range(0, len(data), chunk_bytes):
            writer.write(data[start : start + chunk_bytes])
        writer.commit()

    assert (home / "key").read_bytes() == data
    assert _allocated(home / "key") <= 32 * KiB


def test_without_thin_provisioning_zeros_are_written(make: Make, home: Path) -> None:
    put(make(), "key", bytes(MiB))

    assert _allocated(home / "key") >= MiB
