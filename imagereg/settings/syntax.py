"""The text of a configuration file, as entries with their places.

The dialect looks like INI and is stricter and looser than `configparser`: only
the first character of a line can start a comment, indentation continues the
value of the line above, sections may come again, and keys keep their case.

Source: contract config 1; the corners were observed on the reference reader.
"""

from dataclasses import dataclass, replace

SHARED_SECTION = "DEFAULT"
_BLANKS = (" ", "\t")
QUOTES = ("'", '"')


@dataclass(frozen=True)
class Entry:
    """One ``name = value`` of a file.

    Attributes:
        section: the name in its folded form, see `fold_section`.
        value: what stands after the separator, continuation lines joined by
            newline, neither converted nor substituted.
        file: the file it stands in.
        line: its number, from 1.
    """

    section: str
    name: str
    value: str
    file: str
    line: int

    @property
    def place(self) -> str:
        """Where an operator finds it."""
        return f"{self.file}:{self.line}"


def fold_section(name: str) -> str:
    """Return the form in which section names are compared.

    Letter case is of no account, except that ``[DEFAULT]`` has one spelling.
    """
    return name if name == SHARED_SECTION else name.lower()


def parse_entries(text: str, file: str) -> tuple[list[Entry], list[str]]:
    """Return the entries of ``text`` in order, and a fault for each broken line."""
    parser = _Parser(file)
    for number, line in enumerate(text.split("\n"), start=1):
        parser.feed(number, line.rstrip())
    return parser.entries, parser.faults


class _Parser:
    """Goes through the lines, remembering the section and the open value."""

    def __init__(self, file: str) -> None:
        self.entries: list[Entry] = []
        self.faults: list[str] = []
        self._file = file
        self._section: str | None = None
        self._is_open = False
        self._is_lost = False  # a broken line already explained what follows it

    def feed(self, number: int, line: str) -> None:
        """Take one line, without the blanks at its end."""
        if line.startswith(_BLANKS):
            self._continue(number, line)
            return
        self._is_open = self._is_lost = False
        if not line or line[0] in "#;":
            return
        if line[0] == "[":
            self._start_section(number, line)
        else:
            self._assign(number, line)

    def _continue(self, number: int, line: str) -> None:
        if self._is_open:
            last = self.entries[-1]
            self.entries[-1] = replace(last, value=f"{last.value}\n{line.lstrip()}")
        elif not self._is_lost:
            self._fail(number, "an indented line, and no value above it to continue")

    def _start_section(self, number: int, line: str) -> None:
        name = line[1:-1]
        if line[-1] != "]":
            self._fail(number, f"`{line}` does not end with `]`")
        elif not name:
            self._fail(number, "the section has no name")
        self._section = fold_section(name)

    def _assign(self, number: int, line: str) -> None:
        cut = min((at for at in (line.find("="), line.find(":")) if at >= 0), default=0)
        name = line[:cut].rstrip()
        if not name:
            # The line itself may be half of a broken secret, so it is not shown.
            self._fail(number, "expected `name = value`")
        elif self._section is None:
            self._fail(number, f"`{name}` stands before any section")
        else:
            value = _unquoted(line[cut + 1 :].strip())
            self.entries.append(Entry(self._section, name, value, self._file, number))
            self._is_open = True

    def _fail(self, number: int, what: str) -> None:
        self.faults.append(f"{self._file}:{number}: {what}")
        self._is_lost = True


def _unquoted(value: str) -> str:
    """Take off one pair of enclosing quotes.

    Only the first line of a value is looked at, before continuation lines join.
    """
    if len(value) > 1 and value[0] in QUOTES and value[0] == value[-1]:
        return value[1:-1]
    return value
