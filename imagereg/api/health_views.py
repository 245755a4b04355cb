"""Views that balancers and monitors ask: alive, ready, and the reference's own check.

A balancer learns yes or no.  Which part failed is shown to whoever speaks to us
directly from this machine or as a trusted peer, or to all if the operator says so.

Source: contract api-images 1.1, config 5.
"""

from collections.abc import Sequence

import orjson
from flask import Response, request

from imagereg.api.health import Health
from imagereg.api.services import Call
from imagereg.readiness import DATABASE, STORE, Finding

#: Names of ``[healthcheck] backends`` -> how the names of their parts begin.
_BACKENDS = {"database": DATABASE, "stores": STORE}


def live(call: Call) -> Response:
    """Say that the process answers; nothing else is looked at."""
    call.services.health.check_asker(request)
    return _text("OK", 200)


def check(call: Call) -> Response:
    """Answer as the reference does, with what ``backends`` names beside the file."""
    health = call.services.health
    health.check_asker(request)
    if health.is_disabled():
        return _disabled()
    found = [
        finding
        for name, prefix in _BACKENDS.items()
        if name in health.backends
        for finding in health.readiness.look(only=prefix)
    ]
    return _answer(health, found)


def ready(call: Call) -> Response:
    """Say whether this node can serve, and to whom it may concern why not."""
    health = call.services.health
    health.check_asker(request)
    if health.is_disabled():
        return _disabled()
    return _answer(health, health.readiness.look())


def _answer(health: Health, found: Sequence[Finding]) -> Response:
    bad = [each for each in found if each.is_bad]
    status = 503 if bad else 200
    word = "NOT READY" if bad else "OK"
    if request.accept_mimetypes.best_match(["text/plain", "application/json"]) == (
        "application/json"
    ):
        document: dict[str, object] = {"ready": not bad}
        if health.may_see(request):
            document["parts"] = [_document(each) for each in found]
        return _unkept(
            Response(orjson.dumps(document), status, mimetype="application/json")
        )
    lines = [word]
    if bad and health.may_see(request):
        lines += [f"{each.part}: {each.reason or each.state}" for each in bad]
    return _text("\n".join(lines), status)


def _document(found: Finding) -> dict[str, object]:
    return {
        "name": found.part,
        "state": found.state,
        "needed": found.needed,
        "reason": found.reason,
        "seconds": round(found.took_s, 3),
    }


def _disabled() -> Response:
    return _text("DISABLED BY FILE", 503)


def _text(text: str, status: int) -> Response:
    return _unkept(Response(text, status, content_type="text/plain; charset=UTF-8"))


def _unkept(response: Response) -> Response:
    """Return an answer that is true now and that nobody shall keep."""
    response.headers["Cache-Control"] = "no-store"
    return response
