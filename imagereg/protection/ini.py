"""The syntax of a property-protection file: sections, keys and their lines.

The dialect is that of `configparser` with interpolation and inline comments off.
It is read here instead, because `configparser` stops at the first duplicate and
forgets line numbers, and an operator should see every fault at once, with its
line.  `tests/protection/test_ini.py` holds both readers against each other.

Source: contract property-protection 2.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from imagereg.model import Operation

DEFAULT_SECTION = "DEFAULT"

# Greedy, so that the header runs to the last bracket of the line and a pattern may
# contain character classes.
_HEADER = re.compile(r"\[(?P<name>.+)\]")
_ENTRY = re.compile(r"(?P<key>.*?)\s*[=:]\s*(?P<value>.*)")
_COMMENTS = ("#", ";")
_KEYS = frozenset(Operation)


@dataclass(frozen=True, slots=True, order=True)
class Remark:
    """Something wrong or doubtful at one place of the file.

    Attributes:
        line: 1 for the first line, 0 where no line is to blame.
        section: the header, empty outside sections.
        key: the key, empty where the whole section is meant.
    """

    line: int
    section: str
    key: str
    text: str

    def render(self, source: str) -> str:
        """Return one line that names file, line, section and key."""
        place = f"{source}:{self.line}" if self.line else source
        header = f"[{self.section}]" if self.section else ""
        where = " ".join(filter(None, (header, self.key)))
        return ": ".join(filter(None, (place, where, self.text)))


@dataclass(frozen=True, slots=True)
class Entry:
    """One key with its value; lines of a continued value are joined by newlines."""

    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class RawSection:
    """One section as written; keys are in lower case."""

    name: str
    line: int
    entries: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class RawFile:
    """A file as written, in its order, with what is wrong in it.

    Attributes:
        defaults: what ``[DEFAULT]`` supplies to sections that lack it.
        faults: parse errors; the file must not be used when there are any.
        warnings: places that are legal and probably not meant.
    """

    sections: tuple[RawSection, ...]
    defaults: RawSection
    faults: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


def parse_ini(text: str) -> RawFile:
    """Return the sections of ``text``, and everything wrong with its syntax.

    A section that stands twice keeps its first place and content, so that reading
    can go on and report the rest.
    """
    reader = _Reader()
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        reader.take(number, line)
    return reader.finish()


@dataclass
class _OpenEntry:
    """An entry that the next lines may continue."""

    key: str
    line: int
    parts: list[str]

    def close(self) -> Entry:
        return Entry(self.key, "\n".join(self.parts).rstrip(), self.line)


@dataclass
class _OpenSection:
    """A section that the next lines may extend."""

    name: str
    line: int
    entries: dict[str, _OpenEntry] = field(default_factory=dict)

    def close(self) -> RawSection:
        closed = {key: entry.close() for key, entry in self.entries.items()}
        return RawSection(self.name, self.line, MappingProxyType(closed))


class _Reader:
    """Reads line by line: the section, the entry and the indent it is in."""

    def __init__(self) -> None:
        self._defaults = _OpenSection(DEFAULT_SECTION, 0)
        self._sections: dict[str, _OpenSection] = {}
        self._section: _OpenSection | None = None
        self._entry: _OpenEntry | None = None
        self._indent = 0
        self._faults: list[Remark] = []
        self._warnings: list[Remark] = []

    def take(self, number: int, line: str) -> None:
        """Read one line."""
        value = line.strip()
        if value.startswith(_COMMENTS):
            return
        if not value:
            # A blank line does not end a value: an indented line may still follow.
            if self._entry:
                self._entry.parts.append("")
            return
        indent = len(line) - len(line.lstrip())
        if self._entry and indent > self._indent:
            self._continue(self._entry, number, value)
            return
        self._indent = indent
        if header := _HEADER.match(value):
            self._open_section(number, header["name"], value[header.end() :])
        else:
            self._open_entry(number, value)

    def finish(self) -> RawFile:
        """Return what was read."""
        return RawFile(
            tuple(section.close() for section in self._sections.values()),
            self._defaults.close(),
            tuple(self._faults),
            tuple(self._warnings),
        )

    def _continue(self, entry: _OpenEntry, number: int, value: str) -> None:
        entry.parts.append(value)
        found = _ENTRY.match(value)
        if _HEADER.match(value) or (found and found["key"].lower() in _KEYS):
            text = f"indented, so it continues the value of `{entry.key}`"
            self._warn(number, entry.key, text)

    def _open_section(self, number: int, name: str, rest: str) -> None:
        self._entry = None
        if name == DEFAULT_SECTION:
            # It may stand twice, as in `configparser`; its keys may not.
            self._section = self._defaults
        else:
            self._section = _OpenSection(name, number)
            first = self._sections.setdefault(name, self._section)
            if first is not self._section:
                text = f"section stands twice, first on line {first.line}"
                self._fault(number, "", text)
        if rest:
            self._warn(number, "", f"`{rest.lstrip()}` after the header is ignored")

    def _open_entry(self, number: int, value: str) -> None:
        found = _ENTRY.match(value)
        key = found["key"].lower() if found else ""
        self._entry = _OpenEntry(key, number, [found["value"] if found else ""])
        if self._section is None:
            self._fault(number, "", f"`{value}` stands before the first section")
        elif not key:
            self._fault(number, "", f"`{value}` is neither a header nor `key = value`")
        else:
            first = self._section.entries.setdefault(key, self._entry)
            if first is not self._entry:
                self._fault(number, key, f"stands twice, first on line {first.line}")

    def _fault(self, number: int, key: str, text: str) -> None:
        name = self._section.name if self._section else ""
        self._faults.append(Remark(number, name, key, text))

    def _warn(self, number: int, key: str, text: str) -> None:
        name = self._section.name if self._section else ""
        self._warnings.append(Remark(number, name, key, text))
