"""An image's properties against the definitions for images: likely mistakes.  Pure.

The registry itself never refuses a property for its name or value: nodes know more
than any catalogue.  This tells an operator what a node would quietly ignore.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Any

import orjson

from imagereg.metadef_model import Association, Content, Definition, NewNamespace

#: What definitions for images are associated with.
IMAGE_TYPE = "OS::Glance::Image"

#: How like two names must be, from 0 to 1, for one to be a slip of the other.
#: Below 0.85 different properties of one family begin to look alike.
LIKENESS = 0.87

_TRUE_FALSE = frozenset(
    "true t on y yes 1 false f off n no 0".split()  # noqa: SIM905 - one line, as people say them
)
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)

#: Names that sites make up for themselves.
_OWN_NAMES = ("trait:CUSTOM_", "os_glance", "owner_specified.")


class Level(StrEnum):
    """How sure a finding is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One likely mistake."""

    level: Level
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.name}: {self.text}"


#: Name on an image -> every definition of it.  Namespaces may disagree; a value that
#: one of them admits is no mistake.
Known = Mapping[str, Sequence[Definition]]


def known_properties(contents: Iterable[Content | NewNamespace]) -> Known:
    """Return all properties that are defined for images, prefixes included."""
    known = defaultdict[str, list[Definition]](list)
    for content in contents:
        prefixes = [_prefix(each) for each in content.associations or ()]
        for prefix in filter(lambda each: each is not None, prefixes):
            groups = [content.properties or {}]
            groups += [each.properties or {} for each in content.objects or ()]
            for group in groups:
                for name, definition in group.items():
                    known[f"{prefix}{name}"].append(definition)
    return known


def lint(properties: Mapping[str, object], known: Known) -> Iterator[Finding]:
    """Yield what looks wrong, by name."""
    for name, value in sorted(properties.items()):
        definitions = known.get(_family(name), ())
        if definitions:
            faults = [fault(definition, value) for definition in definitions]
            if all(faults):
                yield Finding(Level.ERROR, name, faults[0] or "")
            continue
        meant = _meant(name, known)
        if meant is not None and meant not in properties:
            yield Finding(Level.WARNING, name, f"is not known: did you mean {meant}?")


def fault(definition: Definition, value: object) -> str | None:
    """Return what is wrong with a value, or None."""
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    operators: Any = definition.get("operators", ())
    if operators and text.split(" ", 1)[0] in operators:
        return None
    kind = str(definition.get("type", "string"))
    check = _CHECKS.get(kind)
    return check(definition, text) if check else None


def _prefix(association: Association) -> str | None:
    if association.name != IMAGE_TYPE:
        return None
    return association.prefix or ""


def _family(name: str) -> str:
    """Return the name under which numbered properties are defined."""
    return re.sub(r"\.[0-9]+\Z", ".0", name)


def _meant(name: str, known: Known) -> str | None:
    """Return the defined name that somebody mistyped, or None."""
    if name.startswith(_OWN_NAMES):
        return None
    plain = {_plain(each): each for each in known}
    if _plain(name) in plain:
        return plain[_plain(name)]
    close = get_close_matches(_plain(name), plain, n=1, cutoff=LIKENESS)
    return plain[close[0]] if close else None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _check_text(definition: Definition, text: str) -> str | None:
    shortest: Any = definition.get("minLength", 0)
    longest: Any = definition.get("maxLength", len(text))
    if not shortest <= len(text) <= longest:
        return f"`{text}` must have {shortest} to {longest} characters"
    pattern = definition.get("pattern")
    if pattern is not None and not _fits(str(pattern), text):
        return f"`{text}` does not fit the pattern {pattern}"
    return _check_enum(definition, text)


def _fits(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        # The dialect of patterns is not Python's, so what it cannot read fits.
        return True


def _check_enum(definition: Mapping[str, object], text: str) -> str | None:
    allowed: Any = definition.get("enum")
    if not allowed or text in allowed:
        return None
    return f"`{text}` is none of: {', '.join(allowed)}"


def _check_integer(definition: Definition, text: str) -> str | None:
    if not _INTEGER.fullmatch(text.strip()):
        return f"`{text}` is not a whole number"
    return _check_range(definition, float(text)) or _check_enum(definition, text)


def _check_number(definition: Definition, text: str) -> str | None:
    try:
        number = float(text)
    except ValueError:
        return f"`{text}` is not a number"
    return _check_range(definition, number) or _check_enum(definition, text)


def _check_range(definition: Definition, number: float) -> str | None:
    smallest: Any = definition.get("minimum", number)
    largest: Any = definition.get("maximum", number)
    if number < smallest:
        return f"{number:g} is less than {smallest}"
    if number > largest:
        return f"{number:g} is more than {largest}"
    return None


def _check_boolean(definition: Definition, text: str) -> str | None:
    if text.strip().lower() in _TRUE_FALSE:
        return None
    return f"`{text}` is neither true nor false"


def _check_array(definition: Definition, text: str) -> str | None:
    items: Any = definition.get("items", {})
    for item in text.split(","):
        wrong = _check_enum(items, item.strip())
        if wrong is not None:
            return wrong
    return None


def _check_object(definition: Definition, text: str) -> str | None:
    try:
        if isinstance(orjson.loads(text), dict):
            return None
    except orjson.JSONDecodeError:
        pass
    return f"`{text}` is not a JSON object"


_CHECKS: Mapping[str, Callable[[Definition, str], str | None]] = {
    "string": _check_text,
    "integer": _check_integer,
    "number": _check_number,
    "boolean": _check_boolean,
    "array": _check_array,
    "object": _check_object,
}
