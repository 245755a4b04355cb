"""What requests cost over HTTP: show, list, create, change, and decisions on the way.

    python -m tests.bench.bench_http --images 1000 10000 100000 --json ours.json
    python -m tests.bench.bench_http --database postgresql --json postgresql.json
    python -m tests.bench.bench_http --url http://HOST:9292 --pids 17,18 --json its.json
    python -m tests.bench.bench_http --compare its.json ours.json --plot both.svg

Starts a server of two processes with images of 15 properties and 3 tags, and measures
from outside: requests per second, CPU time of all server processes, latencies, memory.
The database is SQLite, or a PostgreSQL or MariaDB server that syncs what it commits;
the CPU time of such a server is not counted.  Any other Image service is measured by
its URL: with the images it has, or after ``--fill N``; its CPU time if its processes
are on this machine and named.  Both sides share the machine, so compare only what one
machine measured at rest.

Where the time goes (py-spy, cProfile and strace, 1,000 images):

- show: a little less than half is the application, the rest gunicorn and its sockets;
- of the application, asking Werkzeug for each header of a caller was a third, which is
  why they are read in one pass; finding the image is a tenth, half of it in SQLite;
- rules and ownership together are less than a twentieth;
- on 16 connections, four fifths of the samples that held the interpreter's lock were
  gunicorn's main loop, which is why a thread now stays with a busy connection;
- create: a third was Peewee writing the text of three statements, now none;
- half is SQLite: sixteen indexes, fifteen properties, one sync of the log;
- copying the log back every 1,000 pages was a quarter of it; 4,000 are cheaper;
- list 100: two fifths collect properties and tags, a third builds the values,
  a fifth finds the page, however many images there are.

No cache of answers or rows is behind any of this: each request reads the database,
and each acknowledged write is synced.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from imagereg.db.engine import Engine
from imagereg.db.schema import prepare
from tests import databases
from tests.bench import http_report
from tests.bench.bench_lists import seed
from tests.bench.http_cases import (
    LISTS,
    PROTECTED,
    SECTIONS,
    SINGLE,
    Case,
    Service,
)
from tests.bench.http_load import load
from tests.bench.http_report import Measure, Memory, Report
from tests.server import Server

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Processes:
    """What the kernel counts about the processes of a service.

    Attributes:
        pids: the processes; whatever they start counts too.
    """

    pids: tuple[int, ...]

    def cpu_s(self) -> float:
        """Return user and system time."""
        return sum(self._ticks(each) for each in self._all()) / TICKS_PER_S

    def _ticks(self, folder: Path) -> int:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

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
        """Return what the largest process has resident."""
        found = []
        for folder in self._all():
            status = dict(
                line.split(":", 1)
                for line in (folder / "status").read_text().splitlines()
            )
            found.append(
                Memory(
                    images,
                    int(status["VmRSS"].split()[0]) / 1024,
                    int(status["RssAnon"].split()[0]) / 1024,
                )
            )
        return max(found, key=lambda each: each.own_mib)


@dataclass
class Run:
    """One service under measurement.

    Attributes:
        processes: None if they are not known.
    """

    service: Service
    processes: Processes | None
    seconds: float
    measures: list[Measure]
    memory: list[Memory]

    def over(self, cases: Sequence[Case], suffix: str = "", most: int = 64) -> None:
        """Measure each case with each number of connections up to ``most``."""
        ids = self.service.ids()
        for case in cases:
            for connections in case.connections:
                if connections <= most:
                    self._one(case, ids, connections, suffix)

    def _one(self, case: Case, ids: list[str], connections: int, suffix: str) -> None:
        address = self.service.address
        requests = case.make(self.service, ids)
        load(address, requests, connections=connections, seconds=self.seconds / 10)
        before = self._cpu_s()
        outcome = load(address, requests, connections=connections, seconds=self.seconds)
        spent = self._cpu_s() - before
        statuses = outcome.statuses
        self.measures.append(
            Measure(
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
        )

    def _cpu_s(self) -> float:
        return self.processes.cpu_s() if self.processes else 0.0

    def note_memory(self, images: int) -> None:
        """Look at the memory, where there is a process to look at."""
        if self.processes is not None:
            self.memory.append(self.processes.memory(images))


@contextmanager
def serving(
    images: int, *, protected: bool = False, database: databases.Service | None = None
) -> Iterator[tuple[Server, Service]]:
    """Run a server of two processes that has so many images, on SQLite if on none."""
    config: dict[str, dict[str, object]] = {"DEFAULT": {}}
    if protected:
        config["DEFAULT"]["property_protection_file"] = "{dir}/etc/protections.conf"
    with tempfile.TemporaryDirectory() as folder:
        url = database.database(folder) if database else databases.of(Path(folder))
        config["database"] = {"connection": url}
        server = Server(
            Path(folder), config, files={"protections.conf": SECTIONS}, workers=2
        )
        engine = Engine.connect(url, synchronous=False)
        prepare(engine)
        seed(engine, images)
        engine.close()
        server.start()
        try:
            yield server, at(server.base)
        finally:
            server.kill9()


def at(url: str, token: str | None = None) -> Service:
    """Return the service at a URL."""
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    address = (host, parts.port or 80)
    headers = {"X-Auth-Token": token} if token else None
    return Service(address, parts.netloc, parts.path.rstrip("/"), headers)


def own(
    sizes: Sequence[int],
    seconds: float,
    most: int,
    database: databases.Service | None = None,
) -> Report:
    """Measure a server of our own at each size, then with protections."""
    begun = os.getloadavg()[0]
    measures: list[Measure] = []
    memory: list[Memory] = []
    for number, size in enumerate(sizes):
        with serving(size, database=database) as (server, service):
            run = Run(service, _of(server), seconds, measures, memory)
            run.over(LISTS, f" of {size}", most)
            if number == 0:
                run.over(SINGLE, "", most)
            run.note_memory(size)
    protecting = serving(sizes[0], protected=True, database=database)
    with protecting as (server, service):
        run = Run(service, _of(server), seconds, measures, memory)
        named = {case.name: case for case in (*LISTS, *SINGLE)}
        for name in PROTECTED:
            suffix = f" of {sizes[0]}" if name.startswith("list") else ""
            single = replace(named[name], connections=(1,))
            run.over((single,), f"{suffix}, 20 protections", most)
    name = f"imagereg on {database.kind}" if database else "imagereg"
    return Report(
        name, os.cpu_count() or 1, begun, seconds, tuple(measures), tuple(memory)
    )


def _of(server: Server) -> Processes:
    assert server.process is not None
    return Processes((server.process.pid,))


def other(options: argparse.Namespace) -> Report:
    """Measure a service that runs somewhere."""
    begun = os.getloadavg()[0]
    service = at(options.url, options.token)
    processes = Processes(options.pids) if options.pids else None
    run = Run(service, processes, options.seconds, [], [])
    service.fill(options.fill)
    (size,) = options.images[:1]
    run.over(LISTS, f" of {size}", options.connections)
    if not options.only_lists:
        run.over(SINGLE, "", options.connections)
    run.note_memory(size)
    return Report(
        options.name,
        os.cpu_count() or 1,
        begun,
        options.seconds,
        tuple(run.measures),
        tuple(run.memory),
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--seconds", type=float, default=3, help="for each line")
    parser.add_argument("--connections", type=int, default=64, help="at most")
    parser.add_argument(
        "--database", choices=("sqlite", "postgresql", "mariadb"), default="sqlite"
    )
    parser.add_argument("--url", help="measure the service there, not one of our own")
    parser.add_argument("--name", default="other", help="what to call that service")
    parser.add_argument("--token", help="sent to it as X-Auth-Token")
    parser.add_argument("--pids", type=_numbers, help="its processes: 17,18")
    parser.add_argument("--fill", type=int, default=0, help="create so many first")
    parser.add_argument("--only-lists", action="store_true")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--compare", type=Path, nargs=2, help="two results")
    parser.add_argument("--plot", type=Path, help="draw an SVG picture there")
    return parser.parse_args(arguments)


def _own(options: argparse.Namespace) -> Report:
    measured = (options.images, options.seconds, options.connections)
    if options.database == "sqlite":
        return own(*measured)
    database = databases.Service(options.database, durable=True)
    try:
        return own(*measured, database)
    finally:
        database.stop(wipe=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or compare what was measured."""
    options = options_of(arguments)
    out = sys.stdout
    if options.compare:
        reports = [http_report.read(path) for path in options.compare]
        out.write(http_report.compare(*reports))
    else:
        report = other(options) if options.url else _own(options)
        reports = [report]
        out.write(report.table())
        if options.json:
            report.write(options.json)
    if options.plot:
        options.plot.write_text(http_report.plot(reports))


if __name__ == "__main__":
    main()
