"""The syntax, held against `configparser`, whose dialect it is."""

import configparser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagereg.protection.ini import RawFile, RawSection, Remark, parse_ini


def oracle(text: str) -> dict[str, dict[str, str]] | None:
    """Return what `configparser` makes of ``text``, None where it refuses."""
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        parser.read_string(text.replace("\r\n", "\n").replace("\r", "\n"))
    except configparser.Error:
        return None
    return {name: dict(parser.items(name)) for name in parser.sections()}


def read(text: str) -> RawFile:
    raw = parse_ini(text)

    assert not raw.faults
    return raw


def flat(raw: RawFile) -> dict[str, dict[str, str]]:
    defaults = {key: entry.value for key, entry in raw.defaults.entries.items()}
    return {
        section.name: defaults
        | {key: entry.value for key, entry in section.entries.items()}
        for section in raw.sections
    }


LINES = st.sampled_from(
    [
        "[a]",
        "[b]",
        "[a[b]]",
        " [c]",
        "[d] rest",
        "[]",
        "[DEFAULT]",
        "create = x",
        "CREATE : x = y",
        "read=",
        "  read = z",
        "update",
        "   more",
        " # note",
        "; note",
        "delete = @ ; note",
        "= x",
        "",
        "   ",
        "\t",
        "create\t=\t%%x",
    ]
)


@given(st.lists(LINES, max_size=12), st.sampled_from(["\n", "\r\n", "\r"]))
@example(["[a]", "create = x", "", "   more"], "\n")
@example(["[a]", "create = x", " # note", "   more"], "\n")
@example(["[a]", "read=", "  read = z"], "\n")
def test_reads_what_configparser_reads(lines: list[str], end: str) -> None:
    text = end.join(lines)

    raw = parse_ini(text)

    assert (None if raw.faults else flat(raw)) == oracle(text)


@given(st.text(alphabet="[]=:#;%ab \n\t", max_size=60))
def test_reads_any_text_as_configparser_does(text: str) -> None:
    raw = parse_ini(text)

    assert (None if raw.faults else flat(raw)) == oracle(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[^x_[ab]$]\ncreate = a", {"^x_[ab]$": {"create": "a"}}),
        ("[X]\n[x]", {"X": {}, "x": {}}),
        ("[a]\nCreate : b", {"a": {"create": "b"}}),
        ("[a]\ncreate = b,\n  c\n\n  d\n", {"a": {"create": "b,\nc\n\nd"}}),
        ("[a]\ncreate = b, \n  c, \n  d ", {"a": {"create": "b,\nc,\nd"}}),
        ("[a]\ncreate = @ ; note", {"a": {"create": "@ ; note"}}),
        ("[a]\ncreate = b=c:d", {"a": {"create": "b=c:d"}}),
        ("[a]\ncreate = %(x)s %%", {"a": {"create": "%(x)s %%"}}),
        (
            "[DEFAULT]\nread = d\n[a]\n[b]\nread = e",
            {"a": {"read": "d"}, "b": {"read": "e"}},
        ),
        (
            "[DEFAULT]\nread = d\n[DEFAULT]\ncreate = c\n[a]",
            {"a": {"read": "d", "create": "c"}},
        ),
        ("# one\n; two\n  # three\n", {}),
        ("  [a]\n  read = b\n  update = c", {"a": {"read": "b", "update": "c"}}),
        (
            "[a]\nread = b\n[c]\n  update = d",
            {"a": {"read": "b"}, "c": {"update": "d"}},
        ),
    ],
)
def test_syntax(text: str, expected: dict[str, dict[str, str]]) -> None:
    raw = read(text)

    assert flat(raw) == expected


def test_defaults_that_are_not_written_have_no_place() -> None:
    assert read("[a]\n").defaults == RawSection("DEFAULT", 0, {})


def test_entries_remember_their_lines() -> None:
    raw = read("# head\n[a]\r\n\rcreate = b\n  c\nread = d\n")

    (section,) = raw.sections
    lines = {key: entry.line for key, entry in section.entries.items()}
    assert (section.line, lines) == (2, {"create": 4, "read": 6})


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("create = a\n[a]", ["f:1: `create = a` stands before the first section"]),
        (
            "[a]\nx\n[a]",
            [
                "f:2: [a]: `x` is neither a header nor `key = value`",
                "f:3: [a]: section stands twice, first on line 1",
            ],
        ),
        ("[a]\nread = 1\nREAD: 2", ["f:3: [a] read: stands twice, first on line 2"]),
        ("[a]\n= 1\n", ["f:2: [a]: `= 1` is neither a header nor `key = value`"]),
        ("[]\n", ["f:1: `[]` stands before the first section"]),
        (
            "[a]\nnonsense\n  and its continuation",
            ["f:2: [a]: `nonsense` is neither a header nor `key = value`"],
        ),
        (
            "[DEFAULT]\nread = 1\n[DEFAULT]\nread = 2",
            ["f:4: [DEFAULT] read: stands twice, first on line 2"],
        ),
    ],
)
def test_every_fault_is_told_with_its_place(text: str, faults: list[str]) -> None:
    raw = parse_ini(text)

    assert [fault.render("f") for fault in raw.faults] == faults


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("[a] # note", ["f:1: [a]: `# note` after the header is ignored"]),
        (
            "[a]\nread = 1\n  [b]",
            ["f:3: [a] read: indented, so it continues the value of `read`"],
        ),
        (
            "[a]\nread = 1\n  [b] # note",
            ["f:3: [a] read: indented, so it continues the value of `read`"],
        ),
        (
            "[a]\nread = 1\n  Update = 2",
            ["f:3: [a] read: indented, so it continues the value of `read`"],
        ),
        ("[a]\nread = role:b\n  or role:c", []),
    ],
)
def test_what_is_hardly_meant_is_told(text: str, warnings: list[str]) -> None:
    raw = read(text)

    assert [warning.render("f") for warning in raw.warnings] == warnings


def test_before_the_first_section_a_warning_names_the_key() -> None:
    raw = parse_ini("x = 1\n  read = 2")

    assert [warning.render("f") for warning in raw.warnings] == [
        "f:2: x: indented, so it continues the value of `x`"
    ]


def test_a_remark_without_a_place_names_the_file() -> None:
    remark = Remark(0, "", "", "no sections")

    assert remark.render("f") == "f: no sections"
