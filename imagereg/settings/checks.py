"""What is wrong between options, and names that nobody knows."""

from collections.abc import Mapping
from dataclasses import replace

from imagereg.settings.catalog import (
    SHARED_STORE_SECTION,
    STAGING,
    STORE_SECTION,
    TASKS,
)
from imagereg.settings.ignored import (
    IGNORED_OPTIONS,
    IGNORED_SECTIONS,
    REFUSED,
    STORE_IGNORED,
    find_nearest,
    find_reason,
)
from imagereg.settings.options import Table, options_of
from imagereg.settings.reader import Reader
from imagereg.settings.sections import Cors
from imagereg.settings.sources import Sources, variable_of

Tables = Mapping[str, tuple[type[Table], ...]]
_IDENTITY_PREFIXES = (
    "x-identity-",
    "x-user",
    "x-project",
    "x-tenant",
    "x-domain-",
    "x-role",
    "x-is-admin-",
    "x-service-",
    "openstack-system-scope",
)


def without_identity(cors: Cors, reader: Reader) -> Cors:
    """Return ``cors`` without the headers that say who is calling.

    A page that could send them would speak for anyone, were they ever believed.
    """
    kept = tuple(
        name
        for name in cors.allow_headers
        if not name.lower().startswith(_IDENTITY_PREFIXES)
    )
    if kept != cors.allow_headers:
        reader.warn("cors", "allow_headers", "headers of identity are left out")
    return replace(cors, allow_headers=kept)


class NameCheck:
    """Goes through all names that were written, for those that have no effect.

    Attributes:
        faults: refused options, and unknown names where they are not tolerated.
        warnings: ignored options and sections, and unknown names.
        unknown: the lines about unknown names alone.
    """

    def __init__(self, sources: Sources, tables: Tables, *, is_strict: bool) -> None:
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self.unknown: list[str] = []
        self._sources = sources
        self._is_strict = is_strict
        self._known = {
            section: {name: None for table in found for name in options_of(table)}
            for section, found in tables.items()
        }
        self._told: set[str] = set()

    def run(self) -> None:
        """Check every name of the files, the command line and the environment."""
        for section, name, place in self._sources.written():
            self._check(section, name, place)
        variables = {
            variable_of(section, name)
            for section, names in self._known.items()
            for name in names
        }
        sections = {variable_of(section, ""): section for section in self._known}
        for head, tail, variable in self._sources.variables():
            named = sections.get(variable_of(head, ""))
            if named is not None and variable_of(head, tail) not in variables:
                self._check(named, tail.lower(), variable)

    def _check(self, section: str, name: str, place: str) -> None:
        if section not in self._known:
            self._check_section(section, place)
        elif name not in self._known[section]:
            self._check_option(section, name, place)

    def _check_section(self, section: str, place: str) -> None:
        if section in self._told:
            return
        self._told.add(section)
        if reason := find_reason(IGNORED_SECTIONS, section):
            self.warnings.append(f"{place}: [{section}]: ignored: {reason}")
        else:
            nearest = find_nearest(section, self._known)
            self._tell_unknown(f"{place}: [{section}]: unknown section", nearest)

    def _check_option(self, section: str, name: str, place: str) -> None:
        start = f"{place}: [{section}] {name}"
        if (section, name) in REFUSED:
            self._check_refused(section, name, start)
            return
        ignored = IGNORED_OPTIONS.get(section, STORE_IGNORED)
        if reason := find_reason(ignored, name):
            self.warnings.append(f"{start}: ignored: {reason}")
        else:
            nearest = find_nearest(name, self._known[section])
            self._tell_unknown(f"{start}: unknown option", nearest)

    def _check_refused(self, section: str, name: str, start: str) -> None:
        harmless, reason = REFUSED[section, name]
        written = self._sources.find(section, name)
        if written is not None and written.texts[-1].lower() not in harmless:
            self.faults.append(f"{start}: cannot be honoured: {reason}")

    def _tell_unknown(self, line: str, nearest: str | None) -> None:
        if nearest:
            line += f"; is `{nearest}` meant?"
        self.unknown.append(line)
        (self.faults if self._is_strict else self.warnings).append(line)


def store_tables(
    backends: Mapping[str, str], drivers: Mapping[str, tuple[type[Table], ...]]
) -> dict[str, tuple[type[Table], ...]]:
    """Return the tables of every section that may hold options of stores."""
    everything = tuple(table for tables in drivers.values() for table in tables)
    tables = {
        STORE_SECTION: everything,
        SHARED_STORE_SECTION: everything,
        STAGING: drivers["file"],
        TASKS: drivers["file"],
    }
    for store_id, driver in backends.items():
        tables[store_id] = drivers.get(driver, everything)
    return tables
