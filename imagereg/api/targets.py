"""Path and body of a request -> what the gate judges.

Whatever must be refused before an image is even looked for is refused here.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from uuid import uuid4

from flask import Request

from imagereg.api import bodies, json_patch
from imagereg.api.import_bodies import load_import
from imagereg.api.location_schemas import load_posted_location
from imagereg.errors import (
    Conflict,
    ImageNotFound,
    Invalid,
    NotFound,
    StatusConflict,
    UnsupportedMedia,
)
from imagereg.images.digests import Digest
from imagereg.images.metadata import NewImage
from imagereg.images.patch import PatchOperation
from imagereg.images.ranges import StagedRange, parse_staged_range
from imagereg.jobs.import_request import ImportMethod, ImportRequest
from imagereg.model import Caller, Status, Visibility
from imagereg.policy.actions import Action
from imagereg.targets import (
    CacheEntry,
    NoTarget,
    OwnProject,
    ProposedImage,
    StoredImage,
    Target,
)

if TYPE_CHECKING:
    from imagereg.api.services import Services

#: Request, caller and path parts -> the target, and what was read from the body.
Finder = Callable[
    [Request, Caller, "Services", Mapping[str, str]], tuple[Target, object]
]

_PUBLISHING: Mapping[object, tuple[Action, ...]] = {
    Visibility.PUBLIC: (Action.PUBLICIZE_IMAGE,),
    Visibility.COMMUNITY: (Action.COMMUNITIZE_IMAGE,),
}


def nothing(
    request: Request,
    caller: Caller,
    services: "Services",
    ids: Mapping[str, str],
) -> tuple[Target, object]:
    """Return the target of documents that are the same for everyone."""
    return NoTarget(), None


def collection(
    request: Request,
    caller: Caller,
    services: "Services",
    ids: Mapping[str, str],
) -> tuple[Target, object]:
    """Return what the caller's project can see, as a whole."""
    return OwnProject(), None


def stored(
    request: Request,
    caller: Caller,
    services: "Services",
    ids: Mapping[str, str],
) -> tuple[Target, object]:
    """Return the image that the path names."""
    return _find(caller, services, ids), None


def proposed(
    request: Request,
    caller: Caller,
    services: "Services",
    ids: Mapping[str, str],
) -> tuple[Target, NewImage]:
    """Return the image that the body proposes.

    Source: contract api-images 9, the checks before ``add_image``.
    """
    document = bodies.json_document(request, services.max_body_bytes)
    loaded = services.bodies.check_new(document)
    owner = loaded.pop("owner") or None if "owner" in loaded else caller.project_id
    new = NewImage(
        id=loaded.pop("id", None) or str(uuid4()),
        owner=owner,
        tags=loaded.pop("tags", ()),
        fields={n: loaded.pop(n) for n in list(loaded) if n in services.fields},
        properties=loaded,
    )
    visibility = str(new.fields.get("visibility", Visibility.PRIVATE))
    asks = (Action.ADD_IMAGE, *_PUBLISHING.get(visibility, ()))
    return ProposedImage(asks, owner, visibility), new


def new_image(body: NewImage) -> Mapping[str, object]:
    """Return what a create names."""
    return {"image_id": body.id}


def patched(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, tuple[PatchOperation, ...]]:
    """Return the image that the path names, and what the body wants done to it.

    Source: contract api-images 12.3; policy 6.
    """
    content_type = request.headers.get("Content-Type", "")
    json_patch.media_type(content_type)
    document = bodies.json_document(request, services.max_body_bytes)
    operations = json_patch.parse(content_type, document, services.bodies)
    found = _find(caller, services, ids)
    return StoredImage(found.image, found.membership, _asks(operations)), operations


def uploaded(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, tuple[int | None, str | None]]:
    """Return the image that the path names, and the size and store of the headers.

    Source: contract api-images 15.1 and 15.2.
    """
    _check_bytes(request)
    size, store = _announced(request), _wanted_store(request, services)
    return _find(caller, services, ids), (size, store)


def staged(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, tuple[int | None, StagedRange | None]]:
    """Return the image that the path names, and the size and range of the headers.

    Source: contract api-images 17; ruling S-14.
    """
    services.staging.rules.check_enabled()
    _check_bytes(request)
    size, header = _announced(request), request.headers.get("Content-Range")
    part = None if header is None else parse_staged_range(header)
    services.staging.rules.check_size(part, size)
    return _find(caller, services, ids), (size, part)


def stageable(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, object]:
    """Return the image that the path names, if images can be staged."""
    services.staging.rules.check_enabled()
    return _find(caller, services, ids), None


def downloaded(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, tuple[str, ...]]:
    """Return the image that the path names, and the stores to read it from first.

    Source: contract api-images 16.
    """
    wanted = [store.strip() for store in request.args.get("prefer", "").split(",")]
    prefer = tuple(store for store in wanted if store)
    found = _find(caller, services, ids)
    if not prefer:
        return found, ()
    asks = (Action.DOWNLOAD_IMAGE, Action.DOWNLOAD_FROM_STORE)
    return StoredImage(found.image, found.membership, asks), prefer


def several_stores(
    request: Request,
    caller: Caller,
    services: "Services",
    ids: Mapping[str, str],
) -> tuple[Target, object]:
    """Return the target of documents that exist only where there are several stores.

    Source: contract api-images 22.
    """
    if not services.data.several_stores:
        raise NotFound("there is a single store")
    return nothing(request, caller, services, ids)


