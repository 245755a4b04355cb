"""Who refers to whom: unknown names, circles and depth, found before any decision.

Source: contract policy 1.4, rulings P-1 and P-2.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from imagereg.policy.checks import Check, depth, references
from imagereg.policy.language import MAX_DEPTH


@dataclass(frozen=True, slots=True)
class References:
    """How the rules of one set hang together.

    Attributes:
        order: every name, behind all that it refers to.
        faults: name of a rule and what is wrong with it.
    """

    order: tuple[str, ...]
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
    return References(order, tuple(faults))


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
