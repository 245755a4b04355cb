"""Views of image records.  Source: contract api-images 9 to 13."""

from urllib.parse import quote

import orjson
from flask import Response, request

from imagereg.api import list_query
from imagereg.api.documents import Document, image_document, page_document
from imagereg.api.services import Call
from imagereg.approved import ImageView


def json_answer(document: object, status: int = 200) -> Response:
    """Return a document as JSON, whatever ``Accept`` says."""
    return Response(orjson.dumps(document), status, mimetype="application/json")


def index(call: Call) -> Response:
    """List images."""
    services, grant = call.services, call.grant
    asked = list_query.parse(
        request.query_string.decode("ascii"),
        grant.caller,
        default=services.page_default,
        largest=services.page_max,
    )
    page = services.catalog.page(grant, asked.query, asked.properties, asked.marker)
    following = None if page.next_marker is None else asked.link(page.next_marker)
    images = [_document(call, view) for view in page.views]
    return json_answer(page_document(images, asked.link(None), following))


def create(call: Call) -> Response:
    """Create an image record."""
    view = call.services.metadata.create(call.grant, call.body)
    response = json_answer(_document(call, view), 201)
    root = f"{request.scheme}://{request.host}{quote(request.root_path)}"
    response.headers["Location"] = f"{root}/v2/images/{view.image.id}"
    if call.services.data.several_stores:
        ids = ",".join(store.id for store in call.services.data.stores)
        response.headers["OpenStack-image-store-ids"] = ids
    if call.services.import_methods:
        methods = ",".join(call.services.import_methods)
        response.headers["OpenStack-image-import-methods"] = methods
    return response


def show(call: Call) -> Response:
    """Show an image record."""
    return json_answer(_document(call, call.services.catalog.show(call.grant)))


def update(call: Call) -> Response:
    """Apply a PATCH."""
    return json_answer(
        _document(call, call.services.metadata.update(call.grant, call.body))
    )


def delete(call: Call) -> Response:
    """Delete an image and its data."""
    call.services.metadata.delete(call.grant)
    return Response(status=204)


def _document(call: Call, view: ImageView) -> Document:
    return image_document(view, call.services.options)
