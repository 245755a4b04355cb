"""Why a rule decides as it does: the tree with each part's value, and who is to blame.

The decision itself is the rule set's own; the tree beside it is worked out leaf by
leaf, in the order in which the engine asks.

Source: contract policy 1.2 and 11.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field

from imagereg.errors import RuleFailed
from imagereg.policy.actions import Action
from imagereg.policy.checks import (
    And,
    Check,
    CredentialCheck,
    Leaf,
    LiteralCheck,
    Never,
    Not,
    Or,
    RemoteCheck,
    RoleCheck,
    RuleCheck,
)
from imagereg.policy.language import canonical
from imagereg.policy.merging import Rule
from imagereg.policy.rules import Decision, RuleSet
from imagereg.policy.templates import Template

Values = Mapping[str, object]

#: Characters of one value that an explanation shows; values come from users.
SHOWN_CHARS = 64


@dataclass(frozen=True, slots=True)
class Node:
    """One part of a rule, with what it comes to for one caller and target.

    Attributes:
        holds: None where the part cannot be judged, or a server would have to be
            asked; ``note`` says which.
        asked: whether the decision depended on it; what follows a yes in an "or",
            or a no in an "and", is not asked.
        note: the values that were compared, in words.
        rule: the rule that a ``rule:`` part leads to, with the root of its tree as
            the only child.
    """

    check: Check
    holds: bool | None
    asked: bool = True
    note: str = ""
    children: tuple["Node", ...] = ()
    rule: Rule | None = None

    def walk(self) -> Iterator["Node"]:
        """Yield this part and all below it, from the top down."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def blame(self) -> tuple["Node", ...]:
        """The leaves because of which this part has its value."""
        if not self.children:
            return (self,)
        guilty = [child for child in self.children if child.asked] or [*self.children]
        # An "and" or "or" that ended early did so at the last part that was asked.
        if self.holds is isinstance(self.check, Or) or self.holds is None:
            guilty = guilty[-1:]
        return tuple(leaf for child in guilty for leaf in child.blame)


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its reasons.

    Attributes:
        rule: the rule that decided; None where no rule has the name that was asked.
        tree: its parts with their values.
    """

    decision: Decision
    rule: Rule | None
    tree: Node

    @property
    def text(self) -> str:
        """The rule in its canonical form; quotes show that an empty one is there."""
        return canonical(self.rule.check) or '""' if self.rule else "!"

    @property
    def place(self) -> str:
        """The file and line of the rule, or that it is a built-in default."""
        if self.rule is None or self.rule.origin is None:
            return "built-in default"
        return str(self.rule.origin)


def explain(
    rules: RuleSet, credentials: Values, action: str, target: Values
) -> Explanation:
    """Return the decision about ``action``, with every part of the rule judged.

    Servers of remote checks are asked by the decision alone, not for the tree.
    """
    decision = rules.decide(credentials, action, target)
    name = rules.resolve(action)
    if name is None:
        return Explanation(decision, None, Node(Never(), holds=False))
    rule = rules.rules[name]
    asking = _Asking(rules, credentials, target)
    return Explanation(decision, rule, asking.judge(rule.check, asked=True))


def explain_denial(
    rules: RuleSet, credentials: Values, action: str, target: Values
) -> str:
    """Return one line that says why the rule of ``action`` refuses.

    The line is empty where the rule allows, so that something else must have
    refused, and where the rule ``explain_denial`` does not admit the caller: an
    explanation tells what the policy and the target say.
    """
    if not rules.decide(credentials, Action.EXPLAIN_DENIAL, target).allowed:
        return ""
    found = explain(rules, credentials, action, target)
    return "" if found.decision.allowed else reason(found)


def reason(explanation: Explanation) -> str:
    """Return one line that says which rule decided, where it is, and by which parts.

    Of the file only the name is told, because the line may leave the machine.
    """
    rule, decision = explanation.rule, explanation.decision
    if decision.scope:
        return f"{decision.action} needs a token of {decision.scope} scope"
    if rule is None:
        return f"no rule is named `{decision.action}`, which is refused"
    place = explanation.place
    if rule.origin is not None:
        place = f"{rule.origin.file.name}, line {rule.origin.line}"
    parts = dict.fromkeys(map(describe, explanation.tree.blame))
    verb = "allows" if decision.allowed else "refuses"
    return f"rule `{decision.rule}` ({place}) {verb}: {'; '.join(parts)}"


def describe(node: Node) -> str:
    """Return one part with its value in words: ``role:x is false (...)``."""
    value = {True: "true", False: "false", None: "not known"}[node.holds]
    text = f"`{node.check}` is {value}"
    return f"{text} ({node.note})" if node.note else text


def show(value: object) -> str:
    """Return a value as an explanation may show it: short, on one line."""
    if value is None:
        return "nothing"
    text = str(value)
    if len(text) > SHOWN_CHARS:
        text = f"{text[:SHOWN_CHARS]}..."
    return text if text.isprintable() and text else repr(text)


@dataclass
class _Asking:
    """One question, put to every part of a rule.

    A rule that many others refer to is judged once.
    """

    rules: RuleSet
    credentials: Values
    target: Values
    _known: dict[str, Node] = field(default_factory=dict)

    def judge(self, check: Check, *, asked: bool) -> Node:
        """Return the part with its value, and all below it."""
        match check:
            case And(parts):
                return self._judge_parts(check, parts, stop=False, asked=asked)
            case Or(parts):
                return self._judge_parts(check, parts, stop=True, asked=asked)
            case Not(inner):
                child = self.judge(inner, asked=asked)
                holds = None if child.holds is None else not child.holds
                return Node(check, holds, asked, children=(child,))
            case RuleCheck(name):
                return self._follow(check, name, asked=asked)
        return self._judge_leaf(check, asked=asked)

    def _judge_parts(
        self, check: Check, parts: tuple[Check, ...], *, stop: bool, asked: bool
    ) -> Node:
        """Judge the parts of an "and" or "or", which ends at the value ``stop``.

        What cannot be judged ends both: it refuses the whole decision.
        """
        found: list[Node] = []
        holds: bool | None = not stop
        for part in parts:
            node = self.judge(part, asked=asked and holds is (not stop))
            found.append(node)
            if holds is (not stop):
                holds = node.holds
        return Node(check, holds, asked, children=tuple(found))

    def _follow(self, check: RuleCheck, name: str, *, asked: bool) -> Node:
        """Judge the rule that is referred to."""
        found = self.rules.resolve(name)
        if found is None:
            return Node(check, False, asked, f"no rule is named `{name}`")
        rule = self.rules.rules[found]
        if found not in self._known:
            self._known[found] = self.judge(rule.check, asked=True)
        child = self._known[found]
        if not asked:
            child = _unasked(child)
        return Node(check, child.holds, asked, children=(child,), rule=rule)

    def _judge_leaf(self, leaf: Leaf, *, asked: bool) -> Node:
        if isinstance(leaf, RemoteCheck):
            return Node(
                leaf, None, asked, "a server decides, which was not asked again"
            )
        evaluate = self.rules.compile_check(leaf).evaluate
        try:
            holds = evaluate(self.credentials, self.target, None)
        except RuleFailed as failure:
            return Node(leaf, None, asked, f"cannot be judged: {failure}")
        return Node(leaf, holds, asked, self._compare(leaf))

    def _compare(self, leaf: Leaf) -> str:
        """Return what a leaf compared, in words; empty for constants."""
        match leaf:
            case RoleCheck(match):
                told = f"the caller has {_tell_held(self.credentials.get('roles'))}"
            case CredentialCheck(path, match):
                told = f"the caller has {_tell_held(self.credentials.get(path[0]))}"
            case LiteralCheck(match=match):
                told = ""
            case _:
                return ""
        return "; ".join(filter(None, (told, self._wanted(match))))

    def _wanted(self, match: Template) -> str:
        """Return what the target says in the holes of a check; empty without holes."""
        if not match.fields:
            return ""
        lacking = [name for name in match.fields if name not in self.target]
        if lacking:
            return f"the target has no `{lacking[0]}`"
        return f"the target has {show(match.fill(self.target))}"


def _tell_held(value: object) -> str:
    """Return what a caller holds under one name, in words."""
    if isinstance(value, list | tuple | Set):
        return show(", ".join(sorted(map(str, value))) or None)
    return show(value)


def _unasked(node: Node) -> Node:
    """Return the same part as one that the decision did not need."""
    children = tuple(map(_unasked, node.children))
    return Node(node.check, node.holds, False, node.note, children, node.rule)
