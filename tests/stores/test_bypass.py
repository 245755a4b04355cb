"""Large uploads go past the page cache, and arrive all the same."""

import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.errors import StoreFull
from imagereg.stores import bypass
from imagereg.stores.bypass import BLOCK_BYTES, Blocks
from imagereg.stores.filewriter import FileWriter
from tests.stores.conftest import Make
from tests.stores.trouble import listed

KiB = 1024
MiB = 1024 * KiB

#: What is written, and what of it comes before the first block and after the last.
CONTENT = os.urandom(5 * MiB + 12345)


class Disk:
    """Writes as the system does, and notes how; or fails where it is told to."""

    def __init__(self, fail_direct: int = 0, at_most: int = MiB) -> None:
        self.writes: list[tuple[int, int, bool]] = []
        self._fail_direct = fail_direct
        self._at_most = at_most

    def put(self, file: int, data: bytes | memoryview, offset: int) -> int:
        is_direct = bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT)
        if is_direct and self._fail_direct:
            raise OSError(self._fail_direct, "as told")
        done = os.pwrite(file, data[: self._at_most], offset)
        self.writes.append((offset, done, is_direct))
        return done

    @property
    def direct(self) -> list[int]:
        """Offsets of what went past the cache, in MiB."""
        return [offset // MiB for offset, _, is_direct in self.writes if is_direct]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large begins at 2 MiB, and every disk is fast enough."""
    monkeypatch.setattr(bypass, "CACHED_BYTES", 2 * MiB)
    monkeypatch.setattr(bypass, "WORTH_BYTES_PER_S", 0)


def _upload(make: Make, home: Path, disk: Disk, piece: int = MiB) -> None:
    """Upload `CONTENT`; fail unless the file has it."""
    with make().writer("key", 0, replace=False) as writer:
        assert isinstance(writer, FileWriter)
        writer._bypass._put = disk.put
        for start in range(0, len(CONTENT), piece):
            writer.write(CONTENT[start : start + piece])
        writer.commit()
    assert (home / "key").read_bytes() == CONTENT


@given(st.lists(st.integers(0, 3 * BLOCK_BYTES), max_size=5))
def test_blocks_are_the_stream_in_order(sizes: Sequence[int]) -> None:
    blocks = Blocks()
    stream = os.urandom(sum(sizes))
    found = bytearray()
    start = 0

    for size in sizes:
        for offset, block in blocks.feed(stream[start : start + size]):
            assert (offset, len(block)) == (len(found), BLOCK_BYTES)
            found += block
        start += size
    for offset, block in blocks.finish():
        assert offset == len(found)
        assert 0 < len(block) < BLOCK_BYTES
        found += block

    assert found == stream
    assert list(blocks.finish()) == []


@pytest.mark.parametrize("piece", [MiB, MiB + 1, 100_001])
def test_whole_blocks_of_a_large_upload_bypass_the_cache(
    make: Make, home: Path, piece: int
) -> None:
    disk = Disk()

    _upload(make, home, disk, piece)

    assert [size for _, size, _ in disk.writes] == [*[MiB] * 5, 12345]
    assert disk.direct == [2, 3, 4]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_file_system_that_refuses_the_first_block_gets_all_by_the_cache(
    make: Make, home: Path, number: int
) -> None:
    disk = Disk(fail_direct=number)

    _upload(make, home, disk)

    assert disk.direct == []


def test_a_file_system_without_a_bypass_gets_all_by_the_cache(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    real = fcntl.fcntl
    asked: list[int] = []

    def refuse(file: int, command: int, argument: int = 0) -> int:
        if command == fcntl.F_SETFL and argument & os.O_DIRECT:
            asked.append(file)
            raise OSError(errno.EINVAL, "no such thing here")
        return real(file, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    _upload(make, home, disk)

    assert disk.direct == []
    assert len(asked) == 1


def test_a_disk_that_is_slow_by_itself_gets_the_rest_by_the_cache(
    make: Make, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bypass, "TRIAL_BYTES", 2 * MiB)
    monkeypatch.setattr(bypass, "WORTH_BYTES_PER_S", 1e18)
    disk = Disk()

    _upload(make, home, disk)

    assert disk.direct == [2, 3]


def test_what_a_block_lacks_when_it_was_taken_in_part_follows_by_the_cache(
    make: Make, home: Path
) -> None:
    disk = Disk(at_most=700 * KiB)

    _upload(make, home, disk)

    assert disk.direct == [2, 3, 4]
    assert [size // KiB for _, size, _ in disk.writes[:2]] == [700, 324]


def test_a_full_disk_is_told_past_the_cache_too(make: Make, home: Path) -> None:
    with (
        pytest.raises(StoreFull),
        make().writer("key", len(CONTENT), replace=False) as writer,
    ):
        assert isinstance(writer, FileWriter)
        writer._bypass._put = Disk(fail_direct=errno.ENOSPC).put
        writer.write(CONTENT)

    assert listed(home) == [".tmp"]
    assert listed(home / ".tmp") == [".lock"]


@pytest.mark.parametrize("option", ["is_thin", "no sync"])
def test_holes_and_unsynced_files_stay_in_the_cache(
    make: Make, home: Path, option: str
) -> None:
    disk = Disk()
    driver = make(is_thin=True) if option == "is_thin" else make(fsync=False)

    with driver.writer("key", 0, replace=False) as writer:
        assert isinstance(writer, FileWriter)
        writer._bypass._put = disk.put
        writer.write(CONTENT)
        writer.commit()

    assert disk.writes
    assert disk.direct == []
    assert (home / "key").read_bytes() == CONTENT
