"""What a thread works for just now: a request, or a job that a request began.

Log lines name it, and counters learn from it what became of a request.  Nothing is
decided by it, so it may be missing: then nobody asked for the work.  Pure.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from imagereg.errors import (
    ActionDenied,
    Forbidden,
    NotOwner,
    PropertyReserved,
    ReadOnlyCaller,
)


@dataclass(slots=True)
class Occasion:
    """One request or job, and what is known of it by now.

    Attributes:
        method, path, peer: the request's own; empty for a job.
        template: the path with names in place of what callers choose.
        roles: of the caller, in order.
        refused_by: the rule that said no, or what else did.
        status: of the answer; 0 until it begins.
        is_uploading: image data come in with it.
        is_cut: the answer did not come to its end.
    """

    request_id: str = "-"
    user_id: str = "-"
    project_id: str = "-"
    method: str = ""
    path: str = ""
    peer: str = ""
    template: str = "-"
    roles: str = "-"
    refused_by: str = "-"
    status: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    duration_s: float = 0.0
    is_cut: bool = False
    is_uploading: bool = False


_CURRENT: ContextVar[Occasion | None] = ContextVar("occasion", default=None)

#: What this thread works for, or None; a name of its own because each line asks.
current = _CURRENT.get

#: Begin to work for an occasion, or for none; the caller ends what it began.
enter = _CURRENT.set


@contextmanager
def working_for(occasion: Occasion | None) -> Iterator[None]:
    """Work for an occasion within a block."""
    before = _CURRENT.set(occasion)
    try:
        yield
    finally:
        _CURRENT.reset(before)


#: How many causes of a failure are looked at.
DEEPEST = 8


def refusal_of(error: BaseException | None) -> str | None:
    """Return which rule refused, or what else did; None if nobody was refused.

    A refusal that is concealed from the caller is the cause of what it is told.
    """
    # A failure that was kept and raised again may be its own cause.
    for _ in range(DEEPEST):
        if error is None:
            break
        if isinstance(error, ActionDenied):
            return error.rule
        for kind, name in _OTHERS:
            if isinstance(error, kind):
                return name
        error = error.__cause__
    return None


#: What refuses beside the rules of policy files, most specific first.
_OTHERS: tuple[tuple[type[Forbidden], str], ...] = (
    (NotOwner, "(ownership)"),
    (ReadOnlyCaller, "(read-only)"),
    (PropertyReserved, "(property protection)"),
)
