"""Views of staged data.  Source: contract api-images 17; ruling S-14."""

import orjson
from flask import Response

from imagereg.api import bodies
from imagereg.api.services import Call
from imagereg.images.staging import StagedBody, StagedState


def stage(call: Call) -> Response:
    """Take data that wait for their import, or a range of them."""
    size, part = call.body
    body = StagedBody(bodies.chunks(call.request), size, part)
    call.services.staging.stage(call.grant, body)
    return Response(status=204)


def show(call: Call) -> Response:
    """Tell which ranges are there, so that a client can go on."""
    state = call.services.staging.state(call.grant)
    return Response(orjson.dumps(document(state)), mimetype="application/json")


def document(state: StagedState) -> dict[str, object]:
    """Return the answer: ranges with neighbours joined, and each part by itself."""
    ranges: list[list[int]] = []
    for part in state.parts:
        if ranges and ranges[-1][1] == part.start - 1:
            ranges[-1][1] = part.stop - 1
        elif part.size:
            ranges.append([part.start, part.stop - 1])
    parts = [
        {"range": [part.start, part.stop - 1], "sha256": part.digest}
        for part in state.parts
        if part.size
    ]
    return {"ranges": ranges, "total": state.total, "parts": parts}
