"""Verdicts about properties, and the file that they follow.

Everyone who reads or writes a property asks here.  The answers of one request come
from one table, even when the file changes in its midst.

Source: contract property-protection 2, 3 and 7, rulings R-9, R-10, R-11.
"""

import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from operator import not_
from pathlib import Path
from typing import Self

from imagereg.errors import ConfigurationError, UnknownRule
from imagereg.model import Operation
from imagereg.protection.patterns import NAME_CHARS
from imagereg.protection.rules import (
    CheckPolicy,
    Protections,
    Rule,
    Section,
    load_protections,
)

_LOG = logging.getLogger(__name__)

# Names come from users: the shared cache is emptied when it holds this many.  The
# names of a whole catalogue are few; this is a hundred images of all-different ones.
_CACHED_NAMES = 4096

# Verdicts that depend on roles alone are kept for so many sets of roles, and for so
# many names of each: a few MiB at the worst.
_KEPT_ROLES, _KEPT_NAMES = 32, 256

AskPolicy = Callable[[str], bool]
_Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a verdict is what it is.

    Attributes:
        section: the header that decided, empty where none matched.
        line: of that header; 0 for the built-in section, or where none matched.
        file: empty when the feature is off.
        rule: the value that decided, as written.
        rule_line: where it stands, which may be in ``[DEFAULT]``.
        why: the deciding step, as a clause.
    """

    allowed: bool
    why: str
    section: str = ""
    line: int = 0
    file: str = ""
    rule: str = ""
    rule_line: int = 0


class _Table:
    """Protections with the section for each name seen, which no caller changes.

    Verdicts that read target fields are made anew for every image, so the regular
    expressions are what must not be evaluated again.
    """

    def __init__(self, protections: Protections) -> None:
        self.protections = protections
        self.reads_target = {each: protections.reads_target(each) for each in Operation}
        self.reads_any_target = any(self.reads_target.values())
        self.asks_policy = {each: protections.asks_policy(each) for each in Operation}
        self._found: dict[str, Section | None] = {}
        self._kept: dict[tuple[Operation, frozenset[str]], Verdicts] = {}

    def verdicts(
        self, operation: Operation, roles: frozenset[str], ask: AskPolicy
    ) -> "Verdicts":
        """Return the answers for these roles, which others may have asked for before.

        They are shared where roles alone decide.  A file that changed is another
        table, so none outlives the rules it follows from.
        """
        if self.asks_policy[operation]:
            return Verdicts(self, operation, roles, ask)
        try:
            return self._kept[operation, roles]
        except KeyError:
            pass
        # Nothing is asked here; if it were, nobody would be allowed.
        made = Verdicts(self, operation, roles, not_, _KEPT_NAMES)
        if len(self._kept) >= _KEPT_ROLES:
            self._kept.clear()
        self._kept[operation, roles] = made
        return made

    def find(self, name: str) -> Section | None:
        """Return the section that decides about ``name``."""
        try:
            return self._found[name]
        except KeyError:
            pass
        section = self.protections.find(name)
        if len(name) > NAME_CHARS:
            return section
        if len(self._found) >= _CACHED_NAMES:
            self._found.clear()
        self._found[name] = section
        return section


class Verdicts(dict[str, bool]):
    """Property name -> may this caller do this?  Filled on first use.

    Ask by index: `dict.get` and ``in`` see only what was asked before.  Names come from
    users: what lives for one request, or for one image where `reads_target` holds,
    keeps all it was asked; what is shared begins anew after ``most`` of them.
    """

    def __init__(
        self,
        table: _Table | None,
        operation: Operation,
        roles: frozenset[str],
        ask: AskPolicy,
        most: int = sys.maxsize,
    ) -> None:
        super().__init__()
        self._most = most
        self.reads_target = table is not None and table.reads_target[operation]
        self._table = table
        self._operation = operation
        self._roles = roles
        self._ask = ask
        self._answers: dict[str, bool] = {}

    def __missing__(self, name: str) -> bool:
        allowed = self._decide(name)
        if len(name) > NAME_CHARS:
            return allowed
        if len(self) >= self._most:
            self.clear()
        self[name] = allowed
        return allowed

    def _decide(self, name: str) -> bool:
        if self._table is None:
            return True
        section = self._table.find(name)
        if section is None:
            return False
        rule = section.rules[self._operation]
        if rule.verdict is not None:
            return rule.verdict
        if not rule.policy:
            return not self._roles.isdisjoint(rule.roles)
        if rule.policy not in self._answers:
            self._answers[rule.policy] = self._ask_policy(rule.policy)
        return self._answers[rule.policy]

    def _ask_policy(self, policy: str) -> bool:
        try:
            return self._ask(policy)
        except UnknownRule as error:
            # It was known at load.  The policy file has changed since, and the
            # protections that name it stay in force until they fit again.
            _LOG.warning("property rule `%s` refuses everyone: %s", policy, error)
            return False


class PropertyGuard:
    """The protections in force, and how to keep them so.

    Attributes:
        last_fault: why the file's present content is not in force, None when it is.
    """

    def __init__(
        self,
        protections: Protections | None,
        load: Callable[[], Protections] | None = None,
        path: Path | None = None,
    ) -> None:
        """Guard by ``protections``; None switches the feature off.

        `from_file` passes ``load`` and ``path``, without which nothing is reloaded.
        """
        self.last_fault: str | None = None
        self._table = None if protections is None else _Table(protections)
        self._load = load
        self._path = path
        self._signature: _Signature | None = None
        self._lock = threading.Lock()

    @classmethod
    def from_file(
        cls, path: Path | None, rule_format: str, check_policy: CheckPolicy
    ) -> Self:
        """Return a guard that follows the file ``path``; None switches it off.

        Raises:
            ConfigurationError: with all faults.
        """
        if path is None:
            return cls(None)

        def load() -> Protections:
            return load_protections(path, rule_format, check_policy)

        # The signature is taken first: a change in between is then seen later.
        signature = _sign(path)
        protections = load()
        guard = cls(protections, load, path)
        guard._signature = signature
        _warn(protections)
        return guard

    def refresh(self, policies_changed: bool = False) -> bool:
        """Follow the file, and say whether other rules are in force now.

        All or nothing: a file with a fault, or a missing one, leaves the last good
        rules in force and is reported once per change.  Costs one `stat` when nothing
        changed; while one thread reloads, the others go on with the rules in force.
        ``policies_changed`` reads the file again in any case, and waits for its turn,
        since policy names may have come to mean something else, or nothing.
        """
        if self._path is None or self._load is None:
            return False
        if not policies_changed and _sign(self._path) == self._signature:
            return False
        if not self._lock.acquire(blocking=policies_changed):
            return False
        try:
            signature = _sign(self._path)
            changed = signature != self._signature
            self._signature = signature
            return (changed or policies_changed) and self._reload(self._load, changed)
        finally:
            self._lock.release()

    def _reload(self, load: Callable[[], Protections], changed: bool) -> bool:
        try:
            protections = load()
        except ConfigurationError as error:
            known, self.last_fault = self.last_fault, error.message
            if changed or known != error.message:
                text = "property protections not reloaded, the last good ones stay: %s"
                _LOG.error(text, "; ".join(error.faults))
            return False
        known, self.last_fault = self.last_fault, None
        self._table = _Table(protections)
        if changed or known:
            count = len(protections.sections) - 1
            _LOG.info(
                "property protections reloaded: %s, %d sections", self._path, count
            )
            _warn(protections)
        return True

    @property
    def protections(self) -> Protections | None:
        """The rules in force, None when the feature is off."""
        return None if self._table is None else self._table.protections

    @property
    def reads_target(self) -> bool:
        """Whether some rule reads target fields, so each image needs own verdicts."""
        return self._table is not None and self._table.reads_any_target

    def fields_read(self, operation: Operation) -> frozenset[str]:
        """Return the target fields that decide about ``operation``.

        Not the whole truth where a rule sends its whole target to a server.
        """
        protections = self.protections
        return protections.fields_read(operation) if protections else frozenset()

    def verdicts(
        self, operation: Operation, roles: frozenset[str], ask: AskPolicy
    ) -> Verdicts:
        """Return the answers for all property names, found when asked for.

        ``roles`` are in lower case and include those of the service token (R-9).
        ``ask`` answers a policy name or inline expression of the file; it is called
        at most once for each, and must stay valid as long as the verdicts live.  An
        `UnknownRule` that it raises is a refusal.
        """
        if self._table is None:
            return Verdicts(None, operation, roles, ask)
        return self._table.verdicts(operation, roles, ask)

    def verdict_section(
        self, operation: Operation, name: str, roles: frozenset[str], ask: AskPolicy
    ) -> Reason:
        """Return the verdict about one name together with what decided it."""
        table = self._table
        if table is None:
            return Reason(True, "no property-protection file is in use")
        allowed = Verdicts(table, operation, roles, ask)[name]
        section, file = table.find(name), table.protections.source
        if section is None:
            why = "no section matches the name, so it is denied to everyone"
            return Reason(allowed, why, file=file)
        rule = section.rules[operation]
        return Reason(
            allowed,
            _explain(rule, roles, allowed),
            section.name,
            section.line,
            file,
            rule.text,
            rule.line,
        )


def _explain(rule: Rule, roles: frozenset[str], allowed: bool) -> str:
    if rule.verdict is not None:
        return "everyone may" if rule.verdict else "nobody may"
    if rule.policy:
        answer = "allows" if allowed else "refuses"
        return f"policy `{rule.policy}` {answer} it"
    if allowed:
        return "the caller has " + _name_roles(rule.roles & roles)
    return "the caller lacks " + _name_roles(rule.roles)


def _name_roles(roles: frozenset[str]) -> str:
    return "role " + " or ".join(f"`{role}`" for role in sorted(roles))


def _sign(path: Path) -> _Signature | None:
    """Return what changes whenever the file does; None when there is none.

    The time of the last change of state shows an edit that kept mtime and size, and
    a file that became readable.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _warn(protections: Protections) -> None:
    for warning in protections.warnings:
        _LOG.warning("%s", warning)
