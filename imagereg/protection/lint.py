"""What a protection file does that its author may not have meant.

`rules.py` refuses what is wrong; this looks at what is legal.  An error is a section
or value without any effect, a warning is an effect that surprises, a note tells
something worth knowing.

Source: contract property-protection 2, 3, 4 and 7.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from imagereg.model import Operation
from imagereg.protection.ini import Remark
from imagereg.protection.patterns import (
    NAME_CHARS,
    covers,
    find_anchors,
    is_catch_all,
    sample_name,
)
from imagereg.protection.probe import slowest_s
from imagereg.protection.rules import EVERYONE, NOBODY, Protections, Rule, Section

SLOW_S = 0.005
# All that an image has while it is being created.  Source: contract policy 4.
_CREATE_FIELDS = frozenset({"project_id", "owner", "visibility"})


class Level(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One place of the file that deserves a look.

    Attributes:
        code: the kind of finding, one word, stable.
    """

    level: Level
    code: str
    remark: Remark

    def render(self, source: str) -> str:
        """Return one line of text."""
        return f"{self.remark.render(source)} ({self.level}: {self.code})"


def lint(
    protections: Protections, policy_names: Collection[str] = ()
) -> tuple[Finding, ...]:
    """Return what is doubtful in ``protections``, in the order of the file.

    ``policy_names`` are recognised where a role is expected, which is how a file of
    format ``policies`` looks when it is read as ``roles``.
    """
    findings = [
        *_lint_order(protections.sections),
        *(Finding(Level.WARNING, "syntax", remark) for remark in protections.remarks),
    ]
    for section in protections.sections:
        if section.line:
            findings.extend(_lint_pattern(section))
            findings.extend(_lint_rules(section, policy_names))
    return tuple(sorted(findings, key=lambda finding: finding.remark))


def _lint_order(sections: tuple[Section, ...]) -> Iterator[Finding]:
    for index, section in enumerate(sections):
        earlier = sections[:index]
        first = next((e for e in earlier if covers(e.pattern, section.pattern)), None)
        if first:
            place = f"line {first.line}" if first.line else "built in"
            text = f"never decides: [{first.name}] ({place}) matches all of its names"
            yield _find(Level.ERROR, "shadowed", section, text)
        if is_catch_all(section.pattern) and section is not sections[-1]:
            text = "matches every name but is not last"
            yield _find(Level.ERROR, "catch-all-not-last", section, text)
    if not any(is_catch_all(section.pattern) for section in sections):
        text = "a name that no section matches is denied to everyone, admins too"
        yield Finding(Level.WARNING, "no-catch-all", Remark(0, "", "", text))


def _lint_pattern(section: Section) -> Iterator[Finding]:
    pattern = section.pattern
    if is_catch_all(pattern):
        return
    anchors = find_anchors(pattern.pattern)
    if len(set(anchors)) > 1:
        text = "`^` and `$` hold one alternative only; group them: `^(...|...)$`"
        yield _find(Level.WARNING, "split-anchor", section, text)
    elif (False, False) in anchors:
        sample = sample_name(pattern)
        example = f"my_{sample}_too"
        if sample is None:
            text = "is not anchored: it matches anywhere in a name"
            yield _find(Level.WARNING, "unanchored", section, text)
        elif pattern.search(example):
            text = f"is not anchored: it also matches `{example}`"
            yield _find(Level.WARNING, "unanchored", section, text)
    taken_s = slowest_s(pattern)
    if taken_s > SLOW_S:
        text = f"needs {taken_s * 1000:.0f} ms for a name of {NAME_CHARS} characters"
        yield _find(Level.WARNING, "slow", section, text)


def _lint_rules(section: Section, policy_names: Collection[str]) -> Iterator[Finding]:
    for operation, rule in section.rules.items():
        yield from _lint_value(section, operation, rule)
        yield from _lint_target(section, operation, rule)
        for role in rule.roles:
            if role in policy_names or ":" in role:
                text = f"`{role}` is taken for a role; the format may be `policies`"
                yield _find(Level.WARNING, "policy-as-role", section, text, operation)
    for operation in (Operation.UPDATE, Operation.DELETE):
        text = _tell_hidden(section.rules[Operation.READ], section.rules[operation])
        if text:
            yield _find(Level.NOTE, "hidden", section, text, operation)


def _lint_value(
    section: Section, operation: Operation, rule: Rule
) -> Iterator[Finding]:
    listed = {name.strip() for name in rule.text.split(",")} - {""}
    for sign in (NOBODY, EVERYONE):
        if sign in listed and len(listed) > 1:
            text = f"`{sign}` overrules the roles beside it"
            yield _find(Level.WARNING, "overruled", section, text, operation)


def _lint_target(
    section: Section, operation: Operation, rule: Rule
) -> Iterator[Finding]:
    if not rule.facts.reads_target:
        return
    names = _list_names(rule.facts.fields) or "all"
    text = f"looks at {names} of the image; the reference never lets it see any"
    yield _find(Level.NOTE, "target", section, text, operation)
    absent = rule.facts.fields - _CREATE_FIELDS
    if operation is Operation.CREATE and absent:
        text = f"in POST a new image has no {_list_names(absent)} yet: never true there"
        yield _find(Level.WARNING, "target-on-create", section, text, operation)


def _tell_hidden(read: Rule, write: Rule) -> str:
    """Return who may write what they cannot read, if that is certain."""
    if read.verdict or write.verdict is False:
        return ""
    if read.verdict is False:
        return "has little effect, since nobody may read it: replace and remove fail"
    hidden = write.roles - read.roles
    if not hidden:
        return ""
    roles = _list_names(hidden)
    return f"has little effect for {roles}, who may not read: replace and remove fail"


def _list_names(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))


def _find(
    level: Level, code: str, section: Section, text: str, key: str = ""
) -> Finding:
    """Return a finding about a section, or about one of its keys."""
    rule = section.rules[Operation(key)] if key else None
    line = rule.line if rule else section.line
    return Finding(level, code, Remark(line, section.name, key, text))
