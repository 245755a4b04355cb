"""ImageView -> the JSON record.

Plain dicts, because dumping through a schema costs about four times what encoding
the JSON does.  Only an `ImageView` comes in, so nothing unreadable can go out.

Source: contract api-images 5 and 10.1.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from imagereg.approved import ImageView
from imagereg.db.copies import CachedCopy
from imagereg.model import (
    Location,
    Member,
    Task,
    format_exact_time,
    format_time,
    shown_url,
)

Document = dict[str, object]


@dataclass(frozen=True, slots=True)
class DocumentOptions:
    """Which optional keys a record has.

    Attributes:
        direct_url: ``show_image_direct_url``.
        locations: ``show_multiple_locations``.
        weights: store id -> weight where several stores are configured, else empty.
        nullable: declared properties, whose null is shown as such.
    """

    direct_url: bool = False
    locations: bool = False
    weights: Mapping[str, int] = field(default_factory=dict)
    nullable: Container[str] = ()


def image_document(view: ImageView, options: DocumentOptions) -> Document:
    """Return the record of an image as its caller may see it."""
    image = view.image
    link = f"/v2/images/{quote(image.id)}"
    document: Document = {
        name: "" if value is None and name not in options.nullable else value
        for name, value in image.properties.items()
    }
    document.update(
        name=image.name,
        disk_format=image.disk_format,
        container_format=image.container_format,
        visibility=image.visibility,
        size=image.size,
        virtual_size=image.virtual_size,
        status=image.status,
        checksum=image.checksum,
        protected=image.protected,
        min_ram=image.min_ram,
        min_disk=image.min_disk,
        owner=image.owner,
        os_hidden=image.os_hidden,
        os_hash_algo=image.os_hash_algo,
        os_hash_value=image.os_hash_value,
        id=image.id,
        created_at=format_time(image.created_at_us),
        updated_at=format_time(image.updated_at_us),
        tags=image.tags,
        self=link,
        file=f"{link}/file",
        schema="/v2/schemas/image",
    )
    _add_places(document, view, options)
    return document


def page_document(
    images: Sequence[Document], first: str, following: str | None
) -> Document:
    """Return the envelope of one page of a list."""
    document: Document = {
        "images": images,
        "first": first,
        "schema": "/v2/schemas/images",
    }
    if following is not None:
        document["next"] = following
    return document


def _add_places(document: Document, view: ImageView, options: DocumentOptions) -> None:
    """Add where the bytes lie, best place first."""
    weights = options.weights
    if weights and view.stores:
        ordered = sorted(view.stores, key=lambda store: -weights.get(store, 0))
        document["stores"] = ",".join(ordered)
    if not options.locations and not options.direct_url:
        return
    locations = location_documents(view.locations, weights)
    if options.locations:
        document["locations"] = locations
    if options.direct_url and locations:
        document["direct_url"] = locations[0]["url"]


def member_document(member: Member) -> Document:
    """Return the record of a membership.  Source: contract api-images 20."""
    return {
        "member_id": member.member_id,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": format_time(member.created_at_us),
        "updated_at": format_time(member.updated_at_us),
        "schema": "/v2/schemas/member",
    }


def location_documents(
    places: Sequence[Location], weights: Mapping[str, int]
) -> list[Document]:
    """Return where the bytes of an image lie, best place first."""
    ordered = sorted(places, key=lambda place: -weights.get(place.store or "", 0))
    return [
        {"url": shown_url(place.url), "metadata": place.metadata} for place in ordered
    ]


def task_document(task: Task, *, whole: bool) -> Document:
    """Return the record of a task, in a list or ``whole``.

    Source: contract api-images 24.
    """
    document: Document = {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "created_at": format_time(task.created_at_us),
        "updated_at": format_time(task.updated_at_us),
        "self": f"/v2/tasks/{task.id}",
        "schema": "/v2/schemas/task",
    }
    if task.expires_at_us is not None:
        document["expires_at"] = format_time(task.expires_at_us)
    if whole:
        document.update(input=task.input, result=task.result, message=task.message)
        known = ("image_id", "request_id", "user_id")
        document.update(
            {name: getattr(task, name) for name in known if getattr(task, name)}
        )
    return document


def cache_document(copies: Sequence[CachedCopy], queued: Sequence[str]) -> Document:
    """Return what a node holds, with times in seconds as clients expect them.

    Source: contract api-images 25.
    """
    return {
        "cached_images": [
            {
                "image_id": copy.image_id,
                "hits": copy.hits,
                "last_accessed": copy.last_accessed_us / 1_000_000,
                "last_modified": copy.last_modified_us / 1_000_000,
                "size": copy.size,
            }
            for copy in copies
        ],
        "queued_images": list(queued),
    }


def raw_task_document(task: Task) -> Document:
    """Return a task as lists of an image's tasks show it.

    Source: contract api-images 11.2.
    """
    expires = task.expires_at_us
    return {
        "id": task.id,
        "type": task.type,
        "status": task.status,
        "owner": task.owner,
        "expires_at": None if expires is None else format_exact_time(expires),
        "created_at": format_exact_time(task.created_at_us),
        "updated_at": format_exact_time(task.updated_at_us),
        "deleted_at": None,
        "deleted": False,
        "image_id": task.image_id,
        "request_id": task.request_id,
        "user_id": task.user_id,
        "input": task.input,
        "result": task.result,
        "message": task.message,
    }
