"""How a section's dataclass declares its options: one field, one option.

The reader, `imagereg config dump` and the sample file all work from these
declarations, so an option is described in one place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, TypeVar

from imagereg.settings.kinds import Kind

T = TypeVar("T")
_KEY = "option"


@dataclass(frozen=True)
class Table:
    """A section: a frozen dataclass whose fields are its options."""


Section = TypeVar("Section", bound=Table)


@dataclass(frozen=True)
class Option:
    """What is known of an option besides its name.

    Attributes:
        kind: how its text is read.
        default: the value when it stands nowhere.
        text: what it does, in one sentence.
        unit: what a number counts.
        is_secret: never shown, in dumps, faults or `repr`.
        shown: the default in words, where it is worked out at start.
        example: a value for the sample file, where there is no default.
    """

    kind: Kind[Any]
    default: Any
    text: str
    unit: str = ""
    is_secret: bool = False
    shown: str = ""
    example: str = ""


def option(
    kind: Kind[T],
    default: T,
    text: str,
    *,
    unit: str = "",
    secret: bool = False,
    shown: str = "",
    example: str = "",
) -> T:
    """Declare an option as a dataclass field; see `Option`."""
    facts = Option(kind, default, text, unit, secret, shown, example)
    factory: Callable[[], T] = lambda: default  # noqa: E731 - mappings need a factory
    made: T = field(
        default_factory=factory,
        repr=not secret,
        metadata=MappingProxyType({_KEY: facts}),
    )
    return made


def options_of(table: type[Table]) -> Mapping[str, Option]:
    """Return the options of a section by name, in the order of declaration."""
    return MappingProxyType(
        {item.name: item.metadata[_KEY] for item in fields(table) if item.metadata}
    )
