"""Reading on elsewhere where a store breaks off.  Source: ruling S-16."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from imagereg.errors import BlobNotFound, StoreUnavailable
from imagereg.stores.driver import BlobReader, HasPath
from imagereg.stores.filesystem import FileOptions, FilesystemDriver
from imagereg.stores.relay import relay

DATA = bytes(range(256)) * 4


class Copy:
    """A reader that breaks after so many bytes."""

    def __init__(self, start: int, size: int, breaks_after: int | None = None) -> None:
        self._data = DATA[start : start + size]
        self._breaks_after = breaks_after
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[bytes]:
        stop = len(self._data) if self._breaks_after is None else self._breaks_after
        for start in range(0, stop, 100):
            yield self._data[start : min(start + 100, stop)]
        if self._breaks_after is not None:
            raise StoreUnavailable("broken")

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("offset", [0, 7])
@pytest.mark.parametrize("breaks_after", [0, 1, 100, 150, len(DATA) - 7])
def test_the_next_copy_goes_on_at_the_same_byte(offset: int, breaks_after: int) -> None:
    size = len(DATA) - 7
    first = Copy(offset, size, breaks_after)
    asked = []

    def second(start: int, length: int) -> BlobReader:
        asked.append((start, length))
        return Copy(start, length)

    read = b"".join(relay(first, offset, [second]))

    assert read == DATA[offset : offset + size]
    # One that breaks after its last byte has given everything.
    wanted = [(offset + breaks_after, size - breaks_after)]
    assert asked == (wanted if breaks_after < size else [])
    assert first.is_closed is (breaks_after < size)


def test_one_copy_after_the_other_may_break() -> None:
    def gone(_start: int, _length: int) -> BlobReader:
        raise BlobNotFound("gone")

    def breaks(start: int, length: int) -> BlobReader:
        return Copy(start, length, 300)

    reader = relay(Copy(0, len(DATA), 300), 0, [gone, breaks, gone, breaks, Copy])

    assert b"".join(reader) == DATA


def test_when_no_copy_is_left_the_first_failure_is_told() -> None:
    def gone(_start: int, _length: int) -> BlobReader:
        raise BlobNotFound("gone")

    reader = relay(Copy(0, len(DATA), 150), 0, [gone, gone])
    read: list[bytes] = []

    with pytest.raises(StoreUnavailable, match="broken"):
        read.extend(reader)

    assert b"".join(read) == DATA[:150]


def test_a_copy_is_opened_only_when_it_is_wanted() -> None:
    def never(_start: int, _length: int) -> BlobReader:
        raise AssertionError

    assert b"".join(relay(Copy(0, len(DATA)), 0, [never])) == DATA


def test_closing_closes_the_copy_that_is_read() -> None:
    second = Copy(300, len(DATA) - 300)
    reader = relay(Copy(0, len(DATA), 300), 0, [lambda _start, _length: second])
    chunks = iter(reader)
    for _ in range(4):
        next(chunks)

    assert not second.is_closed
    with reader:
        pass
    assert second.is_closed


def test_a_file_that_the_kernel_sent_in_part_goes_on_from_there(tmp_path: Path) -> None:
    driver = FilesystemDriver(FileOptions(((tmp_path, 0),), chunk_bytes=64))
    driver.prepare()
    path = tmp_path / "key"
    path.write_bytes(DATA)
    reader = relay(driver.open(f"file://{path}", 10, 900), 10, [Copy])

    assert isinstance(reader, HasPath)
    assert (reader.path, reader.position, reader.size) == (path, 10, 900)
    with path.open("r+b") as file:
        file.truncate(500)
    reader.seek(400)

    assert b"".join(reader) == DATA[400:910]


def test_a_reader_of_no_file_has_no_path() -> None:
    assert not isinstance(relay(Copy(0, 10), 0, []), HasPath)
