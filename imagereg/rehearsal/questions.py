"""One question to the gate, and the stage at which its answer fell.

Source: contract policy 6 and 7, rulings P-3, P-4, P-7.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, cast

from imagereg.access import Gate
from imagereg.errors import (
    ImageRegError,
    NotFound,
    ReadOnlyCaller,
)
from imagereg.model import (
    Caller,
    Image,
    MemberStatus,
    Operation,
    Visibility,
)
from imagereg.policy.actions import Action
from imagereg.policy.enforcer import Enforcer
from imagereg.policy.rules import Decision, RuleSet
from imagereg.protection.guard import PropertyGuard, Reason
from imagereg.protection.rules import Protections
from imagereg.states import refusal
from imagereg.targets import ImageFields, NoTarget, ProposedImage, StoredImage, Target

#: What requests about members ask, in their order.  Source: contract api-images 3.
MEMBER_ACTIONS: Mapping[Action, tuple[Action, ...]] = {
    Action.GET_MEMBERS: (Action.GET_IMAGE, Action.GET_MEMBERS),
    Action.GET_MEMBER: (Action.GET_IMAGE, Action.GET_MEMBER),
    Action.ADD_MEMBER: (Action.GET_IMAGE, Action.ADD_MEMBER),
    Action.MODIFY_MEMBER: (Action.GET_IMAGE, Action.GET_MEMBER, Action.MODIFY_MEMBER),
    Action.DELETE_MEMBER: (Action.GET_IMAGE, Action.GET_MEMBER, Action.DELETE_MEMBER),
}


class Answer(StrEnum):
    """How a request would be answered."""

    ALLOW = "allow"
    FORBIDDEN = "forbidden"
    HIDDEN = "hidden"


class Stage(StrEnum):
    """What gave the answer; the sentence is for people."""

    ALLOWED = "every check allows it"
    ANONYMOUS = "a caller without identity only reads"
    VISIBILITY = "stored data hide the image, whatever the rules say"
    SCOPE = "the scope of the caller's token"
    RULE = "a rule refuses"
    OWNERSHIP = "the rules allow it, ownership does not"
    STATE = "the rules allow it, the state of the image does not"
    PROTECTION = "a property protection refuses"


class Subject(Protocol):
    """What a question is about, before it is known who asks."""

    def seen_by(self, caller: Caller) -> Target:
        """Return the target that the gate judges for this caller."""


@dataclass(frozen=True)
class StoredSubject:
    """An image with the projects that it is shared with."""

    image: Image
    members: Mapping[str, MemberStatus] = field(default_factory=dict)

    def seen_by(self, caller: Caller) -> StoredImage:
        """Return the image, with what the caller's project is to it."""
        return StoredImage(self.image, self.members.get(caller.project_id or ""))


@dataclass(frozen=True)
class NewSubject:
    """An image to create; without an owner it is the caller's."""

    owner: str | None = None
    visibility: str = Visibility.PRIVATE

    def seen_by(self, caller: Caller) -> ProposedImage:
        """Return the proposal."""
        owner = self.owner or caller.project_id
        return ProposedImage(owner=owner, visibility=self.visibility)


@dataclass(frozen=True)
class SameSubject:
    """What is the same whoever asks."""

    target: Target = field(default_factory=NoTarget)

    def seen_by(self, caller: Caller) -> Target:
        """Return the target."""
        return self.target


@dataclass(frozen=True, slots=True)
class FieldsTarget(NoTarget):
    """A target of these fields."""

    values: Mapping[str, object] = field(default_factory=dict)

    def fields(self, caller: Caller) -> Mapping[str, object]:
        """Return the fields."""
        return self.values


@dataclass(frozen=True)
class Question:
    """Whether a caller may do these actions, and something to a property.

    Attributes:
        actions: asked in this order; none where only a protection is asked.
        operation: on the custom property ``name``, None where none is meant.
    """

    caller: Caller
    actions: tuple[str, ...]
    subject: Subject
    operation: Operation | None = None
    name: str = ""


@dataclass(frozen=True)
class Verdict:
    """The answer to one question.

    Attributes:
        stage: what gave it.
        action: the action that was refused, or the first one.
        rule: the name of the rule that decided about that action.
        message: what the caller would be told, empty for a yes.
        section: what decided about the property, where one was asked for.
    """

    answer: Answer
    stage: Stage
    action: str
    rule: str
    message: str = ""
    section: Reason | None = None

    @property
    def allowed(self) -> bool:
        """Whether the request would be carried out."""
        return self.answer is Answer.ALLOW


