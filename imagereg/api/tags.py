"""Views of single tags.  Source: contract api-images 21."""

from flask import Response

from imagereg.api.schemas import check_tag
from imagereg.api.services import Call


def add(call: Call) -> Response:
    """Add a tag to an image."""
    check_tag(call.ids["tag"])
    call.services.tags.add(call.grant, call.ids["tag"])
    return Response(status=204)


def remove(call: Call) -> Response:
    """Remove a tag from an image."""
    call.services.tags.remove(call.grant, call.ids["tag"])
    return Response(status=204)
