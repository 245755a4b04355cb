"""The schema documents of metadata definitions.

Clients build their validators from these, and `definitions.py` checks every body
against the same documents, so the two cannot disagree.

Source: contract api-schemas 2 and 7.
"""

from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]

#: Longest name of a namespace or of anything in it, in characters.
NAME_LENGTH = 80

_TEXT: Document = {"type": "string"}
_NAME: Document = {"type": "string", "maxLength": NAME_LENGTH}

# JSON null among the types never validates, because a type is a string.  Clients
# know the list this way.
_TYPES: Document = {
    "type": "string",
    "enum": ["array", "boolean", "integer", "number", "object", "string", None],
}

_WHOLE: Document = {"$ref": "#/definitions/positiveInteger"}
_WHOLE_OR_0: Document = {"$ref": "#/definitions/positiveIntegerDefault0"}
_TEXTS: Document = {"$ref": "#/definitions/stringArray"}
_PROPERTY_MAP: Document = {"$ref": "#/definitions/property"}

#: What one property may hold.
PROPERTY: Document = {
    "name": _NAME,
    "title": _TEXT,
    "description": _TEXT,
    "operators": {"type": "array", "items": _TEXT},
    "type": _TYPES,
    "required": _TEXTS,
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": _WHOLE,
    "minLength": _WHOLE_OR_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "readonly": {"type": "boolean"},
    "default": {},
    "items": {
        "type": "object",
        "properties": {"type": _TYPES, "enum": {"type": "array"}},
    },
    "maxItems": _WHOLE,
    "minItems": _WHOLE_OR_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": {"type": "boolean"},
}

_NUMBERS: Document = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [_WHOLE, {"default": 0}]},
}

_DEFINITIONS: Document = {
    **_NUMBERS,
    "stringArray": {"type": "array", "items": _TEXT, "uniqueItems": True},
    "property": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["title", "type"],
            "properties": PROPERTY,
        },
    },
}

_PROPERTY_DEFINITIONS: Document = {
    **_NUMBERS,
    "stringArray": {
        "type": "array",
        "items": _TEXT,
        "minItems": 1,
        "uniqueItems": True,
    },
}


def _link() -> Document:
    return {"readOnly": True, "type": "string"}


def _times(thing: str) -> Document:
    """Return the two times that the server keeps of everything but properties."""
    return {
        "created_at": {
            "type": "string",
            "readOnly": True,
            "description": f"When the {thing} was made",
            "format": "date-time",
        },
        "updated_at": {
            "type": "string",
            "readOnly": True,
            "description": f"When the {thing} last changed",
            "format": "date-time",
        },
    }


def _document(
    name: str,
    properties: Document,
    required: list[str],
    definitions: Document | None = None,
) -> Document:
    document: Document = {
        "name": name,
        "properties": properties,
        "additionalProperties": False,
        "required": required,
    }
    if definitions is not None:
        document["definitions"] = definitions
    return document


def _array_of(properties: Document) -> Document:
    return {"type": "array", "items": {"type": "object", "properties": properties}}


def _described(description: str, **more: object) -> Document:
    return {"type": "string", "description": description, **more}


NAMESPACE: Document = _document(
    "namespace",
    {
        "namespace": _described("Name, unique in the registry", maxLength=NAME_LENGTH),
        "display_name": _described("Name for people to read", maxLength=NAME_LENGTH),
        "description": _described("What the definitions are about", maxLength=500),
        "visibility": _described("Who may read it", enum=["public", "private"]),
        "protected": {
            "type": "boolean",
            "description": "Whether it is safe from deletion, with all it holds",
        },
        "owner": _described("Project that owns the namespace", maxLength=255),
        **_times("namespace"),
        "schema": _link(),
        "self": _link(),
        "resource_type_associations": _array_of(
            {"name": _TEXT, "prefix": _TEXT, "properties_target": _TEXT}
        ),
        "properties": _PROPERTY_MAP,
        "objects": _array_of(
            {
                "name": _TEXT,
                "description": _TEXT,
                "required": _TEXTS,
                "properties": _PROPERTY_MAP,
            }
        ),
        "tags": _array_of({"name": _TEXT}),
    },
    ["namespace"],
    _DEFINITIONS,
)

OBJECT: Document = _document(
    "object",
    {
        "name": _NAME,
        "description": _TEXT,
        "required": _TEXTS,
        "properties": _PROPERTY_MAP,
        "schema": _link(),
        "self": _link(),
        **_times("object"),
    },
    ["name"],
    _DEFINITIONS,
)

NAMED_PROPERTY: Document = _document(
    "property", PROPERTY, ["type", "title", "name"], _PROPERTY_DEFINITIONS
)

TAG: Document = _document("tag", {"name": _NAME, **_times("tag")}, ["name"])

#: Items of the call that sets many tags at once.
TAGS: Document = {
    "properties": {
        "tags": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": _NAME},
                "additionalProperties": False,
            },
        }
    },
    "required": ["tags"],
}

ASSOCIATION: Document = _document(
    "resource_type_association",
    {
        "name": _described(
            "Resource type, such as OS::Glance::Image", maxLength=NAME_LENGTH
        ),
        "prefix": _described(
            "Text before each property's name on such a resource",
            maxLength=NAME_LENGTH,
        ),
        "properties_target": _described(
            "Which key-value store of the resource is meant", maxLength=NAME_LENGTH
        ),
        **_times("association"),
    },
    ["name"],
)


def metadef_schemas() -> Mapping[str, Document]:
    """Return every document by its path below ``/v2/schemas/``."""
    unnamed = {**NAMED_PROPERTY, "required": ["type", "title"]}
    return {
        "metadefs/namespace": NAMESPACE,
        "metadefs/namespaces": _collection("namespaces", NAMESPACE),
        "metadefs/object": OBJECT,
        "metadefs/objects": _collection("objects", OBJECT),
        "metadefs/property": NAMED_PROPERTY,
        "metadefs/properties": _collection("properties", unnamed, mapped=True),
        "metadefs/tag": TAG,
        "metadefs/tags": _collection("tags", TAG),
        "metadefs/resource_type": ASSOCIATION,
        "metadefs/resource_types": _collection(
            "resource_type_associations", ASSOCIATION
        ),
    }


def _collection(name: str, item: Document, *, mapped: bool = False) -> Document:
    """Return a list document; definitions move to its root, where `$ref` looks."""
    inner = {key: value for key, value in item.items() if key != "definitions"}
    document: Document = {
        "name": name,
        "properties": {
            name: {"type": "object", "additionalProperties": inner}
            if mapped
            else {"type": "array", "items": inner},
            "first": _TEXT,
            "next": _TEXT,
            "schema": _TEXT,
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }
    if "definitions" in item:
        document["definitions"] = item["definitions"]
    return document
