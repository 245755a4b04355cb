"""Ranges and digests of a local file."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.client.localfile import LocalFile, Range, SentRange, missing
from imagereg.errors import FileChanged, Invalid

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("present", "size", "wanted"),
    [
        ([], 0, []),
        ([], 10, [(0, 4), (4, 8), (8, 10)]),
        ([(0, 4)], 10, [(4, 8), (8, 10)]),
        ([(4, 8), (0, 4)], 8, []),
        ([(3, 5)], 10, [(0, 3), (5, 8), (8, 10)]),
        ([(0, 1), (9, 10)], 10, [(1, 4), (4, 8), (8, 9)]),
    ],
)
def test_what_is_missing(
    present: list[tuple[int, int]], size: int, wanted: list[tuple[int, int]]
) -> None:
    ranges = [Range(*pair) for pair in present]

    assert missing(ranges, size, 4) == [Range(*pair) for pair in wanted]


@given(st.sets(st.integers(0, 60)), st.integers(1, 60), st.integers(1, 70))
def test_what_is_there_and_what_is_missing_make_the_whole(
    there: set[int], size: int, part_bytes: int
) -> None:
    there = {position for position in there if position < size}
    present = [Range(position, position + 1) for position in there]

    gaps = missing(present, size, part_bytes)

    covered = [position for gap in gaps for position in range(gap.start, gap.stop)]
    assert sorted([*covered, *there]) == list(range(size))
    assert all(0 < gap.size <= part_bytes for gap in gaps)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(os.urandom(2 * MIB + 5))
    return path


def test_a_range_is_read_and_digested(path: Path) -> None:
    part = Range(3, MIB + 10)

    with LocalFile(path) as file:
        data = b"".join(file.read(part))
        digest = file.digest(part, "sha256")

    assert data == path.read_bytes()[3 : MIB + 10]
    assert digest == hashlib.sha256(data).hexdigest()


def test_what_is_sent_is_counted_and_can_be_taken_back(path: Path) -> None:
    counted: list[int] = []

    with LocalFile(path) as file:
        body = SentRange(file, Range(0, MIB + 1), counted.append)
        sent = b"".join(body)
        body.take_back()

    assert len(sent) == MIB + 1
    assert counted == [MIB, 1, -MIB - 1]


def test_a_file_that_becomes_shorter_is_not_read_as_if_it_ended(path: Path) -> None:
    with LocalFile(path) as file:
        os.truncate(path, MIB)

        with pytest.raises(FileChanged):
            list(file.read(Range(0, 2 * MIB)))
        with pytest.raises(FileChanged):
            file.check_unchanged()


def test_a_file_that_was_written_to_is_another_one(path: Path) -> None:
    with LocalFile(path) as file:
        file.check_unchanged()
        os.utime(path, ns=(1, 1))

        with pytest.raises(FileChanged):
            file.check_unchanged()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    for place in (pipe, tmp_path, tmp_path / "absent"):
        with pytest.raises(Invalid):
            LocalFile(place)
