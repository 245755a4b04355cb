"""The schema documents that clients build their validators from.

Exact markers matter more than prose: a ``type`` at the top, a ``readOnly: false`` or
a ``default`` would each change how some client behaves.

Source: contract api-schemas.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from imagereg.api.declared import DeclaredProperties
from imagereg.metadefs.schemas import metadef_schemas
from imagereg.model import TaskStatus, TaskType

Document = dict[str, Any]

_UUID = (
    r"^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}"
    r"-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
)
_STATUSES = (
    "queued saving active killed deleted uploading importing pending_delete deactivated"
)


def schema_documents(
    disk_formats: Sequence[str],
    container_formats: Sequence[str],
    declared: DeclaredProperties | None = None,
) -> Mapping[str, Document]:
    """Return every document by its path below ``/v2/schemas/``."""
    image = _image(disk_formats, container_formats)
    if declared is not None:
        image["properties"].update(declared.schemas)
        if declared.required:
            image["required"] = list(declared.required)
    member = _member()
    return {
        "image": image,
        "images": _collection("images", image),
        "member": member,
        "members": _short_collection("members", member),
        "task": _named("task", {**_task(), **_task_details()}),
        "tasks": _short_collection("tasks", _named("task", _task())),
        **metadef_schemas(),
    }


def _text(description: str, longest: int | None = None, **more: object) -> Document:
    document: Document = {"type": "string", "description": description, **more}
    if longest is not None:
        document["maxLength"] = longest
    return document


def _maybe(kind: str, description: str, **more: object) -> Document:
    return {"type": ["null", kind], "description": description, **more}


def _image(disk_formats: Sequence[str], container_formats: Sequence[str]) -> Document:
    return {
        "name": "image",
        "properties": {
            **_identity(),
            **_data(),
            **_machine(disk_formats, container_formats),
            **_links(),
        },
        "additionalProperties": {"type": "string"},
        "links": [
            {"rel": "self", "href": "{self}"},
            {"rel": "enclosure", "href": "{file}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


def _identity() -> Document:
    return {
        "id": _text("Identifier of the image", pattern=_UUID),
        "name": _maybe("string", "Name for people to read", maxLength=255),
        "status": _text(
            "Where the image is in its life", enum=_STATUSES.split(), readOnly=True
        ),
        "visibility": _text(
            "Who may see the image", enum=["community", "public", "private", "shared"]
        ),
        "protected": {
            "type": "boolean",
            "description": "Whether the image is safe from deletion",
        },
        "os_hidden": {
            "type": "boolean",
            "description": "Whether default lists leave the image out",
        },
        "owner": _maybe("string", "Project that owns the image", maxLength=255),
        "created_at": _text("When the record was made", readOnly=True),
        "updated_at": _text("When the record last changed", readOnly=True),
        "tags": {
            "type": "array",
            "description": "Short texts to find the image by",
            "items": {"type": "string", "maxLength": 255},
        },
    }


def _data() -> Document:
    return {
        "checksum": _maybe(
            "string", "MD5 of the data in hex", maxLength=32, readOnly=True
        ),
        "os_hash_algo": _maybe(
            "string", "Algorithm of os_hash_value", maxLength=64, readOnly=True
        ),
        "os_hash_value": _maybe(
            "string", "Digest of the data in hex", maxLength=128, readOnly=True
        ),
        "size": _maybe("integer", "Size of the data in bytes", readOnly=True),
        "virtual_size": _maybe(
            "integer", "Size of the disk that a machine sees, in bytes", readOnly=True
        ),
    }


def _machine(disk_formats: Sequence[str], container_formats: Sequence[str]) -> Document:
    return {
        "container_format": _maybe(
            "string", "Format of the container", enum=[None, *container_formats]
        ),
        "disk_format": _maybe(
            "string", "Format of the disk", enum=[None, *disk_formats]
        ),
        "min_ram": {
            "type": "integer",
            "description": "Memory that a machine needs at least, in MiB",
        },
        "min_disk": {
            "type": "integer",
            "description": "Disk space that a machine needs at least, in GiB",
        },
    }


def _links() -> Document:
    return {
        "direct_url": _text("Where the data lie in their store", readOnly=True),
        "self": _text("Link to this record", readOnly=True),
        "file": _text("Link to the data", readOnly=True),
        "stores": _text("Stores that hold the data, by comma", readOnly=True),
        "schema": _text("Link to this schema", readOnly=True),
        "locations": {
            "type": "array",
            "description": "Every place where the data lie",
            "items": {
                "type": "object",
                "required": ["url", "metadata"],
                "properties": {
                    "url": {"type": "string", "maxLength": 255},
                    "metadata": {"type": "object"},
                    "validation_data": _validation_data(),
                },
            },
        },
    }


def _validation_data() -> Document:
    return {
        "type": "object",
        "writeOnly": True,
        "additionalProperties": False,
        "required": ["os_hash_algo", "os_hash_value"],
        "properties": {
            "checksum": {"type": "string", "minLength": 32, "maxLength": 32},
            "os_hash_algo": {"type": "string", "maxLength": 64},
            "os_hash_value": {"type": "string", "maxLength": 128},
        },
    }


def _member() -> Document:
    return {
        "name": "member",
        "properties": {
            "member_id": _text("Project that the image is shared with"),
            "image_id": _text("Identifier of the image", pattern=_UUID),
            "created_at": _text("When the project became a member"),
            "updated_at": _text("When the membership last changed"),
            "status": _text(
                "What the project says to it", enum=["pending", "accepted", "rejected"]
            ),
            "schema": {"type": "string", "readOnly": True},
        },
    }


def _named(name: str, properties: Document) -> Document:
    return {"name": name, "properties": properties}


def _task() -> Document:
    """Return what is told of a task in a list."""
    return {
        "id": _text("Identifier of the task", pattern=_UUID),
        "type": _text("Kind of work", enum=[str(kind) for kind in TaskType]),
        "status": _text("How far it is", enum=[str(status) for status in TaskStatus]),
        "owner": _text("Project that began it"),
        "image_id": _text("Image that it works on"),
        "request_id": _text("Request that began it"),
        "user_id": _text("User who began it"),
        "expires_at": _maybe("string", "When the record may be removed"),
        "created_at": _text("When it began"),
        "updated_at": _text("When the record last changed"),
        "self": {"type": "string", "readOnly": True},
        "schema": {"type": "string", "readOnly": True},
    }


def _task_details() -> Document:
    return {
        "input": _maybe("object", "What was asked for"),
        "result": _maybe("object", "What came out"),
        "message": _text("What there is to say, mostly why it failed"),
    }


def _short_collection(name: str, item: Document) -> Document:
    return {
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "schema": {"type": "string"},
        },
        "links": [{"rel": "describedby", "href": "{schema}"}],
    }


def _collection(name: str, item: Document) -> Document:
    return {
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }
