"""Policy files: JSON first, then YAML, every entry with its line."""

from pathlib import Path

import pytest

from imagereg.policy.files import PolicyFiles, read_policy_files
from imagereg.policy.language import Unreadable


def read(tmp_path: Path, text: str | bytes) -> PolicyFiles:
    """Return what a main file of this content says."""
    file = tmp_path / "policy.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_policy_files(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("# nothing\n", []),
        ("---\n", []),
        ("{}", []),
        ("{ }\n", []),
        ('{"a": ""}', [("a", "", 1)]),
        ('\n{\n\t"a":"b",\n\n\t"c": ["d"]\n}\n', [("a", "b", 3), ("c", ["d"], 5)]),
        ('{"a": null, "b": 5, "c": {}}', [("a", None, 1), ("b", 5, 1), ("c", {}, 1)]),
        ('{"a": "b", # why\n "c": "d",}', [("a", "b", 1), ("c", "d", 2)]),
        ("\ufeffa: role:b\n", [("a", "role:b", 1)]),
        ('\ufeff{"a": null}', [("a", None, 1)]),
        (
            'a: "@"\n"b": [[role:c, "!"], d:e]\n',
            [("a", "@", 1), ("b", [["role:c", "!"], "d:e"], 2)],
        ),
        ("a: &x role:b\nc: *x\n", [("a", "role:b", 1), ("c", "role:b", 2)]),
    ],
)
def test_entries_carry_their_lines(
    tmp_path: Path, text: str, expected: list[object]
) -> None:
    found = read(tmp_path, text)

    assert not found.faults
    assert [(one.name, one.value, one.origin.line) for one in found.entries] == expected


@pytest.mark.parametrize(
    "value",
    ["!", "! role:b", "!!str role:b", "null", "", "~", "5", "yes", "2020-01-01"],
)
def test_yaml_values_that_are_no_text_are_marked(tmp_path: Path, value: str) -> None:
    (entry,) = read(tmp_path, f"a: {value}\n").entries

    assert isinstance(entry.value, Unreadable)


@pytest.mark.parametrize("value", ["{b: c}", "[{b: c}]", "[[[b]]]", "[null]", "[!x b]"])
def test_yaml_lists_of_something_else_are_marked(tmp_path: Path, value: str) -> None:
    (entry,) = read(tmp_path, f"a: {value}\n").entries

    assert isinstance(entry.value, Unreadable)


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('{"a": "b",\n "a": "b"}', 2, "rule `a`: stands twice, first in line 1"),
        ("a: b:c\nd: e:f\na: b:c\n", 3, "rule `a`: stands twice, first in line 1"),
        ("[a, b]", 1, "not YAML: expected names with rules"),
        ('"a"', 1, "not YAML: expected names with rules"),
        ('X{"a": "b"}', 1, "not YAML: expected <block end>"),
        ("null", 1, "not YAML: expected names with rules"),
        ('{"a": "b"', 1, "not JSON"),
        ('{\n\t"a": "b",\n}', 3, "not JSON"),
        ('{"a" "b"}', 1, "not JSON"),
        ('\n{"a": "b"', 2, "not JSON"),
        ('{"a"; "b"}', 1, "not JSON: expected ':'"),
        ('{"a": "b"} x', 1, "not JSON: more behind the end"),
        ("{} x", 1, "not JSON: more behind the end"),
        ('{"a": ' + "[" * 3000, 1, "not YAML: too deeply nested"),
        ('{5: "b", [}', 1, "not JSON: a name is a text in quotes"),
        ("a: @b\n", 1, "not YAML: found character '@'"),
        ("a: b:c\nd: %(e)s\n", 2, "not YAML: found character '%'"),
        ("a: b\n---\nc: d\n", 2, "not YAML: but found another document"),
        ("a: \x01", 1, "not YAML: unacceptable character #x0001"),
        ("1: role:a\n", 1, "rule `1`: a name is a text"),
        ("? [a]\n: role:a\n", 1, "rule `a sequence`: a name is a text"),
        ("a: role:a\n!x b: role:a\n", 2, "rule `b`: a name is a text"),
        ("a: role:a\n!!str b: role:a\n", 2, "rule `b`: a name is a text"),
        ("[" * 3000, 1, "not YAML: too deeply nested"),
        (b"a: \xff", None, "not UTF-8 text: invalid start byte"),
    ],
)
def test_faults_name_file_and_line(
    tmp_path: Path, text: str | bytes, line: int | None, what: str
) -> None:
    found = read(tmp_path, text)

    place = tmp_path / "policy.json"
    assert len(found.faults) == 1
    start = f"{place}:{line}: " if line else f"{place}: "
    assert found.faults[0].startswith(start + what)


def test_what_neither_reader_takes_is_told_by_both(tmp_path: Path) -> None:
    (fault,) = read(tmp_path, '{"a" "b"}').faults

    assert fault == (
        f"{tmp_path}/policy.json:1: not JSON: expected ':'; "
        "not YAML: expected ',' or '}', but got '<scalar>'"
    )


def test_a_name_that_is_no_text_hides_no_other(tmp_path: Path) -> None:
    found = read(tmp_path, "1: role:a\nb: role:b\n2: role:c\n")

    assert [entry.name for entry in found.entries] == ["b"]
    assert len(found.faults) == 2


def test_a_name_that_stands_often_is_held_against_the_first(tmp_path: Path) -> None:
    found = read(tmp_path, "a: role:a\n" * 3)

    assert [entry.origin.line for entry in found.entries] == [1]
    assert [fault.rpartition(" ")[2] for fault in found.faults] == ["1", "1"]


def test_a_missing_file_says_nothing(tmp_path: Path) -> None:
    found = read_policy_files(tmp_path / "absent.json", [tmp_path / "absent.d"])

    assert found == PolicyFiles()


def test_directories_come_after_the_main_file_in_order_of_names(tmp_path: Path) -> None:
    main = tmp_path / "policy.json"
    folder = tmp_path / "policy.d"
    (folder / "deeper").mkdir(parents=True)
    for path in (main, *(folder / name for name in ("b", "a.yaml", ".hidden"))):
        path.write_text(f"{path.name}: role:x\n")
    (folder / "deeper" / "c").write_text("c: role:x\n")

    found = read_policy_files(main, [folder])

    assert [one.name for one in found.entries] == ["policy.json", "a.yaml", "b"]
    assert found.files == [main, folder / "a.yaml", folder / "b"]
    assert not found.faults


def test_what_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    folder = tmp_path / "policy.d"
    folder.mkdir()
    (folder / "broken").symlink_to(tmp_path / "nowhere")
    file = tmp_path / "file"
    file.touch()

    found = read_policy_files(folder, [file, folder])

    assert [fault.rpartition(": ")[0] for fault in found.faults] == [
        f"{folder}: cannot be read",
        f"{file}: cannot be read",
        f"{folder / 'broken'}: cannot be read",
    ]
