"""The nodes of a rule: frozen, comparable, and open to whoever explains decisions.

``str(check)`` is the canonical text; ``fields`` names the target fields a node reads
by itself, references to other rules not followed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagereg.policy.templates import Template


@dataclass(frozen=True, slots=True)
class Always:
    """``@``: holds for everyone."""

    def __str__(self) -> str:
        return "@"


@dataclass(frozen=True, slots=True)
class Never:
    """``!``: holds for nobody."""

    def __str__(self) -> str:
        return "!"


@dataclass(frozen=True, slots=True)
class RoleCheck:
    """``role:R``: R is among the caller's roles, in any letter case."""

    match: Template

    def __str__(self) -> str:
        return f"role:{self.match.text}"


@dataclass(frozen=True, slots=True)
class RuleCheck:
    """``rule:N``: the rule named N holds."""

    name: str

    def __str__(self) -> str:
        return f"rule:{self.name}"


@dataclass(frozen=True, slots=True)
class RemoteCheck:
    """``http:`` or ``https:``: a server says so.  ``url`` includes the scheme."""

    url: Template

    def __str__(self) -> str:
        return self.url.text


@dataclass(frozen=True, slots=True)
class LiteralCheck:
    """``'public':%(visibility)s``: the right side equals a constant.

    Attributes:
        kind: the left side as written.
        value: the text that the right side has to equal.
    """

    kind: str
    value: str
    match: Template

    def __str__(self) -> str:
        return f"{self.kind}:{self.match.text}"


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """``project_id:%(project_id)s``: a credential, found by its path, equals the text.

    Attributes:
        path: keys to walk, one after the other; at a list every element is tried.
    """

    path: tuple[str, ...]
    match: Template

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}:{self.match.text}"


@dataclass(frozen=True, slots=True)
class Not:
    """Holds where ``check`` does not."""

    check: "Check"

    def __str__(self) -> str:
        return f"not {self.check}"


@dataclass(frozen=True, slots=True)
class And:
    """Holds where every one of ``checks`` does; asks no further than the first no."""

    checks: tuple["Check", ...]

    def __str__(self) -> str:
        return f"({' and '.join(map(str, self.checks))})"


@dataclass(frozen=True, slots=True)
class Or:
    """Holds where one of ``checks`` does; asks no further than the first yes."""

    checks: tuple["Check", ...]

    def __str__(self) -> str:
        return f"({' or '.join(map(str, self.checks))})"


#: What tells one target from another of its kind: the fields that a remote check
#: reads at least, since it is sent all of them.  Source: contract policy 4.
IDENTIFYING = frozenset({"id", "project_id", "owner", "member_id", "visibility"})

Leaf = (
    Always
    | Never
    | RoleCheck
    | RuleCheck
    | RemoteCheck
    | LiteralCheck
    | CredentialCheck
)
Check = Leaf | Not | And | Or


def children(check: Check) -> tuple[Check, ...]:
    """Return the checks that ``check`` is made of; none for a leaf."""
    match check:
        case And(checks) | Or(checks):
            return checks
        case Not(inner):
            return (inner,)
    return ()


def leaves(check: Check) -> Iterator[Leaf]:
    """Yield the leaves of ``check`` from left to right."""
    match check:
        case And() | Or() | Not():
            for child in children(check):
                yield from leaves(child)
        case _:
            yield check


def fields(check: Check) -> frozenset[str]:
    """Return the target fields that ``check`` itself reads.

    A remote check is sent the whole target, and counts as reading `IDENTIFYING`.
    """
    found: set[str] = set()
    for leaf in leaves(check):
        match leaf:
            case RemoteCheck(url):
                found.update(url.fields, IDENTIFYING)
            case (
                RoleCheck(match) | LiteralCheck(match=match) | CredentialCheck(_, match)
            ):
                found.update(match.fields)
    return frozenset(found)


def references(check: Check) -> tuple[str, ...]:
    """Return the names of the rules that ``check`` refers to, in order."""
    return tuple(leaf.name for leaf in leaves(check) if isinstance(leaf, RuleCheck))


def asks_remote(check: Check) -> bool:
    """Return whether ``check`` itself sends the whole target to a server."""
    return any(isinstance(leaf, RemoteCheck) for leaf in leaves(check))


def depth(check: Check) -> int:
    """Return how many checks lie inside each other; 1 for a leaf."""
    return 1 + max((depth(child) for child in children(check)), default=0)
