"""Views of what the service says about itself: versions, health, schemas, import.

Source: contract api-images 1.1, 2 and 22; api-schemas.
"""

from flask import Response, request

from imagereg.api.images import json_answer
from imagereg.api.services import Call
from imagereg.errors import NotFound


def choices(call: Call) -> Response:
    """Say which versions there are to a client that named none."""
    return _versions(call, 300)


def versions(call: Call) -> Response:
    """Say which versions there are to a client that asked."""
    return _versions(call, 200)


def redirect(call: Call) -> Response:
    """Send ``/v2`` to ``/v2/``."""
    response = Response(status=302, headers={"Location": f"{request.host_url}v2/"})
    del response.headers["Content-Type"]
    return response


def health(call: Call) -> Response:
    """Say that the process answers."""
    return Response("OK", 200, content_type="text/plain; charset=UTF-8")


def schema(call: Call) -> Response:
    """Show a schema document.

    Raises:
        NotFound: there is none of this name.
    """
    name = call.ids["name"]
    if name not in call.services.schemas:
        raise NotFound(f"there is no schema `{name}`")
    return json_answer(call.services.schemas[name])


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


def _versions(call: Call, status: int) -> Response:
    base = call.services.public_endpoint or request.host_url
    href = f"{base.rstrip('/')}/v2/"
    document = {
        "versions": [
            {"id": name, "status": state, "links": [{"rel": "self", "href": href}]}
            for name, state in call.services.versions
        ]
    }
    return json_answer(document, status)
