"""Byte ranges.  Source: RFC 9110 section 14; contract api-images 16, D-8."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.errors import ImageRegError, Invalid, MultipleRanges, RangeNotSatisfiable
from imagereg.images.ranges import (
    StagedRange,
    parse_content_range,
    parse_range,
    parse_staged_range,
)


@pytest.mark.parametrize(
    ("header", "size", "wanted"),
    [
        ("bytes=0-4", 10, range(5)),
        ("bytes=5-", 10, range(5, 10)),
        ("bytes=0-100", 10, range(10)),
        ("bytes=-3", 10, range(7, 10)),
        ("bytes=-100", 10, range(10)),
        ("bytes=9-9", 10, range(9, 10)),
        ("bytes= 1 - 2 ", 10, range(1, 3)),
        ("bytes=0-0", 1, range(1)),
        ("bytes=00-01", 10, range(2)),
        (f"bytes=0-{2**63}", 10, range(10)),
    ],
)
def test_ranges(header: str, size: int, wanted: range) -> None:
    assert parse_range(header, size) == wanted


@pytest.mark.parametrize(
    ("header", "size"),
    [
        *((header, 10) for header in ("bytes=10-", "bytes=4-3", "bytes=-", "bytes=-0")),
        *((header, 10) for header in ("", "bytes", "bytes=", "bytes=a-b", "x=0-1")),
        *(
            (header, 10)
            for header in ("Bytes=0-1", "bytes=1", "bytes=--1", "bytes=+1-2")
        ),
        *((header, 10) for header in ("bytes=0x1-2", "bytes=٣-٤", "bytes=1_0-", "0-1")),
        (f"bytes={'9' * 21}-", 10),
        (f"bytes=0-{'9' * 5000}", 10),
        ("bytes=0-", 0),
        ("bytes=0-0", 0),
        ("bytes=-1", 0),
    ],
)
def test_what_is_no_range_or_has_no_byte(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        parse_range(header, size)

    assert refused.value.size_bytes == size


@pytest.mark.parametrize(
    "header", ["bytes=0-1,2-3", "bytes=0-1, -1", ",", "bytes=0-1,"]
)
def test_several_ranges_are_refused_otherwise(header: str) -> None:
    with pytest.raises(MultipleRanges):
        parse_range(header, 10)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes 0-4/10", range(5)),
        ("bytes 0-4/*", range(5)),
        (" bytes 9-9/10 ", range(9, 10)),
        ("bytes 0-10/*", None),
        ("bytes 0-4/11", None),
        ("bytes 4-3/10", None),
        ("bytes 10-10/10", None),
        ("bytes=0-4", None),
        ("bytes 0-4", None),
        ("bytes */10", None),
        (f"bytes 0-4/{'1' * 21}", None),
        (f"bytes {'0' * 5000}-4/*", None),
    ],
)
def test_the_old_header(header: str, wanted: range | None) -> None:
    if wanted is not None:
        assert parse_content_range(header, 10) == wanted
        return
    with pytest.raises(RangeNotSatisfiable):
        parse_content_range(header, 10)


SIZES = st.integers(0, 50)


@given(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)), SIZES)
def test_a_range_means_what_the_rfc_says(
    first: int, last: int | None, size: int
) -> None:
    wanted = [n for n in range(size) if first <= n and (last is None or n <= last)]
    header = f"bytes={first}-{'' if last is None else last}"

    try:
        found = list(parse_range(header, size))
    except RangeNotSatisfiable:
        found = []

    assert found == wanted


@given(st.integers(0, 60), SIZES)
def test_a_suffix_means_what_the_rfc_says(length: int, size: int) -> None:
    wanted = [n for n in range(size) if n >= size - length]

    try:
        found = list(parse_range(f"bytes=-{length}", size))
    except RangeNotSatisfiable:
        found = []

    assert found == wanted


@given(st.text("bytes=-, /*0123456789x", max_size=40), SIZES)
def test_no_header_breaks_the_parsers(header: str, size: int) -> None:
    for parse in (parse_range, parse_content_range):
        try:
            found = parse(header, size)
        except ImageRegError:
            continue

        assert 0 <= found.start < found.stop <= size


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes 0-0/1", StagedRange(0, 1, 1)),
        (" bytes 2-4/9 ", StagedRange(2, 5, 9)),
        ("bytes 2-4/*", StagedRange(2, 5, None)),
    ],
)
def test_ranges_of_uploads(header: str, wanted: StagedRange) -> None:
    assert parse_staged_range(header) == wanted


HEADERS = st.text() | st.from_regex(r"bytes [0-9]*-[0-9]*/([0-9]*|\*)", fullmatch=True)


@given(HEADERS)
def test_any_text_is_a_range_of_an_upload_or_refused(header: str) -> None:
    try:
        found = parse_staged_range(header)
    except Invalid:
        return

    assert 0 <= found.start < found.stop
    assert found.total is None or found.stop <= found.total
