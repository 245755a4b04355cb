"""What a pattern shows without being run against every name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.protection.patterns import (
    Shape,
    covers,
    find_anchors,
    find_shape,
    is_catch_all,
    sample_name,
    skeletons,
)


@pytest.mark.parametrize(
    ("pattern", "shape"),
    [
        ("x_a", Shape("x_a", starts=False, ends=False)),
        ("x_.*", Shape("x_", starts=False, ends=False)),
        ("^x_.*", Shape("x_", starts=True, ends=False)),
        ("^x_.*$", Shape("x_", starts=True, ends=False)),
        ("^.*_x$", Shape("_x", starts=False, ends=True)),
        (r"\Ax_a\Z", Shape("x_a", starts=True, ends=True)),
        (r"^hw\.b$", Shape("hw.b", starts=True, ends=True)),
        (r"^a\$", Shape("a$", starts=True, ends=False)),
        (".*", Shape("", starts=False, ends=False)),
        (r"a\.*", None),
        (r"^a\\.*", Shape("a\\", starts=True, ends=False)),
        ("x_[ab]", None),
        ("^x.y$", None),
        ("(?i)^x$", None),
        (r"\d", None),
    ],
)
def test_shapes(pattern: str, shape: Shape | None) -> None:
    assert find_shape(pattern) == shape


@pytest.mark.parametrize(
    ("earlier", "later", "covered"),
    [
        (".*", "^x$", True),
        ("^[ab]+$", "^[ab]+$", True),
        ("x_", "x_none_read", True),
        ("x_.*", "^x_a$", True),
        ("^x_", "^x_a", True),
        ("^x_", "x_a", False),
        ("x_a", "x_", False),
        ("_b$", "^a_b$", True),
        ("_b$", "a_b$", True),
        ("_b$", "a_b", False),
        ("^x$", "x", False),
        ("[a-z]_", "^x_a$", True),
        ("[a-z]_", "x_", False),
        ("x_", "x_[ab]", False),
        ("^license", "(?i)^license", False),
        (".*", "[ab]", True),
        ("^x_$", "^x_", False),
        ("^x_$", "^x_a", False),
        ("^_x$", "_x$", False),
        ("_b$", "_c$", False),
    ],
)
def test_covering(earlier: str, later: str, covered: bool) -> None:
    assert covers(re.compile(earlier), re.compile(later)) is covered


SIMPLE = st.tuples(
    st.sampled_from(["", "^", ".*", "^.*"]),
    st.text(alphabet="ab_", max_size=3),
    st.sampled_from(["", "$", ".*", ".*$"]),
).map("".join)


@given(SIMPLE, SIMPLE, st.text(alphabet="ab_x", max_size=6))
def test_covering_is_never_claimed_wrongly(earlier: str, later: str, name: str) -> None:
    first, second = re.compile(earlier), re.compile(later)

    if covers(first, second) and second.search(name) and name:
        assert first.search(name)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (".*", True),
        ("", True),
        (".", True),
        ("^.+$", True),
        ("^(.*)$", True),
        ("x*", True),
        (r"\w", False),
        ("[^x]", False),
        ("^$", False),
        ("[ -~]", False),
        ("[ -~é]", True),
        ("[^~]", False),
        ("$", True),
    ],
)
def test_catch_all(pattern: str, expected: bool) -> None:
    assert is_catch_all(re.compile(pattern)) is expected


@pytest.mark.parametrize(
    ("pattern", "anchors"),
    [
        ("x", [(False, False)]),
        ("^x$", [(True, True)]),
        ("(?i)^x", [(True, False)]),
        ("^a|b$", [(True, False), (False, True)]),
        ("^(a|b)$", [(True, True)]),
        ("^((a|b)|c)(?i:d)$", [(True, True)]),
        ("^a[|]b", [(True, False)]),
        (r"a\|b\$", [(False, False)]),
        ("(?i)^a|b$", [(True, False), (False, True)]),
        ("^(a)|b$", [(True, False), (False, True)]),
    ],
)
def test_anchors(pattern: str, anchors: list[tuple[bool, bool]]) -> None:
    assert find_anchors(pattern) == anchors


@pytest.mark.parametrize(
    "pattern", ["x_none_read", "^x_[ab]$", r"\d{3}_", "a{2,}b?", "[^a]", "(x)+", "x$|b"]
)
def test_a_sample_matches(pattern: str) -> None:
    name = sample_name(re.compile(pattern))

    assert name is not None
    assert re.search(pattern, name)


def test_no_sample_is_better_than_a_wrong_one() -> None:
    assert sample_name(re.compile("^(cpu|mem)_$")) is None


def test_a_huge_count_makes_no_huge_sample() -> None:
    assert sample_name(re.compile("a{4000000}")) is None


def test_skeletons_end_before_each_repetition_and_each_group() -> None:
    assert [*skeletons("ab*c{3}(d|e)")] == ["a", "ab", "abccc", "abcccde"]


@pytest.mark.filterwarnings("error")
def test_odd_classes_are_sampled_without_a_warning() -> None:
    assert [*skeletons("x[[a]")] == ["xa"]
