"""The audit record: who did what to which image, with which outcome, by which rule.

A line is written when a request ends, before it is answered, for every route of the
table and whatever came of it, so no view can leave one out.  It tells of changes and of
refusals, of other reads only where that is wanted.  It holds no body and no header but
the identity.

What changes something has a line before it does, too: written between gate and view,
so a process may die at any instant and leave no change without its record.  Such a line
without another one of its ``record_id`` is a change whose outcome nobody noted.

Source: SECURITY, on one point of authorisation; contract auth, ruling U-5.
"""

import logging
import os
from collections.abc import Mapping

import orjson
from flask import Response, g, has_request_context, request

from imagereg.api.proxies import CLIENT
from imagereg.errors import (
    ActionDenied,
    Forbidden,
    ImageRegError,
    NotOwner,
    NotVisible,
    PropertyReserved,
    ReadOnlyCaller,
    Unauthenticated,
)
from imagereg.events.journal import Journal
from imagereg.model import Caller, format_exact_time, now_us
from imagereg.policy.actions import Action

log = logging.getLogger(__name__)

#: Methods of routes that change something.
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

#: The outcome of a change that is still to be made.
BEGUN = "begun"

#: What refuses beside the rules of policy files.
_OTHERS: tuple[tuple[type[ImageRegError], str], ...] = (
    (Unauthenticated, "(identity)"),
    (NotOwner, "(ownership)"),
    (NotVisible, "(visibility)"),
    (ReadOnlyCaller, "(read-only)"),
    (PropertyReserved, "(property protection)"),
)

#: The longest text of a caller's that a line repeats, in characters.
LONGEST_TEXT = 1024


#: A route: its method, path and action.
Described = tuple[str, str, Action]


def witness(action: str, rule: str, allowed: bool) -> None:
    """Note a decision of the gate for the line of the present request, if any."""
    if has_request_context():
        g.setdefault("decisions", []).append((action, rule, allowed))


def note_named(named: Mapping[str, object]) -> None:
    """Note what the body of the present request names: ids, of an image or others."""
    g.named = named


def note_failure(error: ImageRegError) -> None:
    """Note why the present request is not answered as it wanted to be."""
    g.failure = error


class Audit:
    """Writes the record.

    Args:
        reads: reads that were allowed are recorded too.
    """

    def __init__(self, journal: Journal, *, reads: bool) -> None:
        self._journal = journal
        self._reads = reads

    def begin(self, route: Described) -> None:
        """Write that a request which the gate let pass is about to change something."""
        method, _, action = route
        if method not in CHANGING:
            return
        # Nothing of this changes until the request ends.
        g.common = _request(route)
        self._write(BEGUN, None, g.common, _decision(str(action), None))

    def record(self, route: Described, response: Response) -> None:
        """Write the line of a request that ended."""
        method, _, action = route
        refusal = _refusal()
        outcome = "refused" if refusal else "failed"
        if response.status_code < 400:
            outcome = "allowed"
        if method not in CHANGING and outcome != "refused" and not self._reads:
            return
        self._write(
            outcome,
            response.status_code,
            g.get("common") or _request(route),
            _decision(str(action), refusal),
        )

    def _write(
        self,
        outcome: str,
        status: int | None,
        common: Mapping[str, object],
        decision: Mapping[str, object],
    ) -> None:
        line = orjson.dumps(
            {
                "time": format_exact_time(now_us()) + "Z",
                "outcome": outcome,
                "status": status,
                **decision,
                **common,
            }
        )
        try:
            self._journal.append([line])
        except OSError as error:
            # A registry whose disk is full still serves; what is lost there is at
            # least told here.
            log.exception(
                "audit record not written (%s): %s", error.strerror, line.decode()
            )


def _refusal() -> ImageRegError | None:
    """Return why the caller may not; what is concealed is the cause of what is told."""
    cause: BaseException | None = g.get("failure")
    while cause is not None:
        if isinstance(cause, (Forbidden, Unauthenticated)):
            return cause
        cause = cause.__cause__
    return None


def _rule(action: str, refusal: ImageRegError | None) -> str | None:
    """Return the rule that decided, or what else did."""
    if isinstance(refusal, ActionDenied):
        return refusal.rule
    if refusal is not None:
        return next((name for kind, name in _OTHERS if isinstance(refusal, kind)), None)
    granted = {name: rule for name, rule, allowed in g.get("decisions", ()) if allowed}
    # Some requests ask for other actions in place of their route's.
    return granted.get(action) or next(reversed(granted.values()), None)


def _decision(action: str, refusal: ImageRegError | None) -> Mapping[str, object]:
    """Return the rule that decided, all that was asked, and why it came to nothing."""
    asked: list[tuple[str, str, bool]] = g.get("decisions", [])
    failure: ImageRegError | None = g.get("failure")
    return {
        "rule": _rule(action, refusal),
        "decisions": [
            {"action": name, "rule": rule, "allowed": allowed}
            for name, rule, allowed in dict.fromkeys(asked)
        ],
        "reason": failure.message[:LONGEST_TEXT] if failure else None,
    }


def _request(route: Described) -> Mapping[str, object]:
    """Return what was asked, of what, and by whom."""
    method, path, action = route
    caller: Caller = g.get("caller") or Caller()
    parts = {**(request.view_args or {}), **g.get("named", {})}
    ids = {name: str(value)[:LONGEST_TEXT] for name, value in parts.items()}
    return {
        "record_id": os.urandom(8).hex(),
        "action": str(action),
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "roles": sorted(caller.roles),
        "service_roles": sorted(caller.service_roles),
        "is_admin": caller.is_admin,
        "request_id": g.get("request_id"),
        "peer": request.remote_addr,
        "client": request.environ.get(CLIENT),
        "method": method,
        "route": path,
        "path": request.path[:LONGEST_TEXT],
        "image_id": ids.pop("image_id", None),
        "ids": ids,
    }
