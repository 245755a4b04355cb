"""Check a document against a schema document, as far as ours need it.

A dozen keywords of JSON schema, no more: a library for all of them would be the
largest dependency of the project.  ``format``, ``default`` and ``readOnly`` are
remarks for clients and check nothing.

Source: contract api-schemas 8.
"""

from collections.abc import Callable, Mapping
from typing import Any

from imagereg.errors import Invalid

#: How deep values may be nested; more would exhaust the stack of whoever writes
#: them out again.
DEEPEST = 32

Schema = Mapping[str, Any]


def check_document(document: object, schema: Schema) -> None:
    """Raise unless the document is one that the schema describes.

    Raises:
        Invalid: the first fault, with its place.
    """
    _check_texts(document)
    if not isinstance(document, dict):
        raise Invalid("the request body must be a JSON object")
    _Check(schema.get("definitions", {})).check(document, schema, "")


def _check_texts(document: object) -> None:
    """Refuse characters that not every database can store, and bottomless nesting.

    Source: contract api-images 1.3, api-metadefs 8.
    """
    waiting = [(document, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > DEEPEST:
            raise Invalid("the document is nested too deeply")
        if isinstance(value, str):
            if "\0" in value or (value and max(value) > "\uffff"):
                raise Invalid("the document holds characters that cannot be stored")
        elif isinstance(value, list):
            waiting += [(item, depth + 1) for item in value]
        elif isinstance(value, dict):
            waiting += [(item, depth + 1) for pair in value.items() for item in pair]


class _Check:
    """One run over one document."""

    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions

    def check(self, value: object, schema: Schema, place: str) -> None:
        """Raise `Invalid` unless the value fits the schema."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            self.check(value, self._definitions[name], place)
            return
        for part in schema.get("allOf", ()):
            self.check(value, part, place)
        kind = schema.get("type")
        if kind is not None and not _KINDS[kind](value):
            raise Invalid(f"{_name(place)} must be of type {kind}")
        if "enum" in schema and value not in schema["enum"]:
            allowed = ", ".join(
                str(each) for each in schema["enum"] if each is not None
            )
            raise Invalid(f"{_name(place)} must be one of: {allowed}")
        if isinstance(value, dict):
            self._check_object(value, schema, place)
        elif isinstance(value, list):
            self._check_array(value, schema, place)
        elif isinstance(value, str):
            longest = schema.get("maxLength", len(value))
            if len(value) > longest:
                raise Invalid(f"{_name(place)} must be at most {longest} characters")
        elif isinstance(value, int | float) and value < schema.get("minimum", value):
            raise Invalid(f"{_name(place)} must be at least {schema['minimum']}")

    def _check_object(
        self, value: dict[str, object], schema: Schema, place: str
    ) -> None:
        for name in schema.get("required", ()):
            if name not in value:
                raise Invalid(f"{_name(_join(place, name))} is required")
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", {})
        for name, item in value.items():
            inner = known.get(name, others)
            if inner is False:
                raise Invalid(f"{_name(_join(place, name))} is not known here")
            self.check(item, inner, _join(place, name))

    def _check_array(self, value: list[object], schema: Schema, place: str) -> None:
        if len(value) < schema.get("minItems", 0):
            raise Invalid(f"{_name(place)} must not be empty")
        for position, item in enumerate(value):
            self.check(item, schema.get("items", {}), _join(place, str(position)))
        if schema.get("uniqueItems") and len(set(map(str, value))) < len(value):
            raise Invalid(f"{_name(place)} must not repeat itself")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    """Return whether it is whole; ``1.0`` is, true is not even a number (D-24)."""
    return _is_number(value) and value == int(value)  # type: ignore[call-overload] # a number by now


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "number": _is_number,
    "integer": _is_integer,
}


def _join(place: str, name: str) -> str:
    return f"{place}/{name}" if place else name


def _name(place: str) -> str:
    return f"`{place}`" if place else "the request body"