def member_body(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, object]:
    """Return the image that the path names, and the body about a member.

    Source: contract api-images 20.
    """
    document = bodies.json_document(request, services.max_body_bytes)
    if not isinstance(document, dict):
        raise Invalid("the request body must be a JSON object")
    return _find(caller, services, ids), document


def new_member(body: Mapping[str, object]) -> Mapping[str, object]:
    """Return what the creation of a member names."""
    member = body.get("member")
    return {"member_id": member} if isinstance(member, str | int) else {}


def posted_location(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, tuple[str, Digest | None]]:
    """Return the image that the path names, and where its data are said to lie.

    Who may not see the image does not learn of its status either.

    Raises:
        StatusConflict: it is not ``queued``, which comes before the rule.

    Source: contract api-images 19.2.
    """
    document = bodies.json_document(request, services.max_body_bytes)
    wanted = load_posted_location(document)
    found = _find(caller, services, ids)
    if _is_shown(caller, services, found) and found.image.status != Status.QUEUED:
        message = f"image {found.image.id} is {found.image.status}, not queued"
        raise StatusConflict(message)
    return found, wanted


def imported(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, ImportRequest]:
    """Return the image that the path names, and what its import is to do.

    Raises:
        StatusConflict, Conflict: the image is not ready, which comes before the rule.

    Source: contract api-images 18.2.
    """
    document = bodies.json_document(request, services.max_body_bytes)
    several = services.data.several_stores
    header = request.headers.get("X-Image-Meta-Store") if several else None
    wanted = load_import(document, services.import_methods, header)
    services.quotas.check_within(caller.project_id)
    found = _find(caller, services, ids)
    if _is_shown(caller, services, found):
        wanted.check_ready(found.image)
    copies = wanted.method == ImportMethod.COPY_IMAGE
    asks = (Action.COPY_IMAGE if copies else Action.MODIFY_IMAGE,)
    return StoredImage(found.image, found.membership, asks), wanted


def in_store(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, object]:
    """Return the image whose copy in one store the path names.

    Raises:
        NotFound: there is a single store.
        Conflict: there is no such store.

    Source: contract api-images 22.
    """
    if not services.data.several_stores:
        raise NotFound("there is a single store")
    if ids["store_id"] not in services.data.stores:
        raise Conflict(f"there is no store `{ids['store_id']}`")
    return _find(caller, services, ids), None


def cache_entry(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, object]:
    """Return the image that the path names, as an entry of the cache.

    Source: contract api-images 25, policy 6.
    """
    found = _find(caller, services, ids)
    return CacheEntry(found.image, found.membership), None


def cached(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, object]:
    """Return the image that the path names, or to administrators what is left of it.

    Nobody else is told apart one that is gone and one that is hidden.

    Raises:
        ImageNotFound: there is no such image, and the caller is no administrator.
    """
    found = services.images.find(ids["image_id"], caller.project_id)
    if found is not None:
        return CacheEntry(*found), None
    if not caller.is_admin:
        raise ImageNotFound(ids["image_id"])
    return NoTarget(), None


def _find(caller: Caller, services: "Services", ids: Mapping[str, str]) -> StoredImage:
    image, membership = services.images.get(ids["image_id"], caller.project_id)
    return StoredImage(services.locations.rules.name_stores(image), membership)


def _is_shown(caller: Caller, services: "Services", found: StoredImage) -> bool:
    """Return whether the rules let the caller know of an image that data show it.

    Who may not see an image does not learn of its status either.

    Raises:
        ImageNotFound: stored data hide it.
    """
    found.check_visible(caller)
    gate = services.gate
    return gate.allows(caller, Action.GET_IMAGE, gate.fields(caller, found))


def _asks(operations: tuple[PatchOperation, ...]) -> tuple[Action, ...]:
    """Return the actions that operations need, in their order.

    An empty PATCH changes nothing and needs what showing the image needs.
    """
    asked: dict[Action, None] = {}
    for operation in operations:
        if operation.name == "locations":
            removes = operation.op == "remove"
            asked[
                Action.DELETE_IMAGE_LOCATION if removes else Action.SET_IMAGE_LOCATION
            ] = None
            continue
        if operation.name == "visibility":
            for action in _PUBLISHING.get(operation.value, ()):
                asked[action] = None
        asked[Action.MODIFY_IMAGE] = None
    return tuple(asked) or (Action.GET_IMAGE,)


def _check_bytes(request: Request) -> None:
    """Refuse a body that is not declared to be bytes."""
    content_type = request.headers.get("Content-Type", "")
    if content_type.partition(";")[0].strip().lower() != "application/octet-stream":
        message = f"content type `{content_type}` is not application/octet-stream"
        raise UnsupportedMedia(message)


def _wanted_store(request: Request, services: "Services") -> str | None:
    """Return the store that a header names, where clients may choose."""
    store = request.headers.get("X-Image-Meta-Store")
    if not store or not services.data.several_stores:
        return None
    _check_store(store, services)
    return store


def _check_store(store: str, services: "Services") -> None:
    if store not in services.data.stores:
        raise Invalid(f"there is no store `{store}`")


def _announced(request: Request) -> int | None:
    header = request.headers.get("X-OpenStack-Image-Size")
    if header is None:
        return None if bodies.is_chunked(request) else request.content_length or 0
    if not header.isascii() or not header.isdigit() or len(header) > 20:
        raise Invalid("header `X-OpenStack-Image-Size` must be a whole number")
    return int(header) or None
