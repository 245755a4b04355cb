"""Where settings come from: which files are read, the environment, overrides.

An option given on the command line goes before the environment, that before the
files, of which the later goes before the earlier.  Source: contract config 1.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagereg.settings.syntax import Entry, fold_section, parse_entries

SYSTEM_DIR = Path("/etc/imagereg")
FILE_NAME = "imagereg.conf"
COMMAND_LINE = "command line"
_FILES_VARIABLE = "IMAGEREG_CONFIG"
_REFERENCE_DIR_VARIABLE = "OS_GLANCE_CONFIG_DIR"
_VARIABLE = re.compile(r"OS_([A-Z0-9_]+?)__([A-Z0-9_]+)")
_STATE_DIR = ("imagereg", "state_dir")
_STATE_DIR_VARIABLE = "IMAGEREG_STATE_DIR"


@dataclass(frozen=True)
class Written:
    """What was written for one option.

    Attributes:
        texts: every text in order; the last one counts for most kinds.
        place: the file and line of the last, or a variable, or the command line.
    """

    texts: tuple[str, ...]
    place: str


def find_files(
    files: Sequence[Path], directories: Sequence[Path], environ: Mapping[str, str]
) -> tuple[Path, ...]:
    """Return the configuration files to read, in the order of reading.

    Files and directories of the command line; else ``$IMAGEREG_CONFIG``, a path
    list; else ``$OS_GLANCE_CONFIG_DIR``, read like the reference does; else
    `FILE_NAME` in the working directory or in `SYSTEM_DIR`; else none.
    """
    if files or directories:
        found = [path for directory in directories for path in _inside(directory)]
        return (*files, *found)
    if environ.get(_FILES_VARIABLE):
        names = environ[_FILES_VARIABLE].split(os.pathsep)
        return tuple(Path(name) for name in names if name)
    if environ.get(_REFERENCE_DIR_VARIABLE):
        directory = Path(environ[_REFERENCE_DIR_VARIABLE])
        first = directory / "glance-image-import.conf"
        return (*([first] if first.exists() else []), directory / "glance-api.conf")
    candidates = (Path(FILE_NAME), SYSTEM_DIR / FILE_NAME)
    return next(((path,) for path in candidates if path.exists()), ())


def find_search_path(
    files: Sequence[Path], directories: Sequence[Path]
) -> tuple[Path, ...]:
    """Return where relative names are looked for, beside the latest read file first."""
    found = [*(path.parent for path in files), *directories][::-1]
    work = Path.cwd()
    return tuple(dict.fromkeys(work / path for path in found or [work, SYSTEM_DIR]))


def _inside(directory: Path) -> list[Path]:
    """Return the files of a directory, or itself, unreadable, where there is none."""
    return sorted(directory.glob("*.conf")) if directory.is_dir() else [directory]


def variable_of(section: str, name: str) -> str:
    """Return the environment variable that sets an option."""
    return f"OS_{section}__{name}".upper().replace("-", "_")


class Sources:
    """Everything that was written, in files, environment and command line.

    Attributes:
        faults: one line for each file or line that cannot be read.
    """

    def __init__(
        self,
        files: Sequence[Path],
        environ: Mapping[str, str],
        overrides: Mapping[tuple[str, str], str],
    ) -> None:
        self.faults: list[str] = []
        self._environ = environ
        self._overrides = {
            (fold_section(section), name): text
            for (section, name), text in overrides.items()
        }
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        for path in files:
            self._read(path)

    def _read(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            self.faults.append(f"{path}: cannot be read: {error.strerror}")
            return
        except UnicodeDecodeError:
            self.faults.append(f"{path}: is not UTF-8 text")
            return
        entries, faults = parse_entries(text, str(path))
        self.faults += faults
        for entry in entries:
            self._entries.setdefault((entry.section, entry.name), []).append(entry)

    def find(self, section: str, name: str) -> Written | None:
        """Return what was written for an option, by the most important source."""
        key = (fold_section(section), name)
        if key in self._overrides:
            return Written((self._overrides[key],), COMMAND_LINE)
        variables = [variable_of(section, name)]
        if key == _STATE_DIR and self._environ.get(_STATE_DIR_VARIABLE):
            variables.append(_STATE_DIR_VARIABLE)
        for variable in variables:
            if variable in self._environ:
                return Written((self._environ[variable],), f"${variable}")
        if entries := self._entries.get(key):
            return Written(tuple(entry.value for entry in entries), entries[-1].place)
        return None

    def written(self) -> Iterator[tuple[str, str, str]]:
        """Yield section, name and place of all that files and command line hold."""
        for (section, name), entries in self._entries.items():
            yield section, name, entries[-1].place
        for section, name in self._overrides:
            yield section, name, COMMAND_LINE

    def variables(self) -> Iterator[tuple[str, str, str]]:
        """Yield section and option, in capitals, of the variables that name some."""
        for variable in self._environ:
            if match := _VARIABLE.fullmatch(variable):
                yield match[1], match[2], f"${variable}"