def actions_for(action: Action) -> tuple[Action, ...]:
    """Return all that a request for ``action`` on a stored image asks."""
    if action in (Action.PUBLICIZE_IMAGE, Action.COMMUNITIZE_IMAGE):
        return (action, Action.MODIFY_IMAGE)
    return MEMBER_ACTIONS.get(action, (action,))


class Rehearsal:
    """A gate, and questions to it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate

    @classmethod
    def of(cls, rules: RuleSet, protections: Protections | None = None) -> "Rehearsal":
        """Return a rehearsal of these rules and protections, which stay as they are."""
        return cls(Gate(Enforcer.fixed(rules), PropertyGuard(protections)))

    @property
    def rules(self) -> RuleSet:
        """The rules in force."""
        return self.gate.policy.rules

    def ask(self, question: Question) -> Verdict:
        """Return the answer of the gate, and of what comes right behind it."""
        caller = self.gate.recognise(question.caller)
        target = question.subject.seen_by(caller)
        for action in question.actions:
            refused = self._refusal(caller, action, target)
            if refused is not None:
                return refused
        if question.actions:
            action = question.actions[-1]
            fault = None
            if isinstance(target, StoredImage):
                member = caller.project_id or ""
                fault = refusal(caller, action, target.image, member)
            if fault is not None:
                return self._verdict(caller, action, target, Stage.STATE, fault)
        return self._ask_property(question, caller, target)

    def section(self, question: Question, operation: Operation) -> Reason:
        """Return what the protections say to an operation on the property."""
        caller = self.gate.recognise(question.caller)
        target = question.subject.seen_by(caller)
        fields: Mapping[str, object] = {}
        if isinstance(target, StoredImage):
            fields = ImageFields(target.image, caller)

        def ask(rule: str) -> bool:
            expression = rule if ":" in rule else f"rule:{rule}"
            return self.rules.compile(expression).allows(caller.credentials, fields)

        roles = caller.roles | caller.service_roles
        return self.gate.guard.verdict_section(operation, question.name, roles, ask)

    def fields(self, question: Question) -> tuple[Caller, Mapping[str, object]]:
        """Return the caller as the gate knows it, and what rules may read."""
        caller = self.gate.recognise(question.caller)
        return caller, self.gate.fields(caller, question.subject.seen_by(caller))

    def _ask_property(
        self, question: Question, caller: Caller, target: Target
    ) -> Verdict:
        """Return the answer where all actions were allowed."""
        first = question.actions[0] if question.actions else ""
        rule = self._decide(caller, first, target).rule if first else ""
        if question.operation is None:
            return Verdict(Answer.ALLOW, Stage.ALLOWED, first, rule)
        section = self.section(question, question.operation)
        if section.allowed:
            return Verdict(Answer.ALLOW, Stage.ALLOWED, first, rule, "", section)
        told = f"attribute `{question.name}` is reserved"
        return Verdict(Answer.FORBIDDEN, Stage.PROTECTION, first, rule, told, section)

    def _decide(self, caller: Caller, action: str, target: Target) -> Decision:
        fields = self.gate.fields(caller, target)
        return self.gate.policy.decide(caller.credentials, action, fields)

    def _verdict(
        self,
        caller: Caller,
        action: str,
        target: Target,
        stage: Stage,
        error: ImageRegError,
    ) -> Verdict:
        answer = Answer.HIDDEN if isinstance(error, NotFound) else Answer.FORBIDDEN
        rule = self._decide(caller, action, target).rule
        return Verdict(answer, stage, action, rule, error.message)

    def _refusal(self, caller: Caller, action: str, target: Target) -> Verdict | None:
        """Return the refusal of one action, with the stage at which it fell."""
        try:
            # The gate compares texts, so it can be asked for an operator's own rule.
            self.gate.authorize(caller, (cast("Action", action),), target)
        except ImageRegError as error:
            decision = self._decide(caller, action, target)
            if isinstance(error, ReadOnlyCaller):
                stage = Stage.ANONYMOUS
            elif _is_hidden(caller, target):
                stage = Stage.VISIBILITY
            elif decision.allowed:
                stage = Stage.OWNERSHIP
            else:
                stage = Stage.SCOPE if decision.scope else Stage.RULE
            return self._verdict(caller, action, target, stage, error)
        return None


def _is_hidden(caller: Caller, target: Target) -> bool:
    """Return whether stored data alone hide the target."""
    try:
        target.check_visible(caller)
    except NotFound:
        return True
    return False
