"""What neither the table of routes nor a schema tells about an operation.

Parameters of query and header, the statuses of success, and which schema a body and
an answer have; by the name of the operation, which is that of its view.

Source: contract api-images 1.6, 3, 10, 15, 16 and 24, api-metadefs 2 and 3.3.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imagereg.api import list_query, task_query
from imagereg.api.json_patch import V20, V21
from imagereg.db.metadefs import SORT_KEYS as NAMESPACE_SORT_KEYS
from imagereg.db.words import SORT_KEYS
from imagereg.jobs.import_request import ImportMethod
from imagereg.model import MemberStatus, Status, TaskStatus, Visibility

Document = dict[str, Any]

JSON = "application/json"
BYTES = "application/octet-stream"

#: What every database can store: no NUL, nothing beyond the basic plane.
STORABLE = "^[\\u0001-\\uD7FF\\uE000-\\uFFFF]*$"

_TIME = (
    "(gte?|lte?|n?eq):(19|20)[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])"
    "T([01][0-9]|2[0-3])(:[0-5][0-9]){2}Z"
)

_TEXT: Document = {"type": "string"}
_WHOLE: Document = {"type": "integer", "minimum": 0}
_TRUTH: Document = {"type": "string", "enum": ["true", "false"]}


def _query(name: str, schema: Document, description: str) -> Document:
    return {"in": "query", "name": name, "schema": schema, "description": description}


def _header(name: str, schema: Document, description: str) -> Document:
    return {"in": "header", "name": name, "schema": schema, "description": description}


def _choice(*values: str) -> Document:
    return {"type": "string", "enum": [str(value) for value in values]}


def _pattern(pattern: str) -> Document:
    return {"type": "string", "pattern": pattern}


def _listed(*keys: str) -> Document:
    """Return the schema of a comma list of keys with directions."""
    one = f"({'|'.join(keys)}):(asc|desc)"
    return _pattern(f"^{one}(,{one})*$")


#: A colon would end the name of an operator.
_PLAIN = _pattern("^((eq|in):)?[a-z0-9 -]*$")

_LIMIT = _query("limit", _WHOLE, "Rows of the page at most")
_MARKER = _query("marker", _TEXT, "The last row of the page before")
_SORT_DIR = _query("sort_dir", _choice("asc", "desc"), "Direction of the order")

_IMAGE_LIST = (
    _LIMIT,
    _MARKER,
    _query("sort", _listed(*SORT_KEYS), "Keys and directions: `name:asc,size:desc`"),
    _query("sort_key", _choice(*SORT_KEYS), "What to order by; may be repeated"),
    _query("sort_dir", _choice("asc", "desc"), "Direction of the key in its place"),
    _query("visibility", _choice(*Visibility, "all"), "Images of this visibility"),
    _query("member_status", _choice(*MemberStatus, "all"), "Shared images as answered"),
    _query("os_hidden", _TRUTH, "Hidden images instead of the others"),
    _query("protected", _TRUTH, "Images that are safe from deletion, or not"),
    _query("tag", _TEXT, "Images with this tag; may be repeated"),
    *(
        _query(name, _PLAIN, "Images with this value, or `in:` one of a comma list")
        for name in ("name", "id", "container_format", "disk_format")
    ),
    _query("status", _choice(*Status), "Images in this status"),
    *(
        _query(name, _TEXT, "Images with exactly this value")
        for name in ("owner", "checksum", "os_hash_algo", "os_hash_value")
    ),
    *(
        _query(
            name,
            _pattern(f"^{_TIME}$"),
            "A time after an operator: `gte:2026-01-31T00:00:00Z`",
        )
        for name in ("created_at", "updated_at")
    ),
    *(
        _query(f"{name}{bound}", {"type": "integer"}, "A number, or the end of a range")
        for name in list_query.NUMBERS
        for bound in ("", "_min", "_max")
    ),
)

_TASK_LIST = (
    _LIMIT,
    _query("marker", {**_TEXT, "format": "uuid"}, "The last task of the page before"),
    _SORT_DIR,
    _query("sort_key", _choice(*task_query.SORT_KEYS), "What to order by"),
    _query("status", _choice(*TaskStatus), "Tasks in this status"),
    _query("type", _choice("import"), "Tasks of this kind"),
    _query("owner", _TEXT, "Tasks of this project"),
    _query("image_id", _TEXT, "Tasks that work on this image"),
)

_NAMESPACE_LIST = (
    _LIMIT,
    _MARKER,
    _SORT_DIR,
    _query("sort_key", _choice(*NAMESPACE_SORT_KEYS), "What to order by"),
    _query("visibility", _choice("public", "private"), "Who may read them"),
    _query("resource_types", _TEXT, "Associated with one of a comma list"),
)

#: Operation -> parameters beside those of its path.
PARAMETERS: Mapping[str, tuple[Document, ...]] = {
    "images.index": _IMAGE_LIST,
    "tasks.index": _TASK_LIST,
    "metadefs.index": _NAMESPACE_LIST,
    "metadef_contents.objects": (
        _query("limit", {"type": "integer", "minimum": 1}, "Checked, and ignored"),
        _SORT_DIR,
    ),
    "metadef_contents.tags": (_LIMIT, _MARKER, _SORT_DIR),
    "metadef_contents.show_property": (
        _query("resource_type", _TEXT, "The type whose prefix the name has"),
    ),
    "metadef_contents.add_tags": (
        _header("X-Openstack-Append", _TRUTH, "Keep the tags that are there"),
    ),
    "cache.clear": (
        _header(
            "X-Image-Cache-Clear-Target",
            _pattern("^(cache|queue)?$"),
            "What to clear; empty is both",
        ),
    ),
    "image_data.upload": (
        _header("X-Image-Meta-Store", _TEXT, "The store to put the data in"),
        _header("X-OpenStack-Image-Size", _WHOLE, "Size of the data in bytes"),
    ),
    "staging.stage": (
        _header("X-OpenStack-Image-Size", _WHOLE, "Size of the data in bytes"),
        _header("Content-Range", _TEXT, "Which bytes these are: `bytes 0-99/200`"),
    ),
    "imports.begin": (
        _header("X-Image-Meta-Store", _TEXT, "The store to put the data in"),
    ),
    "image_data.download": (
        _header("Range", _TEXT, "One range of bytes: `bytes=0-99`"),
        _header("If-Range", _TEXT, "The ETag that the range belongs to"),
        _header("If-None-Match", _TEXT, "ETags of data that the client has"),
        _query("prefer", _TEXT, "Stores to read from first, by comma"),
    ),
}

#: Operation -> statuses of success, where its method's are not meant.
SUCCESS: Mapping[str, tuple[int, ...]] = {
    "discovery.choices": (300,),
    "discovery.redirect": (302,),
    "image_data.upload": (204,),
    "staging.stage": (204,),
    "image_data.download": (200, 204, 206, 304),
    "actions.deactivate": (204,),
    "actions.reactivate": (204,),
    "members.add": (200,),
    "tags.add": (204,),
    "locations.add": (202,),
    "cache.queue": (202,),
    "cache.clean": (200,),
    "cache.prune": (200,),
    "imports.begin": (202,),
    # Neither ever succeeds.
    "tasks.create": (),
    "tasks.delete": (405,),
}

#: Method -> statuses of success.
USUAL: Mapping[str, tuple[int, ...]] = {
    "*": (200,),
    "GET": (200,),
    "POST": (201,),
    "PUT": (200,),
    "PATCH": (200,),
    "DELETE": (204,),
}

#: Operation -> statuses of refusal, beside those of every operation like it.
REFUSALS: Mapping[str, tuple[int, ...]] = {
    "image_data.upload": (410, 415, 503),
    "staging.stage": (410, 415, 503),
    "image_data.download": (416, 503),
    "images.update": (415,),
    "images.delete": (503,),
    "locations.remove": (503,),
    "imports.begin": (413,),
    "tags.add": (413,),
    # Not there for whom it is not meant.
    "health_views.check": (404, 503),
    "health_views.live": (404,),
    "health_views.ready": (404, 503),
    "metrics.show": (404,),
}

#: Operation -> media types of its body, and the schema of each.
BODIES: Mapping[str, Mapping[str, str]] = {
    "images.create": {JSON: "NewImage"},
    "images.update": {V21: "Patch", V20: "OlderPatch"},
    "image_data.upload": {BYTES: "Bytes"},
    "staging.stage": {BYTES: "Bytes"},
    "imports.begin": {JSON: "NewImport"},
    "members.add": {JSON: "NewMember"},
    "members.update": {JSON: "Membership"},
    "locations.add": {JSON: "NewLocation"},
    "tasks.create": {JSON: "Anything"},
    # None of these is looked at.
    "cache.queue": {JSON: "Anything"},
    "cache.clean": {JSON: "Anything"},
    "cache.prune": {JSON: "Anything"},
    "metadefs.create": {JSON: "metadefs.namespace"},
    "metadefs.replace": {JSON: "metadefs.namespace"},
    "metadefs.associate": {JSON: "metadefs.resource_type"},
    "metadef_contents.add_object": {JSON: "metadefs.object"},
    "metadef_contents.replace_object": {JSON: "metadefs.object"},
    "metadef_contents.add_property": {JSON: "metadefs.property"},
    "metadef_contents.replace_property": {JSON: "metadefs.property"},
    "metadef_contents.add_tags": {JSON: "NewTags"},
    "metadef_contents.rename_tag": {JSON: "metadefs.tag"},
}

#: Operation -> schema of what a success answers, where there is one.
ANSWERS: Mapping[str, str] = {
    "images.index": "images",
    "images.create": "image",
    "images.show": "image",
    "images.update": "image",
    "members.index": "members",
    "members.add": "member",
    "members.show": "member",
    "members.update": "member",
    "tasks.index": "tasks",
    "tasks.show": "task",
    "metadefs.index": "metadefs.namespaces",
    "metadefs.show": "metadefs.namespace",
}


_NAME = "([^/~]|~0|~1)+"

#: What a client may call a property of its own, as a pointer.
_POINTER = _pattern(f"^/{_NAME}$")

#: One of the locations, or the end of them.
_PLACE = _pattern("^/locations/(-|[0-9]+)$")


def _pointer(name: str) -> str:
    """Return the pointer to a property of any name."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def patch_operation(
    path: Document, value: Document, *, ops: Sequence[str] = ("add", "replace")
) -> Document:
    """Return the schema of an operation of the newer dialect that writes a value."""
    return {
        "type": "object",
        "required": ["op", "path", "value"],
        "properties": {
            "op": {"enum": [*ops]},
            "path": path,
            "value": value,
        },
    }


