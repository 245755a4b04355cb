"""Documents of clients and files -> frozen values, checked.

Source: contract api-metadefs 3 to 8; rulings D-16 and D-24.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from imagereg.errors import Duplicate, Invalid, ReadOnlyField
from imagereg.metadef_model import (
    Association,
    Definition,
    MetadefObject,
    MetadefTag,
    NewNamespace,
)
from imagereg.metadefs import schemas
from imagereg.metadefs.schemas import NAME_LENGTH
from imagereg.metadefs.validation import check_document
from imagereg.model import Visibility

TIMES = ("created_at", "updated_at")
LINKS = (*TIMES, "self", "schema")

#: The order in which a property's keys are shown.  Source: contract api-metadefs 5.
KEYS = (
    "type",
    "title",
    "description",
    "operators",
    "default",
    "readonly",
    "minimum",
    "maximum",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "items",
    "uniqueItems",
    "minItems",
    "maxItems",
    "additionalItems",
)

_WHOLE = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")

#: Numbers beyond this fit no answer.
_LARGEST = 2**63 - 1


def parse_namespace(document: object) -> NewNamespace:
    """Return what the body of a POST or PUT says about a namespace.

    Raises:
        ReadOnlyField: it sets what the server sets.
        Invalid: it breaks the schema.
        Duplicate: two things of one kind have the same name.
    """
    body = _checked(document, schemas.NAMESPACE, LINKS)
    return NewNamespace(
        name=body["namespace"],
        visibility=Visibility(body.get("visibility", Visibility.PRIVATE)),
        protected=body.get("protected", False),
        owner=body.get("owner"),
        display_name=body.get("display_name"),
        description=body.get("description"),
        objects=_each(body.get("objects"), _object, "object"),
        properties=_properties(body.get("properties")),
        tags=_each(body.get("tags"), _tag, "tag"),
        associations=_each(
            body.get("resource_type_associations"), _association, "resource type"
        ),
    )


def parse_object(document: object) -> MetadefObject:
    """Return the object that a body describes.

    Raises:
        ReadOnlyField, Invalid: see `parse_namespace`.
    """
    return _object(_checked(document, schemas.OBJECT, LINKS))


def parse_property(document: object) -> tuple[str, Definition]:
    """Return the name and the definition of the property that a body describes.

    Raises:
        ReadOnlyField, Invalid: see `parse_namespace`.
    """
    body = _checked(document, schemas.NAMED_PROPERTY, TIMES)
    return body["name"], _definition(body["name"], body)


def parse_tag(document: object) -> MetadefTag:
    """Return the tag that a body, or a path, names.

    Raises:
        ReadOnlyField, Invalid: see `parse_namespace`.
    """
    return _tag(_checked(document, schemas.TAG, TIMES))


def parse_tags(document: object) -> tuple[MetadefTag, ...]:
    """Return the tags of a body that sets many.

    Raises:
        Invalid: it breaks the schema.
        Duplicate: a name occurs twice.
    """
    check_document(document, schemas.TAGS)
    return _each(_mapping(document)["tags"], _tag, "tag") or ()


def parse_association(document: object) -> Association:
    """Return the association that a body describes.

    Raises:
        ReadOnlyField, Invalid: see `parse_namespace`.
    """
    return _association(_checked(document, schemas.ASSOCIATION, TIMES))


def _mapping(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise Invalid("the request body must be a JSON object")
    return document


def _checked(
    document: object, schema: Mapping[str, Any], reserved: Sequence[str]
) -> dict[str, Any]:
    body = _mapping(document)
    for name in reserved:
        if name in body:
            raise ReadOnlyField(name)
    check_document(body, schema)
    return body


def _each(items: Any, make: Any, kind: str) -> Any:  # noqa: ANN401 - JSON in, one of four kinds out
    """Return the made items as a tuple, or None where nothing was said."""
    if items is None:
        return None
    made = tuple(make(item) for item in items)
    seen: set[str] = set()
    for each in made:
        if each.name in seen:
            raise Duplicate(f"{kind} `{each.name}` is there twice")
        seen.add(each.name)
    return made


def _name(item: Mapping[str, Any], kind: str) -> str:
    """Return an item's name: a namespace's schema asks less of it than its own."""
    if "name" not in item:
        raise Invalid(f"an item of kind {kind} has no name")
    return _short(item["name"], kind)


def _short(text: str, kind: str) -> str:
    if len(text) > NAME_LENGTH:
        raise Invalid(f"a {kind} must be at most {NAME_LENGTH} characters")
    return text


def _object(item: Mapping[str, Any]) -> MetadefObject:
    required = item.get("required")
    return MetadefObject(
        name=_name(item, "object"),
        description=item.get("description"),
        required=None if required is None else tuple(required),
        properties=_properties(item.get("properties")),
    )


def _tag(item: Mapping[str, Any]) -> MetadefTag:
    return MetadefTag(_name(item, "tag"))


def _association(item: Mapping[str, Any]) -> Association:
    prefix, target = item.get("prefix"), item.get("properties_target")
    return Association(
        name=_name(item, "resource type"),
        prefix=None if prefix is None else _short(prefix, "prefix"),
        properties_target=None if target is None else _short(target, "target"),
    )


def _properties(
    items: Mapping[str, Mapping[str, Any]] | None,
) -> Mapping[str, Definition] | None:
    if items is None:
        return None
    return {
        _short(name, "property's name"): _definition(name, item)
        for name, item in items.items()
    }


def _definition(name: str, item: Mapping[str, Any]) -> Definition:
    """Return a property as it is stored: known keys, in order, each of one type.

    The name is not part of it, because it is the key already.

    Raises:
        Invalid: a key that is unknown, or that the answer's types cannot hold.
    """
    for key in item:
        if key == "required":
            raise Invalid(f"property `{name}`: `required` belongs to objects")
        if key not in KEYS and key != "name":
            raise Invalid(f"property `{name}`: `{key}` is not known here")
    definition = {key: item[key] for key in KEYS if item.get(key) is not None}
    for key in _WHOLE:
        if key in definition:
            definition[key] = _whole(f"property `{name}`: `{key}`", definition[key])
    if "default" in definition:
        definition["default"] = as_text(definition["default"])
    _check_enum(name, definition)
    if "items" in definition:
        items = definition["items"]
        if "type" not in items:
            raise Invalid(f"property `{name}`: `items` needs a `type`")
        _check_enum(name, items)
        definition["items"] = {
            key: items[key] for key in ("type", "enum") if key in items
        }
    return definition


def _check_enum(name: str, definition: Mapping[str, Any]) -> None:
    if any(not isinstance(each, str) for each in definition.get("enum", ())):
        raise Invalid(f"property `{name}`: `enum` must hold strings")


def _whole(place: str, number: float) -> int:
    """Return a number without its fraction."""
    if not -_LARGEST <= number <= _LARGEST:
        raise Invalid(f"{place} is too large")
    return int(number)


def as_text(value: object) -> str:
    """Return a default as text, in the way that clients of the API know it."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)
