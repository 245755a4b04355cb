"""Every route: authenticate, find the target, pass the gate, run the view.

`bind` is the only place that attaches a view to a URL, and what it attaches is
`guarded`, so a view without the gate cannot exist.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.exceptions import NotFound as NoRoute
from werkzeug.routing import Map, Rule

from imagereg.api import problems
from imagereg.api.audit import Audit, note_failure, note_named
from imagereg.api.auth import request_id
from imagereg.api.bodies import has_body
from imagereg.api.services import Call, Services
from imagereg.api.targets import Finder
from imagereg.db.outbox import speak_for
from imagereg.errors import Forbidden, ImageRegError, Invalid, NotFound
from imagereg.model import Caller
from imagereg.occasion import current, refusal_of
from imagereg.policy.actions import Action

log = logging.getLogger(__name__)

View = Callable[[Call], Response]

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the table of every URL.

    Attributes:
        method: one of `METHODS`, or ``*`` for any.
        action: the policy asked, on the target that ``target`` finds.
        before: policies that are asked first, on the same target.
        target: reads path and body.
        view: what runs once the gate has opened.
        bodyless: a request with a body is refused before anything is looked at.
        open: answers callers without identity too.
        head: HEAD is answered as GET is, through the same gate.
        conceal: whoever is refused is told that there is nothing.
        names: what the audit record is to say of the body: ids of what is new.
        unlisted: ``Allow`` does not name it; a path of such routes alone answers 404
            to other methods (contract api-images 1.2).
    """

    method: str
    path: str
    action: Action
    target: Finder
    view: View
    bodyless: bool = False
    open: bool = False
    head: bool = False
    before: tuple[Action, ...] = ()
    conceal: bool = False
    unlisted: bool = False
    names: Callable[[Any], Mapping[str, object]] | None = None

    @property
    def described(self) -> tuple[str, str, Action]:
        """Its method, path and action."""
        return self.method, self.path, self.action


