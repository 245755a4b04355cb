"""The text of a file.  The cases were observed on the reference reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.settings.dump import escape_text
from imagereg.settings.syntax import Entry, fold_section, parse_entries


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[s]\na = 1", {"s.a": "1"}),
        ("[s]\na=1\nb: 2\nc : 3", {"s.a": "1", "s.b": "2", "s.c": "3"}),
        ("[s]\na : x=y\nb = x:y", {"s.a": "x=y", "s.b": "x:y"}),
        ("[s]\na =", {"s.a": ""}),
        ("[s]\na = 1\n[t]\na = 2\n[s]\nb = 3", {"s.a": "1", "t.a": "2", "s.b": "3"}),
        ("[S]\na = 1", {"s.a": "1"}),  # section names in any case
        ("[s]\nA = 1", {"s.A": "1"}),  # option names in theirs
        ("[default]\na = 1\n[DEFAULT]\nb = 2", {"default.a": "1", "DEFAULT.b": "2"}),
        ("# c\n; c\n[s]\n#a = 1\n;b = 1\na = 2", {"s.a": "2"}),
        ("[s]\na = 1 # no comment ; nor here", {"s.a": "1 # no comment ; nor here"}),
        ("[s]\na = 1\n  2\n\t3", {"s.a": "1\n2\n3"}),
        ("[s]\na =\n  2", {"s.a": "\n2"}),
        ("[s]\na = 1\n  # no comment", {"s.a": "1\n# no comment"}),
        ("[s]\na = 1\n  b = 2", {"s.a": "1\nb = 2"}),
        ("[s]\na = 1\n  [t]", {"s.a": "1\n[t]"}),
        ("[s]\na = \" x \"\nb = 'y'", {"s.a": " x ", "s.b": "y"}),
        ('[s]\na = ""x""', {"s.a": '"x"'}),  # one pair only
        ('[s]\na = \'x"\nb = "', {"s.a": "'x\"", "s.b": '"'}),
        ('[s]\na = "x"\n  "y"', {"s.a": 'x\n"y"'}),  # of the first line only
        ('[s]\na = "x\n  y"', {"s.a": '"x\ny"'}),
        ("[a]b]\nx = 1", {"a]b.x": "1"}),
        ("[s]\na b = 1", {"s.a b": "1"}),
        ("[s]\na = 100%", {"s.a": "100%"}),
        ("\n  \n[s]  \na = 1  ", {"s.a": "1"}),
    ],
)
def test_values_are_read_as_the_reference_reads_them(
    text: str, expected: dict[str, str]
) -> None:
    entries, faults = parse_entries(text, "f")

    assert {
        f"{entry.section}.{entry.name}": entry.value for entry in entries
    } == expected
    assert faults == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1", ["f:1: `a` stands before any section"]),
        ("[s]\na", ["f:2: expected `name = value`"]),
        ("[s]\n= 1", ["f:2: expected `name = value`"]),
        ("[s]\nhunter2", ["f:2: expected `name = value`"]),
        ("[s\na = 1", ["f:1: `[s` does not end with `]`"]),
        ("[s] x", ["f:1: `[s] x` does not end with `]`"]),
        ("[", ["f:1: `[` does not end with `]`"]),
        ("[]\na = 1", ["f:1: the section has no name"]),
        (
            "[s]\n  a = 1",
            ["f:2: an indented line, and no value above it to continue"],
        ),
        (
            "[s]\na = 1\n\n  2",
            ["f:4: an indented line, and no value above it to continue"],
        ),
        (
            "[s]\na = 1\n# c\n  2",
            ["f:4: an indented line, and no value above it to continue"],
        ),
        ("[s]\nhunter\n  2\n  3", ["f:2: expected `name = value`"]),  # told once
        (
            "a = 1\n[s]\nb",
            ["f:1: `a` stands before any section", "f:3: expected `name = value`"],
        ),
    ],
)
def test_broken_lines_are_all_named_with_their_place(
    text: str, expected: list[str]
) -> None:
    _, faults = parse_entries(text, "f")

    assert faults == expected


def test_an_entry_knows_its_place() -> None:
    entries, _ = parse_entries("# c\n[S]\n\na = 1\n  2", "x/y.conf")

    assert entries == [Entry("s", "a", "1\n2", "x/y.conf", 4)]
    assert entries[0].place == "x/y.conf:4"


LINE = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=20
)
NAME = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)


def _written(lines: list[str]) -> str:
    """Return a value as it stands in a file; `$` is not the reader's business."""
    return escape_text("\n".join(lines)).replace("$$", "$")


@given(st.dictionaries(st.tuples(NAME, NAME), st.lists(LINE, max_size=3), max_size=8))
def test_what_is_written_is_read_again(
    written: dict[tuple[str, str], list[str]],
) -> None:
    text = "".join(
        f"[{section}]\n{name} = {_written(lines)}\n"
        for (section, name), lines in written.items()
    )

    entries, faults = parse_entries(text, "f")

    assert faults == []
    assert {(entry.section, entry.name): entry.value for entry in entries} == {
        key: "\n".join(lines) for key, lines in written.items()
    }


@given(st.text())
def test_any_text_gives_entries_or_faults(text: str) -> None:
    entries, faults = parse_entries(text, "f")

    assert all(entry.section == fold_section(entry.section) for entry in entries)
    assert all(fault.startswith("f:") for fault in faults)
