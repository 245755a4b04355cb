"""A PATCH body, in either dialect -> operations.

Everything that needs no image is checked here, before one is loaded: 400 for what
is malformed, 403 for fields and names that no client may touch.

Source: contract api-images 12.1 to 12.4.
"""

from collections.abc import Mapping, Sequence

from imagereg.api.schemas import ImageBodies
from imagereg.errors import Invalid, PropertyReserved, ReadOnlyField, UnsupportedMedia
from imagereg.images.fields import READ_ONLY, is_reserved
from imagereg.images.patch import PatchOperation

V20 = "application/openstack-images-v2.0-json-patch"
V21 = "application/openstack-images-v2.1-json-patch"

_OPS = ("add", "replace", "remove")

#: How deep a pointer below ``locations`` goes, by operation.
_LOCATIONS_DEPTH = {"add": 2, "remove": 2, "replace": 1}


def parse(
    content_type: str, document: object, bodies: ImageBodies
) -> tuple[PatchOperation, ...]:
    """Return the operations of a PATCH body.

    Parameters of the content type do not matter.

    Raises:
        UnsupportedMedia: the content type is neither dialect.
        Invalid: the document, a pointer or a value is malformed.
        PropertyReserved, ReadOnlyField: a name that no client may touch.
    """
    dialect = media_type(content_type)
    if not isinstance(document, list):
        raise Invalid("the request body must be a JSON array of operations")
    return tuple(_operation(dialect, item, bodies) for item in document)


def media_type(content_type: str) -> str:
    """Return which dialect a content type names.

    Raises:
        UnsupportedMedia: neither.
    """
    dialect = content_type.partition(";")[0].strip().lower()
    if dialect not in (V20, V21):
        message = f"content type `{dialect}` is not a way to change images"
        raise UnsupportedMedia(message, accepted=(V20, V21))
    return dialect


def _operation(dialect: str, item: object, bodies: ImageBodies) -> PatchOperation:
    if not isinstance(item, dict):
        raise Invalid("each operation must be a JSON object")
    op, pointer = _v21(item) if dialect == V21 else _v20(item)
    name, rest = _pointer(op, pointer)
    if is_reserved(name):
        raise PropertyReserved(name)
    if name in READ_ONLY or name == "id":
        raise ReadOnlyField(name)
    if op == "remove":
        bodies.check_removal(name)
        return PatchOperation(op, name, rest)
    if "value" not in item:
        raise Invalid(f"operation `{op}` needs a value")
    value = item["value"]
    if name == "locations":
        value = (
            bodies.check_locations(value)
            if op == "replace"
            else (bodies.check_location(value))
        )
    elif name != "stores":
        value = bodies.check_value(name, value)
    return PatchOperation(op, name, rest, value, fresh_only=dialect == V20)


def _v21(item: Mapping[str, object]) -> tuple[str, object]:
    op = item.get("op")
    if op not in _OPS or not isinstance(op, str):
        raise Invalid("an operation must be one of add, replace and remove")
    if "path" not in item:
        raise Invalid(f"operation `{op}` needs a path")
    return op, item["path"]


def _v20(item: Mapping[str, object]) -> tuple[str, object]:
    given = [op for op in _OPS if op in item]
    if len(given) != 1:
        raise Invalid("an operation must be exactly one of add, replace and remove")
    return given[0], item[given[0]]


def _pointer(op: str, pointer: object) -> tuple[str, tuple[str, ...]]:
    """Return the name a pointer addresses, and what follows it."""
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise Invalid("a path must be a string that starts with `/`")
    if pointer != "/" and (pointer.endswith("/") or "//" in pointer[1:]):
        raise Invalid(f"path `{pointer}` has an empty part")
    if "~" in pointer.replace("~0", "").replace("~1", ""):
        raise Invalid(f"path `{pointer}` has an escape other than ~0 and ~1")
    parts = [_decoded(part) for part in pointer[1:].split("/")]
    name, rest = parts[0], tuple(parts[1:])
    _check_depth(op, name, rest, pointer)
    return name, rest


def _check_depth(op: str, name: str, rest: Sequence[str], pointer: str) -> None:
    depth = _LOCATIONS_DEPTH[op] if name == "locations" else 1
    if len(rest) + 1 != depth:
        raise Invalid(f"path `{pointer}` does not address a field")


def _decoded(part: str) -> str:
    return part.strip().replace("~1", "/").replace("~0", "~")
