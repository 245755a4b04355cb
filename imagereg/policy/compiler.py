"""Check tree to one closure, made once and asked for every decision.

A closure takes credentials, target and the name that is being enforced, and answers
yes or no.  It raises `RuleFailed` where the data cannot be judged: that refuses the
whole decision, so that a ``not`` above never turns a failure into a yes.

Source: contract policy 1.2, rulings P-2, P-3, P-11.
"""

from collections.abc import Callable, Mapping, Set
from typing import Protocol

from imagereg.errors import RuleFailed
from imagereg.policy.checks import (
    Always,
    And,
    Check,
    CredentialCheck,
    LiteralCheck,
    Never,
    Not,
    Or,
    RemoteCheck,
    RoleCheck,
    RuleCheck,
)
from imagereg.policy.templates import Template

Values = Mapping[str, object]
Evaluate = Callable[[Values, Values, str | None], bool]


class RemoteAsk(Protocol):
    """Asks a server about a decision; `remote.py` has the real one."""

    def __call__(
        self, url: str, rule: str | None, target: Values, credentials: Values
    ) -> bool:
        """Return the server's answer.

        Raises:
            RuleFailed: there was no answer.
        """


def compile_check(
    check: Check, rules: Callable[[str], Evaluate], remote: RemoteAsk
) -> Evaluate:
    """Return the closure of ``check``; ``rules`` finds what it refers to."""
    match check:
        case Not(inner):
            return _not(compile_check(inner, rules, remote))
        case And(parts):
            return _and([compile_check(part, rules, remote) for part in parts])
        case Or(parts):
            return _or([compile_check(part, rules, remote) for part in parts])
        case RuleCheck(name):
            return rules(name)
        case RemoteCheck(url):
            return _remote(url, remote)
    return _compile_leaf(check)


def _compile_leaf(
    leaf: Always | Never | RoleCheck | LiteralCheck | CredentialCheck,
) -> Evaluate:
    """Return the closure of a leaf that stands on its own."""
    match leaf:
        case RoleCheck(match):
            return _role(match)
        case LiteralCheck(match=match, value=value):
            return _literal(value, match)
        case CredentialCheck(path, match):
            return _credential(path, match)
    return _constant(allowed=isinstance(leaf, Always))


def refuse_remote(
    url: str, rule: str | None, target: Values, credentials: Values
) -> bool:
    """Refuse: nobody set up remote checks."""
    raise RuleFailed(f"`{url}` cannot be asked: remote checks are not set up")


def _constant(*, allowed: bool) -> Evaluate:
    def constant(credentials: Values, target: Values, asked: str | None) -> bool:
        return allowed

    return constant


def _not(inner: Evaluate) -> Evaluate:
    def negation(credentials: Values, target: Values, asked: str | None) -> bool:
        return not inner(credentials, target, asked)

    return negation


def _and(parts: list[Evaluate]) -> Evaluate:
    if len(parts) == 2:
        first, second = parts

        def both(credentials: Values, target: Values, asked: str | None) -> bool:
            return first(credentials, target, asked) and second(
                credentials, target, asked
            )

        return both
    steps = tuple(parts)

    def every(credentials: Values, target: Values, asked: str | None) -> bool:
        for step in steps:  # noqa: SIM110 - a generator costs twice the loop
            if not step(credentials, target, asked):
                return False
        return True

    return every


def _or(parts: list[Evaluate]) -> Evaluate:
    if len(parts) == 2:
        first, second = parts

        def either(credentials: Values, target: Values, asked: str | None) -> bool:
            return first(credentials, target, asked) or second(
                credentials, target, asked
            )

        return either
    steps = tuple(parts)

    def some(credentials: Values, target: Values, asked: str | None) -> bool:
        for step in steps:  # noqa: SIM110 - a generator costs twice the loop
            if step(credentials, target, asked):
                return True
        return False

    return some


