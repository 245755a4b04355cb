"""What the service shall cost, in parts of what the other one costs in the same run."""

from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.http_cases import GROWING
from tests.bench.http_report import Report

#: From so many images on, a filtered list shall cost less than a twentieth.
MANY = 10_000


@dataclass(frozen=True)
class Verdict:
    """One target and what came of it.

    Attributes:
        bound: what the ratio shall not exceed.
    """

    what: str
    ratio: float
    bound: float

    def line(self) -> str:
        """Return the verdict for people."""
        holds = "holds" if self.ratio <= self.bound else "DOES NOT HOLD"
        return f"{self.what:<56}{self.ratio:>8.3f}  <= {self.bound:<6.3f} {holds}"


def judge(theirs: Report, ours: Report) -> str:
    """Return every target, a line each, and whether it holds."""
    found = [*_costs(theirs, ours), *_alone(ours), *_memory(theirs, ours)]
    return "".join(f"{each.line()}\n" for each in found)


def _costs(theirs: Report, ours: Report) -> Iterator[Verdict]:
    known = theirs.costs
    for label, cost in ours.costs.items():
        bound = _bound(label)
        if bound is not None and label in known:
            yield Verdict(f"CPU: {label}", cost / known[label], bound)


def _bound(label: str) -> float | None:
    """Return what our share of the other's CPU time may be."""
    if "protections" in label:
        return None
    if label.startswith("list 100"):
        return 1 / 15
    if label.startswith("list"):
        size = int(label.rpartition(" of ")[2].partition(",")[0])
        return 1 / 20 if size >= MANY else 1 / 8
    return 1 / 8 if label.startswith(("show", "create")) else None


def _alone(ours: Report) -> Iterator[Verdict]:
    """Yield what is compared with nobody: growth, protections, failures."""
    costs = ours.costs
    sizes = sorted({each.images for each in ours.memory})
    for kind in GROWING:
        few, many = (
            costs.get(f"{kind} of {size}, in turn, c=1")
            for size in (sizes[0], sizes[-1])
        )
        if few and many and len(sizes) > 1:
            what = f"growth: {kind}, {sizes[0]} to {sizes[-1]}"
            yield Verdict(what, many / few, 1.25)
    for label, cost in costs.items():
        plain = costs.get(label.replace(", 20 protections", ", no protections"))
        if ", 20 protections" in label and plain:
            yield Verdict(f"20 sections: {label}", cost / plain, 1.05)
    failed = sum(each.failures for each in ours.measures)
    yield Verdict("failures in all loads of ours", failed, 0)


def _memory(theirs: Report, ours: Report) -> Iterator[Verdict]:
    had = {each.images: each for each in theirs.memory}
    for has in ours.memory:
        if has.images in had:
            other = had[has.images]
            what = f"{has.images} images"
            yield Verdict(
                f"memory, largest process, {what}", has.own_mib / other.own_mib, 0.5
            )
            yield Verdict(
                f"memory, all processes, {what}", has.all_mib / other.all_mib, 0.5
            )
