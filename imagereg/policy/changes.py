"""What about a caller would have to change for a rule to decide otherwise.

The rules themselves name all that can matter: roles, and credentials that have to
equal something.  Which of these changes help is for the asker to try out, because
rules are not all that decides.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TypeVar

from imagereg.model import Caller
from imagereg.policy.actions import Action
from imagereg.policy.checks import (
    Check,
    CredentialCheck,
    Leaf,
    RoleCheck,
    leaves,
    references,
)
from imagereg.policy.rules import RuleSet
from imagereg.policy.templates import Template

_ALIASES = {"user": "user_id", "tenant": "project_id", "system": "system_scope"}
_ROLES = ("roles", "service_roles")
_TEXTS = frozenset(
    {
        *("user_id", "user_name", "user_domain_id", "user_domain_name"),
        *("project_id", "project_name", "project_domain_id", "project_domain_name"),
        *("domain_id", "domain_name", "system_scope"),
        *("service_user_id", "service_user_domain_id"),
        *("service_project_id", "service_project_domain_id"),
    }
)

#: Sets of changes that are tried before the search gives up.
MOST_TRIES = 20_000
#: Checks that the search may come to in all, so that it ends for long rules too.
MOST_ASKED = 1_000_000

Change = TypeVar("Change")


@dataclass(frozen=True, slots=True)
class CallerChange:
    """One thing about a caller that could be otherwise.

    Attributes:
        name: attribute of `Caller`; of ``read_only`` the only change is to False.
        value: role or text; None takes the text away.
        gain: False takes the role away.
    """

    name: str
    value: str | None
    gain: bool = True

    def apply(self, caller: Caller) -> Caller:
        """Return the caller as it would be."""
        if self.name == "read_only":
            return replace(caller, read_only=False)
        if self.name not in _ROLES:
            return replace(caller, **{self.name: self.value})  # type: ignore[arg-type] # the names are those of `_TEXTS`
        held: frozenset[str] = getattr(caller, self.name)
        one = frozenset({str(self.value)})
        changed = held | one if self.gain else held - one
        return replace(caller, **{self.name: changed})  # type: ignore[arg-type] # both attributes hold roles

    def __str__(self) -> str:
        whose = "the caller's service" if self.name == "service_roles" else "the caller"
        if self.name in _ROLES:
            verb = "give {} role `{}`" if self.gain else "take role `{1}` from {0}"
            return verb.format(whose, self.value)
        if self.name == "read_only":
            return "let the caller show who it is"
        if self.value is None:
            return f"let the caller have no {self.name}"
        if self.name == "project_id":
            return f"let the caller act in project `{self.value}`"
        return f"let the caller's {self.name} be `{self.value}`"


def suggest_changes(
    rules: RuleSet, actions: Sequence[str], caller: Caller, target: Mapping[str, object]
) -> tuple[CallerChange, ...]:
    """Return the changes that rules for ``actions`` could notice, mildest first.

    What only makes the caller an administrator comes last.
    """
    found: dict[CallerChange, None] = {}
    for action in (*actions, Action.CONTEXT_IS_ADMIN):
        for check in _reached(rules, action):
            found.update(dict.fromkeys(suggest_for(check, caller, target)))
    for name in ("domain_id", "system_scope"):
        if getattr(caller, name):
            found.setdefault(CallerChange(name, None))
    return tuple(found)


def suggest_for(
    check: Check, caller: Caller, target: Mapping[str, object]
) -> Iterator[CallerChange]:
    """Yield the changes that the leaves of one tree could notice."""
    for leaf in leaves(check):
        yield from _suggest(leaf, caller, target)


def find_smallest(
    changes: Sequence[Change],
    works: Callable[[tuple[Change, ...]], bool],
    *,
    most: int = 3,
    size: int = 1,
) -> tuple[tuple[Change, ...], ...]:
    """Return the sets of changes that work and hold nothing needless, smallest first.

    Only sets of up to ``most`` changes are tried; those of one size keep the order
    of ``changes``.  ``size`` is how many checks one try comes to.
    """
    last = min(MOST_TRIES, MOST_ASKED // size)
    found: list[tuple[Change, ...]] = []
    tries = 0
    for count in range(1, most + 1):
        for chosen in combinations(changes, count):
            tries += 1
            if tries > last:
                return tuple(found)
            if any(set(smaller) <= set(chosen) for smaller in found):
                continue
            if works(chosen):
                found.append(chosen)
    return tuple(found)


def _reached(rules: RuleSet, action: str) -> Iterator[Check]:
    """Yield the trees that deciding ``action`` may reach, beside who is admin."""
    seen: set[str] = set()
    waiting = [rules.resolve(action)]
    while waiting:
        name = waiting.pop(0)
        if name is None or name in seen:
            continue
        seen.add(name)
        check = rules.rules[name].check
        yield check
        waiting += [
            rules.resolve(found)
            for found in references(check)
            if found != Action.CONTEXT_IS_ADMIN
        ]


def _suggest(
    leaf: Leaf, caller: Caller, target: Mapping[str, object]
) -> Iterator[CallerChange]:
    match leaf:
        case RoleCheck(match):
            name = "roles"
        case CredentialCheck((key,), match):
            name = _ALIASES.get(key, key)
        case _:
            return
    value = _fill(match, target)
    if value is None:
        return
    if name in _ROLES:
        role = value.lower()
        yield CallerChange(name, role, gain=role not in getattr(caller, name))
    elif name in _TEXTS:
        held = getattr(caller, name)
        yield CallerChange(name, None if held == value else value)


def _fill(match: Template, target: Mapping[str, object]) -> str | None:
    """Return the right side of a check, or None where the target leaves it open."""
    try:
        if any(target[name] is None for name in match.fields):
            return None
        return match.fill(target)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
