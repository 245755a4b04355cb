"""What a policy file does that its author may not have meant.

Loading refuses what is wrong; this looks at what is legal.  An error has no effect at
all, a warning has one that surprises, a note tells something worth knowing.

Source: contract policy 1.2, 1.6, 2, 4 and 10.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path

from imagereg.model import Caller
from imagereg.policy.actions import BUILT_IN, REGISTERED, RETIRED, Action
from imagereg.policy.checks import (
    Always,
    Check,
    CredentialCheck,
    Never,
    fields,
    leaves,
    references,
)
from imagereg.policy.files import Entry
from imagereg.policy.language import canonical, parse
from imagereg.policy.merging import Rule
from imagereg.policy.rules import RuleSet
from imagereg.policy.truth import Truth

_CREDENTIALS = frozenset(Caller().credentials)
_UNASKED = frozenset(
    {Action.GET_TASK, Action.GET_TASKS, Action.ADD_TASK, Action.MODIFY_TASK}
)
_READS = ("get_", "list_", "fetch_", "download_", "stores_info", "cache_list")
_BLOCKS = frozenset({Action.DEFAULT, Action.METADEF_DEFAULT, *_UNASKED})

# Targets that have these fields and no others.  Source: contract policy 4.
_PROJECT = frozenset({"project_id"})
_NEW_IMAGE = frozenset({"project_id", "owner", "visibility"})
_NAMESPACE = frozenset({"project_id", "visibility"})
_EMPTY = frozenset(
    {
        *(Action.CACHE_LIST, Action.CACHE_CLEAN, Action.CACHE_PRUNE),
        *(Action.TASKS_API_ACCESS, Action.STORES_INFO_DETAIL),
        *(Action.CONTEXT_IS_ADMIN,),
    }
)

#: The finding that nothing can be said, which is no reproach.
UNEXAMINED = "unexamined"

_UNKNOWN = re.compile(r"unknown rule `([^`]*)`$")


class Level(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One entry, or place, that deserves a look.

    Attributes:
        code: the kind of finding, one word, stable.
        place: file and line.
        name: the rule, empty where a whole line is meant.
    """

    level: Level
    code: str
    place: str
    name: str
    text: str

    def __str__(self) -> str:
        rule = f"rule `{self.name}`: " if self.name else ""
        return f"{self.place}: {rule}{self.text} ({self.level}: {self.code})"


def lint(
    entries: Sequence[Entry],
    rules: RuleSet,
    texts: Mapping[Path, str],
    used: Collection[str] = (),
) -> tuple[Finding, ...]:
    """Return what is doubtful in policy files that load, in the order of the files.

    Args:
        entries: what the files say.
        rules: the same, compiled.
        texts: the files as they are.
        used: names that a protection file asks for.
    """
    findings = [*_lint_texts(texts)]
    last = {entry.name: entry for entry in entries}
    referred = {
        found for rule in rules.rules.values() for found in references(rule.check)
    }
    truth = Truth(rules)
    for entry in entries:
        if last[entry.name] is not entry:
            text = f"is replaced by {last[entry.name].origin}"
            findings.append(_find(Level.NOTE, "replaced", entry, text))
            continue
        findings += _lint_name(entry, {*referred, *used})
        findings += _lint_rule(entry, rules.rules[entry.name], truth)
    return tuple(findings)


def nearest(name: str, known: Collection[str]) -> str:
    """Return a question after the most similar known name; empty where none is."""
    found = get_close_matches(name, known, n=1, cutoff=0.7)
    return f"; did you mean `{found[0]}`?" if found else ""


def hint(fault: str, known: Collection[str]) -> str:
    """Return a fault of loading, with the nearest known name where one is unknown."""
    found = _UNKNOWN.search(fault)
    return fault + nearest(found.group(1), known) if found else fault


def is_write(action: str) -> bool:
    """Return whether a registered action changes anything."""
    default = REGISTERED.get(action)
    return (
        default is not None
        and default.scope is not None
        and action not in _BLOCKS
        and not action.startswith(_READS)
    )


def _lint_texts(texts: Mapping[Path, str]) -> Iterator[Finding]:
    for path, text in texts.items():
        for number, line in enumerate(text.splitlines(), start=1):
            indent = line[: len(line) - len(line.lstrip())]
            if "\t" in indent:
                told = "is indented by a tab, which the reference refuses"
                yield Finding(Level.WARNING, "tab", f"{path}:{number}", "", told)
                break


