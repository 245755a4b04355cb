"""Views of locations and of copies in stores.

Source: contract api-images 19.2 and 22.
"""

from flask import Response

from imagereg.api.documents import location_documents
from imagereg.api.images import json_answer
from imagereg.api.services import Call


def add(call: Call) -> Response:
    """Let the image have its data at a URL; the work is done later."""
    url, digest = call.body
    call.services.tasks.import_location(call.grant, url, digest)
    response = Response(status=202)
    del response.headers["Content-Type"]
    return response


def index(call: Call) -> Response:
    """List where the bytes of the image lie."""
    places = call.services.locations.list(call.grant)
    return json_answer(location_documents(places, call.services.options.weights))


def remove(call: Call) -> Response:
    """Take the image's bytes out of one store."""
    call.services.locations.remove_from(call.grant, call.ids["store_id"])
    return Response(status=204)
