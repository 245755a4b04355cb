"""Policy files to entries, each with the place where it is written.

Source: contract policy 1.6 and 2, rulings P-2 and P-8.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_BLANKS = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a rule is written."""

    file: Path
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name of a policy file, and what the file says there, well formed or not."""

    name: str
    value: object
    origin: Origin


@dataclass
class PolicyFiles:
    """What all files together say.

    Attributes:
        entries: in the order of reading; the last one of a name is in force.
        faults: one line each, for what could not be read.
        files: those that were there.
    """

    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def read_policy_files(
    policy_file: Path | None, policy_dirs: Sequence[Path] = ()
) -> PolicyFiles:
    """Return the entries of the main file, then of the directories in name order.

    Missing files and directories are left out; directories are not searched below
    their first level, and names with a leading dot are skipped.
    """
    found = PolicyFiles()
    if policy_file is not None:
        _read(policy_file, found, required=False)
    for directory in policy_dirs:
        try:
            names = directory_files(directory)
        except OSError as error:
            found.faults.append(f"{directory}: cannot be read: {error.strerror}")
            continue
        for path in names:
            _read(path, found, required=True)
    return found


def directory_files(directory: Path) -> list[Path]:
    """Return the policy files in ``directory``, sorted; none where it is missing."""
    try:
        found = [path for path in directory.iterdir() if path.name[0] != "."]
    except FileNotFoundError:
        return []
    return sorted(path for path in found if not path.is_dir())


def _read(path: Path, found: PolicyFiles, *, required: bool) -> None:
    """Add the entries and faults of one file to ``found``."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as missing:
        if required:
            found.faults.append(f"{path}: cannot be read: {missing.strerror}")
        return
    except OSError as error:
        found.faults.append(f"{path}: cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError as broken:
        found.faults.append(f"{path}: not UTF-8 text: {broken.reason}")
        return
    found.files.append(path)
    lines: dict[str, int] = {}
    for name, value, line in _pairs(path, text, found.faults):
        if name in lines:
            first = lines[name]
            found.faults.append(
                f"{path}:{line}: rule `{name}`: stands twice, first in line {first}"
            )
            continue
        lines[name] = line
        found.entries.append(Entry(name, value, Origin(path, line)))


def _pairs(path: Path, text: str, faults: list[str]) -> list[tuple[str, object, int]]:
    """Return name, value and line of every entry, from JSON or else from YAML."""
    try:
        return list(_json_pairs(text))
    except (ValueError, RecursionError) as error:
        not_json = error
    # The YAML parser is slow to import and needed only for what is not plain JSON.
    from imagereg.policy.yaml_files import MalformedYAML, read_yaml

    try:
        pairs, wrong = read_yaml(text)
    except MalformedYAML as broken:
        what, line = f"not YAML: {broken}", broken.line
        if isinstance(not_json, json.JSONDecodeError) and text.lstrip()[:1] == "{":
            what, line = f"not JSON: {not_json.msg}; {what}", not_json.lineno
        faults.append(f"{path}:{line}: {what}")
        return []
    faults.extend(f"{path}:{line}: {what}" for line, what in wrong)
    return pairs


def _json_pairs(text: str) -> Iterator[tuple[str, object, int]]:
    """Yield name, value and line of every entry of a JSON object.

    The standard decoder reads names and values; only the outermost braces are
    walked here, because it tells neither lines nor repeated names.

    Raises:
        ValueError, RecursionError: the text is no JSON object.
    """
    decoder = json.JSONDecoder()
    at = _expect("{", text, 0)
    if _next(text, at) == "}":
        _end(text, at)
        return
    while True:
        start = _skip(text, at)
        name, at = decoder.raw_decode(text, start)
        if not isinstance(name, str):
            raise json.JSONDecodeError("a name is a text in quotes", text, start)
        at = _skip(text, _expect(":", text, at))
        value, at = decoder.raw_decode(text, at)
        yield name, value, text.count("\n", 0, start) + 1
        if _next(text, at) == "}":
            break
        at = _expect(",", text, at)
    _end(text, at)


def _skip(text: str, at: int) -> int:
    """Return the position of the next character that is no blank."""
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    return at


def _next(text: str, at: int) -> str:
    """Return the next character that is no blank; empty at the end."""
    at = _skip(text, at)
    return text[at : at + 1]


def _expect(character: str, text: str, at: int) -> int:
    """Return the position behind ``character``, which has to come next."""
    if _next(text, at) != character:
        raise json.JSONDecodeError(f"expected {character!r}", text, _skip(text, at))
    return _skip(text, at) + 1


def _end(text: str, at: int) -> None:
    """Check that nothing follows the closing brace."""
    after = _expect("}", text, at)
    if _next(text, after):
        raise json.JSONDecodeError("more behind the end", text, _skip(text, after))
