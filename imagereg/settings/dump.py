"""The effective settings as text, with the origin of every value.

The text is a configuration file again: it loads to the same settings, but for
secrets, which are masked.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from imagereg.settings.load import SECTIONS, Settings
from imagereg.settings.names import effects
from imagereg.settings.options import Option, Table, options_of
from imagereg.settings.sections import PasteDeploy
from imagereg.settings.storage import CommonOptions, StoreSettings
from imagereg.settings.syntax import QUOTES, fold_section

MASK = "***"
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_DEFAULT_ORIGIN = "default"


def dump_settings(settings: Settings, *, with_defaults: bool = False) -> Iterator[str]:
    """Yield the lines: sections, and above each option where its value is from.

    Options that nobody set are left out unless ``with_defaults`` is true; those that
    do not count beside or without ``enabled_backends`` are left out anyway.
    """
    known = effects(SECTIONS, settings.default.enabled_backends)
    for title, tables in _sections(settings).items():
        counting = known[fold_section(title)].names
        lines = [
            line
            for table in tables
            for name, option in options_of(type(table)).items()
            if name in counting and (with_defaults or (title, name) in settings.origins)
            for line in _option(
                name, option, _value(table, name), settings.origins.get((title, name))
            )
        ]
        if lines:
            yield from (f"[{title}]", *lines, "")


def escape_text(text: str) -> str:
    """Return ``text`` as it must stand in a file to be read unchanged."""
    first, newline, rest = text.partition("\n")
    is_quoted = len(first) > 1 and first[0] == first[-1] and first[0] in QUOTES
    if is_quoted or first != first.strip():
        first = f'"{first}"'
    return (first + newline + rest).replace("$", "$$").replace("\n", "\n  ")


def _sections(settings: Settings) -> Mapping[str, tuple[Table, ...]]:
    found: dict[str, tuple[Table, ...]] = {
        section: (getattr(settings, section.lower()),) for section in SECTIONS
    }
    for store in (*settings.stores, settings.staging, settings.tasks_store):
        if store.reserved:
            found[store.id] = (store.options,)
        elif settings.multi_store:
            found[store.id] = (_common(store), store.options)
        else:
            found["glance_store"] = (*found["glance_store"], store.options)
    return MappingProxyType(found)


def _common(store: StoreSettings) -> CommonOptions:
    return CommonOptions(store.description, store.weight, store.optional)


def _value(table: Table, name: str) -> object:
    if isinstance(table, PasteDeploy) and name == "flavor":
        return table.written
    return getattr(table, name)


def _option(
    name: str, option: Option, value: object, origin: str | None
) -> Iterator[str]:
    yield f"# {origin or _DEFAULT_ORIGIN}"
    if value is None or value == ():
        empty = "[]" if option.kind.show(()) == ("[]",) else ""
        yield f"{name} = {empty}" if origin else f"#{name} ="
        return
    for text in option.kind.show(value):
        # What is worked out from the state directory is no secret.
        is_masked = option.is_secret and origin and text
        shown = MASK if is_masked else _CREDENTIALS.sub(f"//{MASK}@", text)
        yield f"{name} = {escape_text(shown)}"
