"""Entries of policy files and built-in defaults to the rules in force.

Source: contract policy 2 and 2.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.errors import RuleSyntaxError
from imagereg.policy.actions import BUILT_IN, Default
from imagereg.policy.checks import Check, Never, Or, RuleCheck
from imagereg.policy.files import Entry, Origin
from imagereg.policy.language import parse, parse_rule


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in force.

    Attributes:
        name: what is enforced or referred to.
        check: the tree.
        decided_by: the name that the text stands under, which differs from ``name``
            only where a file still uses a deprecated one.
        origin: None for a built-in rule.
        scope: the scope a caller has to have, or None.
    """

    name: str
    check: Check
    decided_by: str
    origin: Origin | None = None
    scope: str | None = None

    @property
    def place(self) -> str:
        """How a fault names this rule."""
        where = self.origin or "built in"
        return f"{where}: rule `{self.decided_by}`"


def effective_rules(
    entries: list[Entry],
    registered: Mapping[str, Default],
    *,
    enforce_new_defaults: bool,
) -> tuple[dict[str, Rule], list[str]]:
    """Return the rules in force by name, and a fault for each text that is no rule.

    A rule that cannot be read stands in as one that refuses, so that the names that
    refer to it are not reported as well.
    """
    rules, faults = _file_rules(entries)
    files = dict(rules)
    for name, text in BUILT_IN.items():
        rules.setdefault(name, Rule(name, parse(text), name))
    for default in registered.values():
        rules[default.name] = _effective(
            default, files, enforce_new_defaults=enforce_new_defaults
        )
    return rules, faults


def _file_rules(entries: list[Entry]) -> tuple[dict[str, Rule], list[str]]:
    """Return the rules that files define; later entries replace earlier ones."""
    rules: dict[str, Rule] = {}
    faults: list[str] = []
    for entry in entries:
        check: Check = Never()
        try:
            check = parse_rule(entry.value)
        except RuleSyntaxError as wrong:
            faults.append(f"{entry.origin}: rule `{entry.name}`: {wrong}")
        rules[entry.name] = Rule(entry.name, check, entry.name, entry.origin)
    return rules, faults


def _effective(
    default: Default, files: Mapping[str, Rule], *, enforce_new_defaults: bool
) -> Rule:
    """Return the rule for a registered name: a file's, the old name's, or built in."""
    name, scope = default.name, default.scope
    if name in files:
        found = files[name]
        return Rule(name, found.check, name, found.origin, scope)
    older = files.get(default.old_name) if default.old_name else None
    # An old name that merely points at the new one would be a circle.
    if older and older.check != RuleCheck(name):
        return Rule(name, older.check, older.name, older.origin, scope)
    check = parse(default.check)
    if default.old is not None and not enforce_new_defaults:
        check = Or((check, parse(default.old)))
    return Rule(name, check, name, None, scope)
