"""What rules can come to, whoever asks: truth tables, and parts without effect.

Every leaf counts as true or false independently of the others, so what is found
here holds for any caller and target.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce
from operator import and_, or_

from imagereg.policy.checks import (
    Always,
    And,
    Check,
    Never,
    Not,
    Or,
    RuleCheck,
    leaves,
)
from imagereg.policy.rules import RuleSet

#: More different leaves than this are not examined; the table doubles with each.
MOST_LEAVES = 12
#: Of rules with more parts none is taken out on trial; the time grows as the square.
MOST_PARTS = 500


@dataclass(frozen=True, slots=True)
class TruthTable:
    """The value of a rule for each assignment of its leaves, one bit each."""

    bits: int
    full: int

    @property
    def always(self) -> bool:
        """Whether the rule holds for everyone."""
        return self.bits == self.full

    @property
    def never(self) -> bool:
        """Whether the rule holds for nobody."""
        return self.bits == 0


class Truth:
    """Examines the rules of one set."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules

    def table(self, check: Check) -> TruthTable | None:
        """Return the values of a tree; None where it has too many leaves."""
        atoms = self._atoms(check)
        if atoms is None:
            return None
        columns = _Columns(self._rules, atoms)
        return TruthTable(columns.bits(check), columns.full)

    def idle_parts(self, check: Check) -> tuple[Check, ...] | None:
        """Return parts of "and" and "or" that could go and nothing would change.

        Of two parts that make each other needless, the later one is named.  None says
        that there is too much to find out.
        """
        atoms = self._atoms(check)
        if atoms is None or sum(1 for _ in leaves(check)) > MOST_PARTS:
            return None
        columns = _Columns(self._rules, atoms)
        wanted = columns.bits(check)
        found: list[Check] = []
        while True:
            for part, rest in _without_one(check):
                if columns.bits(rest) == wanted:
                    found.append(part)
                    check = rest
                    break
            else:
                return tuple(reversed(found))

    def _atoms(self, check: Check) -> tuple[str, ...] | None:
        """Return the different leaves that a tree comes to; None if too many."""
        found: dict[str, None] = {}
        seen: set[str | None] = set()
        waiting = [check]
        while waiting:
            for leaf in leaves(waiting.pop()):
                if isinstance(leaf, RuleCheck):
                    name = self._rules.resolve(leaf.name)
                    if name is not None and name not in seen:
                        waiting.append(self._rules.rules[name].check)
                    seen.add(name)
                elif not isinstance(leaf, Always | Never):
                    found[str(leaf)] = None
        return tuple(found) if len(found) <= MOST_LEAVES else None


class _Columns:
    """The values of trees for every assignment of the same leaves, one bit each.

    What a rule comes to is worked out once, however many refer to it.
    """

    def __init__(self, rules: RuleSet, atoms: tuple[str, ...]) -> None:
        self.full = (1 << (1 << len(atoms))) - 1
        self._rules = rules
        self._atoms = {atom: _mask(at, len(atoms)) for at, atom in enumerate(atoms)}
        self._known: dict[str, int] = {}

    def bits(self, check: Check) -> int:
        """Return the value of a tree."""
        match check:
            case Always():
                return self.full
            case Never():
                return 0
            case Not(inner):
                return self.full & ~self.bits(inner)
            case And(parts):
                return reduce(and_, map(self.bits, parts), self.full)
            case Or(parts):
                return reduce(or_, map(self.bits, parts), 0)
            case RuleCheck(name):
                return self._follow(name)
        return self._atoms[str(check)]

    def _follow(self, name: str) -> int:
        """Return the value of the rule that a reference leads to."""
        found = self._rules.resolve(name)
        if found is None:
            return 0
        if found not in self._known:
            self._known[found] = self.bits(self._rules.rules[found].check)
        return self._known[found]


@cache
def _mask(index: int, count: int) -> int:
    """Return the column of one leaf: bit n is bit ``index`` of the number n."""
    return sum(1 << row for row in range(1 << count) if row >> index & 1)


def _without_one(check: Check) -> Iterator[tuple[Check, Check]]:
    """Yield each part of each "and" and "or", and the tree without it.

    Later parts come first, and a part before what it is made of.
    """
    match check:
        case Not(inner):
            for part, rest in _without_one(inner):
                yield part, Not(rest)
        case And(parts) | Or(parts):
            kind = And if isinstance(check, And) else Or
            for index in reversed(range(len(parts))):
                part = parts[index]
                others = parts[:index] + parts[index + 1 :]
                yield part, others[0] if len(others) == 1 else kind(others)
                for inner_part, rest in _without_one(part):
                    changed = (*parts[:index], rest, *parts[index + 1 :])
                    yield inner_part, kind(changed)