def _lint_name(entry: Entry, referred: Collection[str]) -> Iterator[Finding]:
    if entry.name in RETIRED:
        yield _find(Level.NOTE, "retired", entry, "has no effect any more")
    elif entry.name in _UNASKED:
        text = "is never asked; use `tasks_api_access`"
        yield _find(Level.NOTE, "unasked", entry, text)
    elif entry.name in BUILT_IN:
        yield _find(Level.WARNING, "built-in", entry, "replaces a built-in rule")
    elif entry.name not in REGISTERED and entry.name not in referred:
        known = nearest(entry.name, {*REGISTERED, *BUILT_IN})
        text = f"is no action, and no rule refers to it{known}"
        yield _find(Level.ERROR, "unknown", entry, text)


def _lint_rule(entry: Entry, rule: Rule, truth: Truth) -> Iterator[Finding]:
    default = REGISTERED.get(entry.name)
    same = default is not None and _same(rule.check, parse(default.check))
    if same:
        text = "is the same as the built-in rule"
        yield _find(Level.NOTE, "redundant", entry, text)
    yield from _lint_truth(entry, rule.check, truth)
    for leaf in leaves(rule.check):
        if isinstance(leaf, CredentialCheck):
            yield from _lint_credential(entry, leaf)
    known = _target_fields(entry.name)
    absent = sorted(fields(rule.check) - known) if known is not None else ()
    for name in absent:
        text = f"the target has no `{name}`, so the part that reads it is never true"
        yield _find(Level.WARNING, "no-field", entry, text)


def _lint_truth(entry: Entry, check: Check, truth: Truth) -> Iterator[Finding]:
    idle = truth.idle_parts(check)
    if idle is None:
        text = "has too many parts to find out whether each has an effect"
        yield _find(Level.NOTE, UNEXAMINED, entry, text)
    for part in idle or ():
        text = f"`{part}` has no effect: without it, the rule decides the same"
        yield _find(Level.WARNING, "unreachable", entry, text)
    table = truth.table(check)
    if table is None:
        return
    if table.always and is_write(entry.name):
        text = "changes something and is open to everyone, ownership aside"
        yield _find(Level.WARNING, "open-write", entry, text)
    if table.always and not isinstance(check, Always):
        yield _find(Level.NOTE, "always", entry, "holds for everyone")
    if (
        table.never
        and not isinstance(check, Never)
        and canonical(check) != "rule:restricted"
    ):
        yield _find(Level.WARNING, "never", entry, "holds for nobody")


def _lint_credential(entry: Entry, leaf: CredentialCheck) -> Iterator[Finding]:
    name, wanted = leaf.path[0], leaf.match.constant
    if name not in _CREDENTIALS:
        known = nearest(name.lower(), {*_CREDENTIALS, "role", "rule"})
        text = f"`{leaf}` is never true: callers have no `{name}`{known}"
        yield _find(Level.ERROR, "unknown-credential", entry, text)
    elif name.startswith("is_") and wanted not in ("True", "False", None):
        text = f"`{leaf}` is never true: write `True` or `False`"
        yield _find(Level.ERROR, "boolean", entry, text)
    elif name.endswith("roles") and wanted is not None and wanted != wanted.lower():
        text = f"`{leaf}` is never true: roles are in lower case here; use `role:`"
        yield _find(Level.ERROR, "case", entry, text)


def _target_fields(name: str) -> frozenset[str] | None:
    """Return all fields that the target of an action has; None where others may be."""
    if name == Action.GET_IMAGES or name == Action.GET_METADEF_NAMESPACES:
        return _PROJECT
    if name == Action.ADD_IMAGE:
        return _NEW_IMAGE
    if name in _EMPTY:
        return frozenset()
    return _NAMESPACE if "_metadef_" in name and name in REGISTERED else None


def _same(one: Check, other: Check) -> bool:
    """Return whether two rules are equal.  Source: contract policy 1.1."""
    return canonical(one) == canonical(other)


def _find(level: Level, code: str, entry: Entry, text: str) -> Finding:
    return Finding(level, code, str(entry.origin), entry.name, text)
