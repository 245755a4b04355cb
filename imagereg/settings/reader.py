"""Read sections into their dataclasses, collecting every fault on the way."""

from collections.abc import Sequence
from pathlib import Path

from imagereg.settings.options import Option, Section, options_of
from imagereg.settings.sources import Written
from imagereg.settings.substitution import BrokenReference, Substituted


class Places:
    """Makes paths absolute: from the working directory, or beside the files."""

    def __init__(self, search_path: Sequence[Path]) -> None:
        self.search_path = tuple(search_path)
        self._work = Path.cwd()

    def at_work(self, path: Path) -> Path:
        """Return ``path`` under the working directory."""
        return self._work / path

    def find(self, name: str | Path) -> Path | None:
        """Return the file of that name beside the configuration files, if any."""
        candidates = (directory / name for directory in self.search_path)
        return next((path for path in candidates if path.exists()), None)

    def beside_files(self, path: Path) -> Path:
        """Return ``path`` as found, or where it would be expected first."""
        return self.find(path) or self.search_path[0] / path


class Reader:
    """Turns what was written into sections.

    Attributes:
        faults: one line for each value that cannot be used.
        warnings: one line for each that is not what it seems.
        origins: where the value of each option came from; absent is the default.
    """

    def __init__(self, texts: Substituted, places: Places) -> None:
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self.origins: dict[tuple[str, str], str] = {}
        self.places = places
        self._texts = texts

    def read(self, table: type[Section], section: str, *shared: str) -> Section:
        """Return one section; what it lacks is looked up in the ``shared`` ones."""
        values = {
            name: self._value(option, name, (section, *shared))
            for name, option in options_of(table).items()
        }
        return table(**values)

    def _value(self, option: Option, name: str, sections: Sequence[str]) -> object:
        value = option.default
        for section in sections:
            try:
                written = self._texts.find(section, name)
            except BrokenReference as error:
                self.faults.append(f"{error.place}: [{section}] {name}: {error}")
                break
            if written is not None:
                value = self._parse(option, name, section, written)
                self.origins[sections[0], name] = written.place
                break
        anchor = option.kind.anchor
        if anchor is None or value is None:
            return value
        return anchor(value, self.places)

    def _parse(
        self, option: Option, name: str, section: str, written: Written
    ) -> object:
        if option.kind.empty_is_unset and not written.texts[-1]:
            return option.default
        try:
            return option.kind.read(written.texts)
        except ValueError as error:
            what, text = str(error), written.texts[-1]
            # A URL may hold a password, whichever option it was given to.
            if what.startswith("expected") and not option.is_secret and "@" not in text:
                what += f", not `{text}`"
            self.faults.append(f"{written.place}: [{section}] {name}: {what}")
            return option.default

    def describe(self, section: str, name: str, what: str) -> str:
        """Return a line about an option that was read, with its place if it has one."""
        place = self.origins.get((section, name))
        line = f"[{section}] {name}: {what}"
        return f"{place}: {line}" if place else line

    def fault(self, section: str, name: str, what: str) -> None:
        """Note that the value of an option, right in itself, does not fit."""
        self.faults.append(self.describe(section, name, what))

    def warn(self, section: str, name: str, what: str) -> None:
        """Note something about an option that the operator should know."""
        self.warnings.append(self.describe(section, name, what))
