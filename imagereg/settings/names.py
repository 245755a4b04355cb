"""Names in the files that have no effect: ignored, misplaced, refused, unknown."""

from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.settings.catalog import (
    SHARED_STORE_SECTION,
    STAGING,
    STORE_SECTION,
    TASKS,
    driver_of,
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
from imagereg.settings.renamed import RENAMED
from imagereg.settings.sources import Sources, variable_of
from imagereg.settings.storage import DRIVERS, CommonOptions, StoreChoice
from imagereg.settings.syntax import fold_section

_MULTI_ONLY = "it counts with enabled_backends only"
_SINGLE_ONLY = "it does not count with enabled_backends; each store has its section"


def _names(table: type[Table]) -> tuple[str, ...]:
    return tuple(options_of(table))


_COMMON = _names(CommonOptions)
_BY_DRIVER = {driver: _names(table) for driver, table in DRIVERS.items()}
_ALL_DRIVERS = tuple(name for names in _BY_DRIVER.values() for name in names)


_MULTI_CHOICE = ("default_backend",)
_SINGLE_CHOICE = tuple(
    name for name in _names(StoreChoice) if name not in _MULTI_CHOICE
)


@dataclass(frozen=True)
class Effect:
    """What has an effect in one section, and why other names have none.

    Attributes:
        names: the options that count.
        idle: options that do not, or not here, with the reason; see `find_reason`.
    """

    names: tuple[str, ...]
    idle: Mapping[str, str]


def effects(
    sections: Mapping[str, type[Table]], backends: Mapping[str, str]
) -> dict[str, Effect]:
    """Return section to effect, with the sections of the stores ``backends``."""
    known = {
        section: Effect(_names(table), IGNORED_OPTIONS.get(section, {}))
        for section, table in sections.items()
    }
    known[STAGING] = known[TASKS] = Effect(_BY_DRIVER["file"], STORE_IGNORED)
    if backends:
        unused = dict.fromkeys((*_SINGLE_CHOICE, *_ALL_DRIVERS), _SINGLE_ONLY)
        known[STORE_SECTION] = Effect(_MULTI_CHOICE, {**unused, **STORE_IGNORED})
        known[SHARED_STORE_SECTION] = Effect((*_COMMON, *_ALL_DRIVERS), STORE_IGNORED)
    else:
        unused = dict.fromkeys((*_MULTI_CHOICE, *_COMMON), _MULTI_ONLY)
        names = (*_SINGLE_CHOICE, *_ALL_DRIVERS)
        known[STORE_SECTION] = Effect(names, {**unused, **STORE_IGNORED})
        known[SHARED_STORE_SECTION] = Effect((), {"*": _MULTI_ONLY})
    for store_id, type_name in backends.items():
        names = (*_COMMON, *_BY_DRIVER.get(driver_of(type_name), _ALL_DRIVERS))
        why = f"it is no option of a store of type {type_name}"
        idle = {**dict.fromkeys(_ALL_DRIVERS, why), **STORE_IGNORED}
        known[fold_section(store_id)] = Effect(names, idle)
    return known


class NameCheck:
    """Goes through all names that were written, for those that have no effect.

    Attributes:
        faults: refused options, and unknown names where they are not tolerated.
        warnings: ignored options and sections, and unknown names.
    """

    def __init__(
        self, sources: Sources, known: Mapping[str, Effect], *, is_strict: bool
    ) -> None:
        self.faults: list[str] = []
        self.warnings: list[str] = []
        self._sources = sources
        self._known = known
        self._is_strict = is_strict
        self._told: set[str] = set()

    def run(self) -> None:
        """Check every name of the files, the command line and the environment."""
        for section, name, place in self._sources.written():
            if section not in self._known:
                self._check_section(section, place)
            elif name not in self._known[section].names:
                self._check_option(section, name, place)
        spelled = {variable_of(section, ""): section for section in self._known}
        for head, tail, place in self._sources.variables():
            named = spelled.get(variable_of(head, ""))
            if named is not None and tail.lower() not in self._known[named].names:
                self._check_option(named, tail.lower(), place)

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
        elif (section, name) in RENAMED:
            self._tell_unknown(f"{start}: an old name", RENAMED[section, name])
        elif reason := find_reason(self._known[section].idle, name):
            self.warnings.append(f"{start}: ignored: {reason}")
        else:
            self._tell_unknown(f"{start}: unknown option", self._find(section, name))

    def _find(self, section: str, name: str) -> str | None:
        """Return the option that is likely meant: the same elsewhere, or the nearest.

        What sections share by chance is found by the spelling first.
        """
        homes = [other for other in self._known if name in self._known[other].names]
        if len(homes) == 1:
            return f"[{homes[0]}] {name}"
        return find_nearest(name, self._known[section].names)

    def _check_refused(self, section: str, name: str, start: str) -> None:
        harmless, reason = REFUSED[section, name]
        written = self._sources.find(section, name)
        if written is not None and written.texts[-1].lower() not in harmless:
            self.faults.append(f"{start}: cannot be honoured: {reason}")

    def _tell_unknown(self, line: str, nearest: str | None) -> None:
        if nearest:
            line += f"; is `{nearest}` meant?"
        (self.faults if self._is_strict else self.warnings).append(line)
