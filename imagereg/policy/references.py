"""Who refers to whom: unknown names, circles and depth, found before any decision.

Source: contract policy 1.4, rulings P-1 and P-2.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from imagereg.policy.checks import Check, RuleCheck, depth, leaves, references
from imagereg.policy.language import MAX_DEPTH

#: What one decision may come to if every check is asked, through all references.
#: Without an end to it, thirty short rules would keep a decision busy for hours.
MOST_CHECKS = 100_000


@dataclass(frozen=True, slots=True)
class References:
    """How the rules of one set hang together.

    Attributes:
        order: every name, behind all that it refers to.
        sizes: name of a rule -> the checks that a decision comes to at most.
        faults: name of a rule and what is wrong with it.
    """

    order: tuple[str, ...]
    sizes: Mapping[str, int]
    faults: tuple[tuple[str, str], ...]


def examine(
    checks: Mapping[str, Check],
    resolve: Callable[[str], str | None],
    *,
    refuse_unknown: bool,
) -> References:
    """Return order and faults of ``checks``.

    ``resolve`` returns the name of the rule that a reference leads to, or None.
    """
    faults: list[tuple[str, str]] = []
    graph: dict[str, set[str]] = {}
    for name, check in checks.items():
        graph[name] = set()
        for reference in dict.fromkeys(references(check)):
            found = resolve(reference)
            if found is not None:
                graph[name].add(found)
            elif refuse_unknown:
                faults.append((name, f"refers to unknown rule `{reference}`"))
    faults.extend(_break_circles(graph))
    order = tuple(TopologicalSorter(graph).static_order())
    faults.extend(_too_deep(checks, graph, order))
    sizes, too_large = _measure(checks, order, resolve)
    faults.extend(too_large)
    return References(order, sizes, tuple(faults))


def _break_circles(graph: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield one fault per circle, and cut each of them in ``graph``."""
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # The sorter names each rule before the one that refers to it.
            circle = error.args[1][:0:-1]
            start = circle.index(min(circle))
            names = [*circle[start:], *circle[: start + 1]]
            graph[names[0]].discard(names[1])
            yield names[0], f"refers to itself: {' -> '.join(names)}"
        else:
            return


def _too_deep(
    checks: Mapping[str, Check], graph: Mapping[str, set[str]], order: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Yield a fault for each rule that first exceeds the depth a decision can have."""
    depths: dict[str, int] = {}
    for name in order:
        below = max((depths[found] for found in graph[name]), default=0)
        depths[name] = depth(checks[name]) + below
        if depths[name] > MAX_DEPTH >= below:
            yield name, "too deeply nested, through the rules it refers to"


def _measure(
    checks: Mapping[str, Check],
    order: tuple[str, ...],
    resolve: Callable[[str], str | None],
) -> tuple[Mapping[str, int], Sequence[tuple[str, str]]]:
    """Return the size of each rule, and a fault for each that first grows too large.

    A rule may be as long as it is written: only references make it grow.
    """
    sizes: dict[str, int] = {}
    faults: list[tuple[str, str]] = []
    large: set[str] = set()
    for name in order:
        found = map(resolve, references(checks[name]))
        known = [one for one in found if one is not None and one in sizes]
        below = [sizes[one] for one in known]
        own = sum(1 for leaf in leaves(checks[name]) if not isinstance(leaf, RuleCheck))
        sizes[name] = own + sum(below)
        if not large.isdisjoint(known):
            large.add(name)
        elif sum(below) > max([MOST_CHECKS, *below]):
            large.add(name)
            told = f"comes to more than {MOST_CHECKS} checks"
            faults.append((name, f"{told}, through the rules it refers to"))
    return sizes, faults
