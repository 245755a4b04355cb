"""The view of the numbers, for whoever collects them.

Source: contract config 9, ``[imagereg] metrics``.
"""

from flask import Response, request

from imagereg.api.services import Call
from imagereg.errors import NotFound

#: The exposition format of Prometheus.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def show(call: Call) -> Response:
    """Show the numbers to a caller on this machine, or a trusted peer.

    Raises:
        NotFound: there are none, or they are not this caller's to see.
    """
    services = call.services
    if not services.health.near.holds(request):
        raise NotFound("no such resource")
    page = services.meters.page(services.find_backlog)
    if page is None:
        raise NotFound("no such resource")
    response = Response(page, content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response
