"""Views of what the service says about itself: versions, schemas, import.

Source: contract api-images 1.1, 2 and 22; api-schemas.
"""

from collections.abc import Iterable

from flask import Response, request

from imagereg.api.documents import Document
from imagereg.api.images import json_answer
from imagereg.api.services import Call
from imagereg.errors import NotFound
from imagereg.stores.store import Store


def choices(call: Call) -> Response:
    """Say which versions there are to a client that named none."""
    return _versions(call, 300)


def versions(call: Call) -> Response:
    """Say which versions there are to a client that asked."""
    return _versions(call, 200)


def redirect(call: Call) -> Response:
    """Send ``/v2`` to ``/v2/``."""
    response = Response(status=302, headers={"Location": f"{request.root_url}v2/"})
    del response.headers["Content-Type"]
    return response


def schema(call: Call) -> Response:
    """Show a schema document.

    Raises:
        NotFound: there is none of this name.
    """
    name = call.ids["name"]
    if name not in call.services.schemas:
        raise NotFound(f"there is no schema `{name}`")
    return json_answer(call.services.schemas[name])


def openapi(call: Call) -> Response:
    """Describe every operation as OpenAPI does."""
    return json_answer(call.services.description.document)


def import_info(call: Call) -> Response:
    """Say how data may be imported."""
    return json_answer(
        {
            "import-methods": {
                "description": "Import methods available.",
                "type": "array",
                "value": list(call.services.import_methods),
            }
        }
    )


def usage(call: Call) -> Response:  # every view has the same signature
    """Show what the caller's project uses of its limits."""
    project = call.grant.caller.project_id
    return json_answer({"usage": call.services.quotas.report(project)})


def stores(call: Call) -> Response:
    """Show which stores clients may name."""
    return json_answer({"stores": [_store(call, store) for store in _all(call)]})


def stores_detail(call: Call) -> Response:
    """Show the same, with what only administrators and services need."""
    return json_answer(
        {
            "stores": [
                {
                    **_store(call, store),
                    "type": store.type,
                    "weight": store.weight,
                    "properties": store.properties,
                }
                for store in _all(call)
            ]
        }
    )


def _all(call: Call) -> Iterable[Store]:
    return call.services.data.stores


def _store(call: Call, store: Store) -> Document:
    document: Document = {"id": store.id}
    if store.description:
        document["description"] = store.description
    if store is call.services.data.stores.default:
        document["default"] = "true"
    if not store.writable:
        document["read-only"] = "true"
    return document


def _versions(call: Call, status: int) -> Response:
    base = call.services.public_endpoint or request.root_url
    href = f"{base.rstrip('/')}/v2/"
    document = {
        "versions": [
            {"id": name, "status": state, "links": [{"rel": "self", "href": href}]}
            for name, state in call.services.versions
        ]
    }
    return json_answer(document, status)
