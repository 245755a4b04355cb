"""Who is measured by the HTTP benchmark, and how: its processes and its answers."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.bench.http_cases import Case, Service
from tests.bench.http_load import load
from tests.bench.http_report import Measure, Memory


@dataclass(frozen=True)
class Processes:
    """What the kernel counts about the processes of a service.

    Attributes:
        pids: the processes; whatever they start counts too.
    """

    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Return user and system time, of threads that ended too."""
        return sum(_cpu_s(int(each.name)) for each in self._all())

    def _all(self) -> Iterator[Path]:
        parents = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # It ended meanwhile.
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
        for pid in parents:
            above: int | None = pid
            while above is not None and above not in self.pids:
                above = parents.get(above)
            if above is not None:
                yield Path("/proc") / str(pid)

    def memory(self, images: int) -> Memory:
        """Return what the largest process has resident, and what all have together."""
        folders = list(self._all())
        found = [_mib(folder / "status") for folder in folders]
        largest = max(found, key=lambda each: each["RssAnon"])
        return Memory(
            images,
            largest["VmRSS"],
            largest["RssAnon"],
            sum(_mib(folder / "smaps_rollup")["Pss_Anon"] for folder in folders),
        )


def _cpu_s(pid: int) -> float:
    """Return what a process used.

    Its own clock knows nanoseconds, where `/proc` counts in hundredths of a second.

    Source: clock_getcpuclockid(3), and its number in Linux' posix-timers.h.
    """
    return time.clock_gettime(~pid << 3 | 2)


def _mib(path: Path) -> dict[str, float]:
    """Return the quantities that a file of the kernel tells in KiB."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return {
        words[0].rstrip(":"): int(words[1]) / 1024
        for words in lines
        if words[2:] == ["kB"]
    }


@dataclass
class Run:
    """One service under measurement.

    Attributes:
        processes: None if they are not known.
    """

    service: Service
    processes: Processes | None
    seconds: float
    measures: list[Measure] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)

    def over(self, cases: Sequence[Case], suffix: str = "", most: int = 64) -> None:
        """Measure each case with each number of connections up to ``most``."""
        for case in cases:
            for connections in case.connections:
                if connections <= most:
                    self.measures.append(self.measure(case, connections, suffix))

    @cached_property
    def _ids(self) -> list[str]:
        return self.service.ids()

    def measure(
        self, case: Case, connections: int, suffix: str, share: float = 1
    ) -> Measure:
        """Return what one load came to, which lasts that share of the seconds."""
        ids, address, seconds = self._ids, self.service.address, self.seconds * share
        requests = case.make(self.service, ids)
        load(address, requests, connections=connections, seconds=seconds / 10)
        before = self._cpu_s()
        outcome = load(address, requests, connections=connections, seconds=seconds)
        spent = self._cpu_s() - before
        statuses = outcome.statuses
        return Measure(
            name=f"{case.name}{suffix}",
            connections=connections,
            requests=outcome.requests,
            per_s=outcome.requests / outcome.seconds,
            cpu_ms=spent * 1000 / outcome.requests if self.processes else None,
            p50_ms=outcome.percentile(0.5) * 1000,
            p99_ms=outcome.percentile(0.99) * 1000,
            others=sum(n for s, n in statuses.items() if s not in case.expected),
            failures=sum(n for s, n in statuses.items() if s == 0 or s >= 500),
        )

    def _cpu_s(self) -> float:
        return self.processes.cpu_s() if self.processes else 0.0

    def note_memory(self, images: int) -> None:
        """Look at the memory, where there is a process to look at."""
        if self.processes is not None:
            self.memory.append(self.processes.memory(images))
