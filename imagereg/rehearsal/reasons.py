"""Why a question is answered as it is, and the smallest change that turns a no to yes.

Each change that is named was tried: the gate allows the request once it is made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from imagereg.model import Caller, Image, MemberStatus, Operation, Status, Visibility
from imagereg.policy.changes import (
    CallerChange,
    find_smallest,
    suggest_changes,
    suggest_for,
)
from imagereg.policy.explain import Explanation, explain
from imagereg.rehearsal.questions import (
    Answer,
    Question,
    Rehearsal,
    Stage,
    StoredSubject,
    Verdict,
)

#: Ways out of a denial that are told, at most.
MOST_REMEDIES = 3


@dataclass(frozen=True, slots=True)
class ImageChange:
    """One field of the image that could be otherwise."""

    name: str
    value: object

    def apply(self, image: Image) -> Image:
        """Return the image as it would be."""
        return replace(image, **{self.name: self.value})  # type: ignore[arg-type] # the names are those of `_suggest_for_image`

    def __str__(self) -> str:
        return f"set {self.name} of the image to `{self.value}`"


@dataclass(frozen=True, slots=True)
class Share:
    """The caller's project becomes a member of the image."""

    def __str__(self) -> str:
        return "share the image with the caller's project"


Change = CallerChange | ImageChange | Share
Remedy = tuple[Change, ...]


@dataclass(frozen=True)
class Account:
    """An answer with its reasons.

    Attributes:
        explanation: the rule of the action that was refused, or of the first one;
            None where no rule was asked.
        shown: the rule that shows the target, where its refusal turned 403 into 404.
        remedies: each of them alone would do, the smallest first.
    """

    question: Question
    verdict: Verdict
    explanation: Explanation | None
    shown: Explanation | None
    remedies: tuple[Remedy, ...]


def account_for(rehearsal: Rehearsal, question: Question) -> Account:
    """Return the answer to a question, why, and what would change it."""
    verdict = rehearsal.ask(question)
    caller, fields = rehearsal.fields(question)
    explanation = shown = None
    if verdict.action:
        explanation = explain(
            rehearsal.rules, caller.credentials, verdict.action, fields
        )
    shown_by = question.subject.seen_by(caller).shown_by
    masked = verdict.answer is Answer.HIDDEN and verdict.stage is not Stage.VISIBILITY
    if masked and shown_by is not None and verdict.action != shown_by:
        shown = explain(rehearsal.rules, caller.credentials, shown_by, fields)
    remedies = () if verdict.allowed else find_remedies(rehearsal, question)
    return Account(question, verdict, explanation, shown, remedies)


def find_remedies(rehearsal: Rehearsal, question: Question) -> tuple[Remedy, ...]:
    """Return sets of changes each of which makes the gate allow the request.

    Changes of the caller are preferred; the image is changed only where no caller
    of any kind would do.
    """
    mild: tuple[Change, ...] = tuple(_suggest(rehearsal, question))
    size = 1 + sum(map(rehearsal.rules.size, question.actions))

    def works(remedy: Remedy) -> bool:
        names = [name for change in remedy if (name := _replaced(change))]
        if len(set(names)) < len(names):
            return False
        return rehearsal.ask(apply_remedy(question, remedy)).allowed

    found = find_smallest(mild, works, size=size)
    if not found and isinstance(question.subject, StoredSubject):
        strong = (*_suggest_for_image(question.subject.image), *mild)
        found = find_smallest(strong, works, size=size)
    return found[:MOST_REMEDIES]


def apply_remedy(question: Question, remedy: Remedy) -> Question:
    """Return the question as it would be after all changes of ``remedy``."""
    for change in remedy:
        if isinstance(change, CallerChange):
            question = replace(question, caller=change.apply(question.caller))
    subject = question.subject
    for change in remedy:
        if isinstance(change, CallerChange) or not isinstance(subject, StoredSubject):
            continue
        if isinstance(change, ImageChange):
            subject = replace(subject, image=change.apply(subject.image))
            continue
        project = question.caller.project_id or ""
        members = {**subject.members, project: MemberStatus.ACCEPTED}
        subject = replace(subject, members=members)
    return replace(question, subject=subject)


def _replaced(change: Change) -> str:
    """Return the name of what a second change would replace; empty where none would."""
    if isinstance(change, CallerChange):
        return "" if change.name.endswith("roles") else change.name
    return f"image {change.name}" if isinstance(change, ImageChange) else ""


def _suggest(rehearsal: Rehearsal, question: Question) -> Iterator[CallerChange]:
    """Yield what about the caller could matter to rules, ownership or protections."""
    caller, fields = rehearsal.fields(question)
    actions: tuple[str, ...] = question.actions
    shown_by = question.subject.seen_by(caller).shown_by
    if shown_by is not None:
        actions = (*actions, shown_by)
    found: dict[CallerChange, None] = {}
    if question.operation is not None:
        section = _suggest_for_section(rehearsal, question, question.operation, caller)
        found.update(dict.fromkeys(section))
    named = suggest_changes(rehearsal.rules, actions, caller, fields)
    admin = suggest_changes(rehearsal.rules, (), caller, fields)
    found.update(dict.fromkeys(change for change in named if change not in admin))
    found.update(dict.fromkeys(_suggest_projects(question, fields)))
    found.update(dict.fromkeys(admin))
    if caller.read_only:
        yield CallerChange("read_only", None)
    yield from found


def _suggest_projects(
    question: Question, fields: Mapping[str, object]
) -> Iterator[CallerChange]:
    """Yield the projects that stored data favour: the owner's and the members'."""
    projects = [fields.get("owner"), fields.get("project_id")]
    if isinstance(question.subject, StoredSubject):
        projects += sorted(question.subject.members)
    for project in projects:
        if project is not None and project != question.caller.project_id:
            yield CallerChange("project_id", str(project))


def _suggest_for_section(
    rehearsal: Rehearsal, question: Question, operation: Operation, caller: Caller
) -> Iterator[CallerChange]:
    """Yield the roles that the deciding section names, or what its policy reads."""
    protections = rehearsal.gate.guard.protections
    section = protections.find(question.name) if protections else None
    if section is None:
        return
    rule = section.rules[operation]
    for role in sorted(rule.roles):
        yield CallerChange("roles", role)
    if rule.policy:
        _, fields = rehearsal.fields(question)
        expression = rule.policy if ":" in rule.policy else f"rule:{rule.policy}"
        check = rehearsal.rules.compile(expression).check
        yield from suggest_for(check, caller, fields)
        for name in rehearsal.rules:
            if expression == f"rule:{name}":
                yield from suggest_changes(rehearsal.rules, (name,), caller, fields)


def _suggest_for_image(image: Image) -> Iterator[Change]:
    """Yield what about the image could matter, whoever asks."""
    if image.protected:
        yield ImageChange("protected", False)
    if image.status == Status.DEACTIVATED:
        yield ImageChange("status", Status.ACTIVE)
    for visibility in (Visibility.SHARED, Visibility.PUBLIC):
        if image.visibility != visibility:
            yield ImageChange("visibility", visibility)
    yield Share()
