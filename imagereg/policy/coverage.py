"""Which parts of which rules a number of decisions has tried.

A part is tried when a decision depended on it; it has two branches, yes and no, or
one where it is constant.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from imagereg.policy.checks import Always, Check, Leaf, Never, leaves
from imagereg.policy.explain import Explanation, Node
from imagereg.policy.rules import RuleSet

#: A leaf of a rule, by its place in it, with a value it may have.
Branch = tuple[str, int, bool]


@dataclass
class RuleCoverage:
    """What was tried of one rule set.

    Attributes:
        rules: its rules that count.
        tried: of all rules, the branches that decisions took.
    """

    rules: Mapping[str, Check]
    tried: set[Branch] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, rules: RuleSet, *, built_in: bool = True) -> "RuleCoverage":
        """Return an empty account of the rules in files.

        Where there are none, all built-in rules count, unless ``built_in`` is off.
        """
        every = rules.rules.values()
        # A rule that stands in for another name counts once, under its own.
        written = [r for r in every if r.origin is not None and r.decided_by == r.name]
        return cls(
            {rule.name: rule.check for rule in written or (every if built_in else ())}
        )

    def add(self, explanation: Explanation) -> None:
        """Count what one decision tried."""
        if explanation.rule is not None and not explanation.decision.scope:
            self._add(explanation.rule.name, explanation.tree)

    @property
    def branches(self) -> frozenset[Branch]:
        """All branches that there are."""
        return frozenset(
            (name, index, value)
            for name, check in self.rules.items()
            for index, leaf in enumerate(leaves(check))
            for value in _values(leaf)
        )

    @property
    def missed_rules(self) -> tuple[str, ...]:
        """The rules that no decision asked."""
        return tuple(name for name in self.rules if name not in self.asked)

    @property
    def missed_branches(self) -> tuple[str, ...]:
        """What was not tried of the rules that were, in words."""
        missed = sorted(self.branches - self.tried)
        listed = {name: tuple(leaves(self.rules[name])) for name, _, _ in missed}
        return tuple(
            f"{name}: `{listed[name][index]}` was never {str(value).lower()}"
            for name, index, value in missed
            if name in self.asked
        )

    def _add(self, name: str, tree: Node) -> None:
        self.asked.add(name)
        for index, node in enumerate(_leaf_nodes(tree)):
            if not node.asked:
                continue
            if node.holds is not None:
                self.tried.add((name, index, node.holds))
            if node.rule is not None:
                self._add(node.rule.name, node.children[0])


def _leaf_nodes(node: Node) -> Iterable[Node]:
    """Return the leaves of one rule; what they refer to is another's."""
    if node.rule is not None or not node.children:
        return (node,)
    return [leaf for child in node.children for leaf in _leaf_nodes(child)]


def _values(leaf: Leaf) -> tuple[bool, ...]:
    match leaf:
        case Always():
            return (True,)
        case Never():
            return (False,)
    return (True, False)
