"""Views of the image cache.  Source: contract api-images 25."""

from flask import Response

from imagereg.api.documents import cache_document
from imagereg.api.images import json_answer
from imagereg.api.services import Call
from imagereg.cache.management import CacheManagement, Part
from imagereg.errors import Invalid, NotFound
from imagereg.targets import StoredImage

TARGET_HEADER = "X-Image-Cache-Clear-Target"


def index(call: Call) -> Response:
    """List the copies on this node, and what is queued."""
    copies, queued = _management(call).list(call.grant)
    return json_answer(cache_document(copies, queued))


def nodes(call: Call) -> Response:
    """List the nodes that hold a copy of an image."""
    return json_answer(_management(call).nodes(call.grant))


def queue(call: Call) -> Response:
    """Have an image fetched soon."""
    _management(call).queue(call.grant)
    return Response(status=202)


def delete(call: Call) -> Response:
    """Drop one image from cache and queue."""
    management, image_id = _management(call), call.ids["image_id"]
    if isinstance(call.grant.target, StoredImage):
        management.delete(call.grant, image_id)
    else:
        management.delete_orphan(call.grant, image_id)
    return Response(status=204)


def clear(call: Call) -> Response:
    """Drop everything, or the part of it that a header names.

    Raises:
        Invalid: the header names none.
    """
    management, wanted = _management(call), call.request.headers.get(TARGET_HEADER, "")
    if wanted not in {*Part}:
        raise Invalid(f"header `{TARGET_HEADER}` must be `cache`, `queue` or empty")
    management.clear(call.grant, Part(wanted))
    return Response(status=204)


def clean(call: Call) -> Response:
    """Remove failed and stalled copies."""
    _management(call).clean(call.grant)
    return Response(status=200)


def prune(call: Call) -> Response:
    """Bring the cache below its limit."""
    pruned = _management(call).prune(call.grant)
    return json_answer(
        {"total_files_pruned": pruned.files, "total_bytes_pruned": pruned.bytes}
    )


def _management(call: Call) -> CacheManagement:
    """Return the cache, behind the gate.

    Raises:
        NotFound: it is not turned on.
    """
    if call.services.cache is None:
        raise NotFound("there is no image cache")
    return call.services.cache
