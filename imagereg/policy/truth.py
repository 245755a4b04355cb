"""What rules can come to, whoever asks: truth tables, and parts without effect.

Every leaf counts as true or false independently of the others, so what is found
here holds for any caller and target.
"""

from collections.abc import Iterator
from dataclasses import dataclass

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
        full = (1 << (1 << len(atoms))) - 1
        masks = {atom: _mask(index, len(atoms)) for index, atom in enumerate(atoms)}
        return TruthTable(self._bits(check, masks, full), full)

    def idle_parts(self, check: Check) -> tuple[Check, ...]:
        """Return parts of "and" and "or" that could go and nothing would change.

        Of two parts that make each other needless, the later one is named.
        """
        atoms = self._atoms(check)
        if atoms is None:
            return ()
        full = (1 << (1 << len(atoms))) - 1
        masks = {atom: _mask(index, len(atoms)) for index, atom in enumerate(atoms)}
        wanted = self._bits(check, masks, full)
        found: list[Check] = []
        while True:
            for part, rest in _without_one(check):
                if self._bits(rest, masks, full) == wanted:
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

    def _bits(self, check: Check, masks: dict[str, int], full: int) -> int:
        match check:
            case Always():
                return full
            case Never():
                return 0
            case Not(inner):
                return full & ~self._bits(inner, masks, full)
            case And(parts):
                bits = full
                for part in parts:
                    bits &= self._bits(part, masks, full)
                return bits
            case Or(parts):
                bits = 0
                for part in parts:
                    bits |= self._bits(part, masks, full)
                return bits
            case RuleCheck(name):
                found = self._rules.resolve(name)
                if found is None:
                    return 0
                return self._bits(self._rules.rules[found].check, masks, full)
        return masks[str(check)]


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
