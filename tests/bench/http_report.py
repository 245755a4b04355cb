"""Results of the HTTP benchmark: a table, JSON, two of them compared, a picture."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Measure:
    """One load on one service.

    Attributes:
        name: what was asked, and how many images there were if that matters.
        cpu_ms: user and system time of all server processes for one request; None if
            the service's processes are not known.
        others: how many answers had a status that was not expected.
        failures: how many answers were 500 or above, or no answers.
    """

    name: str
    connections: int
    requests: int
    per_s: float
    cpu_ms: float | None
    p50_ms: float
    p99_ms: float
    others: int
    failures: int

    @property
    def label(self) -> str:
        """Name and connections, which together say what was measured."""
        return f"{self.name}, c={self.connections}"


def middle(turns: Sequence[Sequence[Measure]]) -> list[Measure]:
    """Return each service's measure of one turn, with what all turns answered.

    It is the turn in which the last cost the median of what it costs beside the first.
    """

    def ratio(turn: Sequence[Measure]) -> float:
        return (turn[-1].cpu_ms or 0.0) / (turn[0].cpu_ms or 1.0)

    chosen = sorted(turns, key=ratio)[len(turns) // 2]
    return [
        replace(
            measure,
            requests=sum(each.requests for each in rounds),
            others=sum(each.others for each in rounds),
            failures=sum(each.failures for each in rounds),
        )
        for measure, rounds in zip(chosen, zip(*turns, strict=True), strict=True)
    ]


@dataclass(frozen=True)
class Memory:
    """Memory of the largest server process after the loads on so many images.

    Attributes:
        resident_mib: with the database's pages, which all processes share.
        own_mib: without files.
        all_mib: of all processes together, without files; what they share counts once.
    """

    images: int
    resident_mib: float
    own_mib: float
    all_mib: float


@dataclass(frozen=True)
class Report:
    """All that one run measured.

    Attributes:
        service: what was measured, in the words of who did.
        load: the machine's load average before the run, to judge the figures by.
    """

    service: str
    cores: int
    load: float
    seconds: float
    measures: tuple[Measure, ...]
    memory: tuple[Memory, ...]

    @property
    def costs(self) -> dict[str, float]:
        """What each load costs in milliseconds of CPU a request, as far as known."""
        return {each.label: each.cpu_ms for each in self.measures if each.cpu_ms}

    def table(self) -> str:
        """Return the report for people."""
        lines = [
            f"{self.service}: {self.cores} cores, load {self.load:.1f} before, "
            f"{self.seconds:g} s a line",
            "",
            f"{'':<48}{'req/s':>9}{'CPU ms':>9}{'p50 ms':>9}{'p99 ms':>9}"
            f"{'others':>8}{'failed':>8}",
        ]
        for one in self.measures:
            cpu = "-" if one.cpu_ms is None else f"{one.cpu_ms:.2f}"
            lines.append(
                f"{one.label:<48}{one.per_s:>9.0f}{cpu:>9}{one.p50_ms:>9.2f}"
                f"{one.p99_ms:>9.2f}{one.others:>8}{one.failures:>8}"
            )
        lines += [
            f"{each.images} images: {each.resident_mib:.0f} MiB resident, "
            f"{each.own_mib:.0f} MiB of its own, in the largest process; "
            f"{each.all_mib:.0f} MiB in all processes"
            for each in self.memory
        ]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """Write the report for programs."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def read(path: Path) -> Report:
    """Return what `Report.write` wrote."""
    found = json.loads(path.read_text())
    found["measures"] = tuple(Measure(**each) for each in found["measures"])
    found["memory"] = tuple(Memory(**each) for each in found["memory"])
    return Report(**found)


def compare(one: Report, other: Report) -> str:
    """Return what both measured, side by side; second to first."""
    lines = [
        f"{'CPU ms a request':<48}{one.service[:12]:>13}{other.service[:12]:>13}"
        f"{'ratio':>8}{'req/s':>10}{'req/s':>10}{'p99 ms':>10}{'p99 ms':>10}"
    ]
    known = {each.label: each for each in other.measures}
    for first in one.measures:
        second = known.get(first.label)
        if second is None:
            continue
        ratio = "-"
        if first.cpu_ms and second.cpu_ms is not None:
            ratio = f"{second.cpu_ms / first.cpu_ms:.3f}"
        lines.append(
            f"{first.label:<48}{_number(first.cpu_ms):>13}{_number(second.cpu_ms):>13}"
            f"{ratio:>8}{first.per_s:>10.0f}{second.per_s:>10.0f}"
            f"{first.p99_ms:>10.1f}{second.p99_ms:>10.1f}"
        )
    lines += list(_compared_memory(one, other))
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _compared_memory(one: Report, other: Report) -> Iterator[str]:
    sizes = {each.images: each for each in other.memory}
    for first in one.memory:
        second = sizes.get(first.images)
        if second is None:
            continue
        for what, had, has in (
            ("MiB of its own", first.own_mib, second.own_mib),
            ("MiB in all processes", first.all_mib, second.all_mib),
        ):
            yield (
                f"{f'{what}, {first.images} images':<48}"
                f"{had:>13.0f}{has:>13.0f}{has / had:>8.3f}"
            )


#: Colours of the first and the second report.
COLOURS = ("#4878a8", "#d08a3c")
LEFT, WIDTH, BAR, GAP = 330, 460, 9, 10


def plot(reports: Sequence[Report]) -> str:
    """Return an SVG picture of CPU time for each request, on a logarithmic axis."""
    known = [report.costs for report in reports]
    labels = [each.label for each in reports[0].measures if each.label in known[0]]
    times = [value for each in known for value in each.values()] or [1.0]
    low = math.floor(math.log10(min(times)))
    high = max(low + 1, math.ceil(math.log10(max(times))))
    step = BAR * len(reports) + GAP
    height = 60 + step * len(labels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 80}" '
        f'height="{height}" font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="10" y="18" font-size="13">CPU of the server, ms a request</text>',
    ]
    for number, report in enumerate(reports):
        x = LEFT + 200 * number
        parts.append(
            f'<rect x="{x}" y="9" width="10" height="10" fill="{COLOURS[number]}"/>'
            f'<text x="{x + 15}" y="18">{_escaped(report.service)}</text>'
        )
    for power in range(low, high + 1):
        at = LEFT + WIDTH * (power - low) / (high - low)
        parts.append(
            f'<line x1="{at:.0f}" y1="40" x2="{at:.0f}" y2="{height}" stroke="#ddd"/>'
            f'<text x="{at:.0f}" y="36" text-anchor="middle">{10.0**power:g}</text>'
        )
    for row, label in enumerate(labels):
        top = 48 + step * row
        parts.append(
            f'<text x="{LEFT - 8}" y="{top + 9}" text-anchor="end">'
            f"{_escaped(label)}</text>"
        )
        for number, values in enumerate(known):
            if label not in values:
                continue
            value = values[label]
            width = WIDTH * (math.log10(value) - low) / (high - low)
            y = top + BAR * number
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{max(1.0, width):.1f}" '
                f'height="{BAR - 1}" fill="{COLOURS[number]}"/>'
                f'<text x="{LEFT + width + 4:.1f}" y="{y + 8}" font-size="9">'
                f"{value:.2f}</text>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
