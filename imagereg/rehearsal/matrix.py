"""Who may do what: personas by actions by visibility, and two policies compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagereg.model import Caller, Operation
from imagereg.policy.actions import DEFAULTS, Action
from imagereg.rehearsal.personas import PERSONAS, UNASKED, subject_for, visibilities
from imagereg.rehearsal.questions import (
    Answer,
    Question,
    Rehearsal,
    SameSubject,
    StoredSubject,
    actions_for,
)

#: What stands in a cell: short, and clear without colours.
MARKS: Mapping[Answer, str] = {
    Answer.ALLOW: "yes",
    Answer.FORBIDDEN: "403",
    Answer.HIDDEN: "404",
}


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        subject: what it is done to: visibilities, or an operation on a property.
        answers: one for each column.
    """

    name: str
    subject: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Table:
    """Answers in rows and columns.

    Attributes:
        head: what the first two columns hold.
        columns: names of callers.
    """

    title: str
    head: tuple[str, str]
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Difference:
    """One caller for whom two policies differ.

    Attributes:
        gains: whether the caller may what it might not.
    """

    row: str
    subject: str
    column: str
    before: Answer
    after: Answer

    @property
    def gains(self) -> bool:
        """Whether the new policy allows what the old one did not."""
        return self.after is Answer.ALLOW

    @property
    def loses(self) -> bool:
        """Whether the old policy allowed what the new one does not."""
        return self.before is Answer.ALLOW


def action_table(
    rehearsal: Rehearsal, callers: Mapping[str, Caller] = PERSONAS
) -> Table:
    """Return what each caller may do; visibilities with equal answers share a row."""
    rows = [
        row
        for name in DEFAULTS
        if (action := Action(name)) not in UNASKED
        for row in _merge(_action_rows(rehearsal, action, callers))
    ]
    return Table("Actions", ("action", "visibility"), tuple(callers), tuple(rows))


def property_table(
    rehearsal: Rehearsal,
    names: Sequence[str],
    roles: Sequence[str],
) -> Table:
    """Return which role may do what to each property, by the protections alone."""
    callers = {role: Caller(roles=frozenset({role})) for role in roles}
    callers["(none)"] = Caller()
    rows = []
    for name in names:
        each = [
            Row(
                name,
                operation,
                tuple(
                    _ask_property(rehearsal, caller, operation, name)
                    for caller in callers.values()
                ),
            )
            for operation in Operation
        ]
        rows += _merge(each)
    title = "Properties"
    return Table(title, ("property", "operation"), tuple(callers), tuple(rows))


def find_roles(rehearsal: Rehearsal) -> tuple[str, ...]:
    """Return the roles that tables tell apart: the usual ones, then the file's."""
    found = dict.fromkeys(("admin", "member", "reader"))
    protections = rehearsal.gate.guard.protections
    for section in protections.sections if protections else ():
        for rule in section.rules.values():
            found.update(dict.fromkeys(sorted(rule.roles)))
    return tuple(found)


def find_properties(rehearsal: Rehearsal) -> tuple[str, ...]:
    """Return a property name for each section, as far as its pattern tells one."""
    from imagereg.protection.patterns import sample_name

    protections = rehearsal.gate.guard.protections
    found: dict[str, None] = {}
    for section in protections.sections if protections else ():
        sample = sample_name(section.pattern) if section.line else None
        if sample:
            found[sample] = None
    found["any_other"] = None
    return tuple(found)


def compare(old: Table, new: Table) -> tuple[Difference, ...]:
    """Return every cell that differs, in the order of the new table."""
    before = _cells(old)
    return tuple(
        Difference(*place, before[place], answer)
        for place, answer in _cells(new).items()
        if place in before and before[place] is not answer
    )


def _action_rows(
    rehearsal: Rehearsal, action: Action, callers: Mapping[str, Caller]
) -> Iterator[Row]:
    for visibility in visibilities(action) or ("",):
        subject = subject_for(action, visibility)
        stored = isinstance(subject, StoredSubject)
        actions = actions_for(action) if stored else (action,)
        answers = tuple(
            rehearsal.ask(Question(caller, actions, subject)).answer
            for caller in callers.values()
        )
        yield Row(action, visibility, answers)


def _ask_property(
    rehearsal: Rehearsal, caller: Caller, operation: Operation, name: str
) -> Answer:
    question = Question(caller, (), SameSubject(), operation, name)
    return rehearsal.ask(question).answer


def _merge(rows: Sequence[Row] | Iterator[Row]) -> list[Row]:
    """Return rows of one name, those with equal answers made one."""
    merged: dict[tuple[str, tuple[Answer, ...]], list[str]] = {}
    for row in rows:
        merged.setdefault((row.name, row.answers), []).append(row.subject)
    return [
        Row(name, ", ".join(subjects), answers)
        for (name, answers), subjects in merged.items()
    ]


def _cells(table: Table) -> dict[tuple[str, str, str], Answer]:
    """Return each cell by row, subject and column, merged rows taken apart."""
    return {
        (row.name, subject, column): answer
        for row in table.rows
        for subject in row.subject.split(", ")
        for column, answer in zip(table.columns, row.answers, strict=True)
    }