def patch(fields: Iterable[str], declared: Mapping[str, Document]) -> Document:
    """Return the schema of a PATCH of fields of `NewImage`, properties and locations.

    Args:
        fields: those of every image.
        declared: schemas of the properties that have one of their own.
    """
    location = {"$ref": "#/components/schemas/PatchedLocation"}
    return {
        "type": "array",
        "items": {
            "anyOf": [
                *(
                    patch_operation(
                        {"const": f"/{name}"},
                        {"$ref": f"#/components/schemas/NewImage/properties/{name}"},
                    )
                    for name in fields
                ),
                *(
                    patch_operation({"const": _pointer(name)}, schema)
                    for name, schema in declared.items()
                ),
                patch_operation(_POINTER, {"type": "string", "pattern": STORABLE}),
                patch_operation(
                    {"const": "/locations"},
                    {"type": "array", "items": location},
                    ops=("replace",),
                ),
                patch_operation(_PLACE, location, ops=("add",)),
                *(
                    {
                        "type": "object",
                        "required": ["op", "path"],
                        "properties": {"op": {"const": "remove"}, "path": path},
                    }
                    for path in (_POINTER, _PLACE)
                ),
            ]
        },
    }


#: Schemas of bodies that are checked by hand.
SCHEMAS: Mapping[str, Document] = {
    "Bytes": {"type": "string", "format": "binary"},
    "Anything": {"type": "object"},
    "NewImport": {
        "type": "object",
        "required": ["method"],
        "properties": {
            "method": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": _choice(*ImportMethod),
                    "uri": _TEXT,
                    "glance_region": _TEXT,
                    "glance_image_id": {**_TEXT, "format": "uuid"},
                    "glance_service_interface": _TEXT,
                },
            },
            "stores": {"type": "array", "items": _TEXT},
            "all_stores": {"type": "boolean", "default": False},
            "all_stores_must_succeed": {"type": "boolean", "default": True},
        },
    },
    "OlderPatch": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "add": _POINTER,
                "replace": _POINTER,
                "remove": _POINTER,
                "value": {},
            },
        },
    },
}
