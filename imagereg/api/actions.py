"""Views of the actions on an image.  Source: contract api-images 14."""

from flask import Response

from imagereg.api.services import Call


def deactivate(call: Call) -> Response:
    """Take an image out of use."""
    call.services.actions.deactivate(call.grant)
    return Response(status=204)


def reactivate(call: Call) -> Response:
    """Put an image back into use."""
    call.services.actions.reactivate(call.grant)
    return Response(status=204)