def _role(match: Template) -> Evaluate:
    if match.constant is None:

        def filled(credentials: Values, target: Values, asked: str | None) -> bool:
            role = _fill(match, target)
            return role is not None and role.lower() in _roles(credentials)

        return filled
    role = match.constant.lower()

    def fixed(credentials: Values, target: Values, asked: str | None) -> bool:
        try:
            roles = credentials["roles"]
        except KeyError:
            return False
        # INVARIANT: a frozenset of roles is lower-cased, see `model.Caller`.
        if type(roles) is frozenset:
            return role in roles
        return role in _lowered(roles)

    return fixed


def _literal(value: str, match: Template) -> Evaluate:
    if match.constant is not None:
        return _constant(allowed=match.constant == value)
    field = match.sole_field
    if field is None:

        def filled(credentials: Values, target: Values, asked: str | None) -> bool:
            return _fill(match, target) == value

        return filled

    def plain(credentials: Values, target: Values, asked: str | None) -> bool:
        try:
            given = target[field]
        except KeyError:
            return False
        return (given if type(given) is str else _text(given)) == value

    return plain


def _credential(path: tuple[str, ...], match: Template) -> Evaluate:
    field = match.sole_field
    if len(path) == 1 and field is not None:
        return _same(path[0], field)

    def filled(credentials: Values, target: Values, asked: str | None) -> bool:
        text = _fill(match, target)
        return text is not None and _holds(credentials, path, text)

    return filled


def _same(key: str, field: str) -> Evaluate:
    """Return the commonest check: one credential against one target field."""

    def same(credentials: Values, target: Values, asked: str | None) -> bool:
        try:
            wanted = target[field]
            held = credentials[key]
        except KeyError:
            return False
        if type(held) is str:
            return held == (wanted if type(wanted) is str else _text(wanted))
        return _holds(credentials, (key,), _text(wanted))

    return same


def _text(value: object) -> str:
    """Return what Python writes for a value.

    Raises:
        RuleFailed: it writes nothing, as for a number of thousands of digits.
    """
    try:
        return str(value)
    except ValueError as error:
        raise RuleFailed(str(error)) from error


def _remote(url: Template, ask: RemoteAsk) -> Evaluate:
    def remote(credentials: Values, target: Values, asked: str | None) -> bool:
        address = _fill(url, target)
        if address is None:
            raise RuleFailed(f"the target lacks a field of `{url.text}`")
        return ask(address, asked, target, credentials)

    return remote


def _fill(template: Template, target: Values) -> str | None:
    """Return the filled text, or None where the target lacks a field."""
    try:
        return template.fill(target)
    except KeyError:
        return None
    except (TypeError, ValueError, OverflowError) as mismatch:
        raise RuleFailed(f"`{template.text}` does not suit: {mismatch}") from mismatch


def _roles(credentials: Values) -> Set[str]:
    """Return the caller's roles in lower case; none where the key is missing."""
    return _lowered(credentials["roles"]) if "roles" in credentials else frozenset()


def _lowered(roles: object) -> Set[str]:
    """Return roles that a list or another collection holds, in lower case."""
    if not isinstance(roles, list | tuple | Set):
        raise RuleFailed(f"roles are a list, not a {type(roles).__name__}")
    try:
        return {role.lower() for role in roles}
    except AttributeError as broken:
        raise RuleFailed("a role is not a text") from broken


def _holds(value: object, path: tuple[str, ...], text: str) -> bool:
    """Return whether what ``path`` leads to renders as ``text``.

    Null never equals anything (ruling P-3).
    """
    if not path:
        return value is not None and str(value) == text
    if not isinstance(value, Mapping):
        raise RuleFailed(f"no `{path[0]}` within a {type(value).__name__}")
    try:
        inner = value[path[0]]
    except KeyError:
        return False
    if isinstance(inner, list | tuple | Set):
        return any(_holds(element, path[1:], text) for element in inner)
    return _holds(inner, path[1:], text)
