"""The view that begins an import.  Source: contract api-images 18."""

from flask import Response

from imagereg.api.services import Call


def begin(call: Call) -> Response:
    """Let the image get its data from where the body says; the work is done later."""
    lent = call.services.authenticator.delegation(call.request)
    call.services.imports.begin(call.grant, call.body, lent)
    response = Response(status=202)
    del response.headers["Content-Type"]
    return response