class _ExactRule(Rule):
    """A rule that does not take GET for leave to answer HEAD as well."""

    def __init__(self, string: str, *, head: bool = False, **options: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(string, **options)
        if self.methods is not None and not head:
            self.methods.discard("HEAD")


class _Application(Flask):
    """Flask with nothing automatic: no static files, HEAD or OPTIONS of its own."""

    def __init__(self) -> None:
        super().__init__("imagereg", static_folder=None)
        self.url_map = Map(merge_slashes=False)


def bind(routes: Sequence[Route], services: Services) -> Flask:
    """Return the application that answers exactly these routes."""
    app = _Application()
    for route in routes:
        endpoint = f"{route.method} {route.path}"
        methods = None if route.method == "*" else [route.method]
        app.view_functions[endpoint] = guarded(route, services)
        app.url_map.add(
            _ExactRule(route.path, endpoint=endpoint, methods=methods, head=route.head)
        )
    unlisted = {f"{route.method} {route.path}" for route in routes if route.unlisted}
    _handle_failures(app, services, unlisted)
    if services.audit is not None:
        _record(app, routes, services.audit)
    return app


def _record(app: Flask, routes: Sequence[Route], audit: Audit) -> None:
    """Write the audit record at the end of each request that a route takes."""
    known = {f"{route.method} {route.path}": route.described for route in routes}

    def record(response: Response) -> Response:
        if request.url_rule is not None:
            audit.record(known[request.url_rule.endpoint], response)
        return response

    app.after_request(record)


def guarded(route: Route, services: Services) -> Callable[..., Response]:
    """Return the view behind the gate."""
    settle = _Settling()

    def enter(**ids: str) -> Response:
        if (occasion := current()) is not None:
            occasion.template = route.path
        settled = settle(services)
        caller = Caller() if route.open else identify(settled)
        settled.gate.admit(caller, route.action)
        if route.bodyless and has_body(request):
            raise Invalid("this request takes no body")
        target, body = route.target(request, caller, settled, ids)
        if route.names is not None:
            note_named(route.names(body))
        try:
            grant = settled.gate.authorize(
                caller, (*route.before, route.action), target
            )
        except Forbidden as error:
            if route.conceal:
                raise NotFound("there is no such resource") from error
            raise
        if settled.audit is not None:
            settled.audit.begin(route.described)
        return route.view(Call(grant, request, settled, ids, body))

    return enter


class _Settling:
    """Gives each request the same parts, with one set of rules for the whole of it."""

    def __init__(self) -> None:
        self._last: Services | None = None

    def __call__(self, services: Services) -> Services:
        """Return the parts with the rules in force now."""
        gate, settled = services.gate.settled(), self._last
        if settled is None or settled.gate is not gate:
            settled = self._last = replace(services, gate=gate)
        return settled


def identify(services: Services) -> Caller:
    """Return who calls, and note the request's id for the answer.

    Raises:
        Unauthenticated: nobody confirmed an identity.
        HeaderTooLong, Invalid: the request id is unusable.
    """
    confirmed = services.authenticator.identify(request)
    caller = services.gate.recognise(
        replace(confirmed, request_id=request_id(request, services.max_request_id))
    )
    g.caller = caller
    speak_for(caller)
    g.request_id = caller.request_id
    _note(caller)
    return caller


def _note(caller: Caller) -> None:
    """Tell the log who calls."""
    occasion = current()
    if occasion is None:
        return
    occasion.request_id = caller.request_id
    occasion.user_id = caller.user_id or "-"
    occasion.project_id = caller.project_id or "-"
    occasion.roles = ",".join(sorted(caller.roles)) or "-"


def _handle_failures(app: Flask, services: Services, unlisted: Collection[str]) -> None:
    """Register what turns each kind of failure into its answer."""
    challenge = services.authenticator.challenge
    settle = _Settling()

    def answer(error: ImageRegError) -> Response:
        note_failure(error)
        if (occasion := current()) is not None:
            occasion.refused_by = refusal_of(error) or "-"
        return problems.answer(error, challenge)

    def unrouted(error: HTTPException) -> Response:
        try:
            # Without identity, known and unknown paths look alike.
            if "caller" not in g:
                identify(settle(services))
        except ImageRegError as refusal:
            return answer(refusal)
        return _unrouted(error, unlisted)

    app.before_request(_check_url)
    app.after_request(_add_request_id)
    app.register_error_handler(ImageRegError, answer)
    app.register_error_handler(HTTPException, unrouted)
    app.register_error_handler(Exception, _unexpected)


def _check_url() -> Response | None:
    if request.method == "OPTIONS":
        return Response(status=200)
    try:
        request.environ["PATH_INFO"].encode("latin-1").decode()
        request.query_string.decode("ascii")
    except UnicodeDecodeError as error:
        raise Invalid("the URL is not UTF-8") from error
    return None


def _add_request_id(response: Response) -> Response:
    if "request_id" in g:
        response.headers["X-Openstack-Request-Id"] = g.request_id
    return response


def _unrouted(error: HTTPException, unlisted: Collection[str]) -> Response:
    """Return the answer to a request that no route takes."""
    if isinstance(error, MethodNotAllowed):
        listed = [
            method
            for method in error.valid_methods or ()
            if _endpoint(method) not in unlisted
        ]
        if listed:
            return _wrong_method(listed)
        return problems.problem(404, "no such resource")
    if isinstance(error, NoRoute):
        known = request.method in (*METHODS, "HEAD", "OPTIONS")
        return problems.problem(404 if known else 501, "no such resource")
    return problems.problem(error.code or 500, "")


def _endpoint(method: str) -> str:
    """Return the endpoint that this request would have had with another method."""
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        return ""
    rule, _ = adapter.match(method=method, return_rule=True)
    return str(rule.endpoint)


def _unexpected(error: Exception) -> Response:
    """Answer a fault of ours, which the log tells of and the client does not."""
    log.error("a request failed: %s", type(error).__name__, exc_info=error)
    return problems.problem(500, "")


def _wrong_method(valid: Iterable[str]) -> Response:
    allowed = ", ".join(sorted(valid))
    if request.method == "HEAD":
        return Response(status=405, headers={"Allow": allowed})
    explanation = f"the method {request.method} is not allowed for this resource"
    return problems.problem(405, explanation, {"Allow": allowed})
