"""What requests cost over HTTP: show, list, create, change, and decisions on the way.

    python -m tests.bench.bench_http --images 1000 10000 100000 --json ours.json
    python -m tests.bench.bench_http --database postgresql --json postgresql.json
    python -m tests.bench.bench_http --url http://HOST:9292 --pids 17,18 --json its.json
    python -m tests.bench.bench_http --compare its.json ours.json --plot both.svg
    python -m tests.bench.bench_http --beside 'COMMAND {port} {images} {protections}'

Starts a server of two processes with images of 15 properties and 3 tags, and measures
from outside: requests per second, CPU time of all server processes, latencies, memory.
The database is SQLite, or a PostgreSQL or MariaDB server that syncs what it commits;
the CPU time of such a server is not counted.  Any other Image service is measured by
its URL: with the images it has, or after ``--fill N``; its CPU time if its processes
are on this machine and named.  Both sides share the machine, so compare only what one
machine measured at rest.

``--beside`` does so in one run.  The command serves so many images in the foreground,
with that file of protections if one is named, until SIGTERM.  Both services are
measured in turn, line by line, and in the end the targets are judged.  What ``--json
both.json`` writes of the other service is in ``both.other.json``.

What is compared with its like, few images with many and protections with none, is
measured in short rounds in turn.  No machine is at rest, so the turn counts in which
one cost the median of what it costs beside the other: both meet the same moment.
Under load 7, two servers alike were within 5 % of each other in six tries.

Where the time goes (py-spy, cProfile and strace, 1,000 images):

- show: a little less than half is the application, the rest gunicorn and its sockets;
- of the application, asking Werkzeug for each header of a caller was a third, which is
  why they are read in one pass; finding the image is a tenth, half of it in SQLite;
- rules and ownership together are less than a twentieth;
- on 16 connections, four fifths of the samples that held the interpreter's lock were
  gunicorn's main loop, then threads that took turns at it: see `leaders.py`;
- create: a third was Peewee writing the text of three statements, now none;
- half is SQLite: sixteen indexes, fifteen properties, one sync of the log;
- copying the log back every 1,000 pages was a quarter of it; 4,000 are cheaper;
- list 100: two fifths collect properties and tags, a third builds the values,
  a fifth finds the page, however many images there are;
- of 100,000 images SQLite takes 7 % more instructions for it than of 1,000, by age
  and by name, but misses a cache of 1 MiB five to eight times as often (cachegrind):
  a tenth more of the page's time in the database, up to a half if others use it too.

- memory: 37 MiB are code, which processes share until they write to it; a thread
  that has listed adds some 0.7, and 3 when SQLite kept 128 statements for each.

No cache of answers or rows is behind any of this: each request reads the database,
and each acknowledged write is synced.  What is kept relies on this: verdicts about
properties follow from one content of the protection file and a set of roles, and go
with the file's next content; prepared statements follow the schema, as SQLite sees to;
a connection beyond the pool's size is asked whether it is clean, as all are.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from tests import databases
from tests.bench import http_report
from tests.bench.http_cases import GROWING, LISTS, PROTECTED, SINGLE, Case
from tests.bench.http_report import Report
from tests.bench.http_run import Processes, Run
from tests.bench.http_services import at, beside, serving
from tests.bench.http_targets import judge

#: How often what is compared with its like is measured in turn, and how long each
#: time, as a share of what a line takes.  What a machine does besides stays for
#: seconds: it meets all alike only if a round is much shorter.
ROUNDS, SHARE = 45, 1 / 10


@dataclass
class Comparison:
    """A server of our own, and beside it another service if ``command`` runs one.

    Attributes:
        sizes: numbers of images.
        seconds: for each line.
        most: connections at a time.
        ours: what was measured of ours, by server.
        theirs: what was measured of the other service, likewise.
    """

    sizes: Sequence[int]
    seconds: float
    most: int
    database: databases.Service | None = None
    command: str | None = None
    name: str = "other"
    ours: list[Run] = field(default_factory=list)
    theirs: list[Run] = field(default_factory=list)

    def measure(self) -> tuple[Report, ...]:
        """Measure at each size, then with protections; ours is the last report."""
        begun = os.getloadavg()[0]
        with ExitStack() as running:
            for number, size in enumerate(self.sizes):
                own = running.enter_context(self._own(size))
                with self._beside(size) as others:
                    runs = [*others, own]
                    for case, run in product(LISTS, runs):
                        run.over([case], f" of {size}", self.most)
                    if number == 0:
                        for case, run in product(SINGLE, runs):
                            run.over([case], "", self.most)
                    for run in runs:
                        run.note_memory(size)
            self._compare_sizes()
        self._compare_protections(self.sizes[0])
        name = f"imagereg on {self.database.kind}" if self.database else "imagereg"
        known = ((self.name, self.theirs), (name, self.ours))
        return tuple(report(name, begun, runs) for name, runs in known if runs)

    @contextmanager
    def _own(self, images: int, *, protected: bool = False) -> Iterator[Run]:
        own = serving(images, protected=protected, database=self.database)
        with own as (service, processes):
            self.ours.append(Run(service, processes, self.seconds))
            yield self.ours[-1]

    @contextmanager
    def _beside(self, images: int, *, protected: bool = False) -> Iterator[list[Run]]:
        """Run the other service, if there is one."""
        if self.command is None:
            yield []
            return
        with beside(self.command, images, protected=protected) as (service, processes):
            self.theirs.append(Run(service, processes, self.seconds))
            yield self.theirs[-1:]

    def _compare_sizes(self) -> None:
        """Measure in turn what shall cost the same with few images and with many."""
        few, many = self.sizes[0], self.sizes[-1]
        if few == many:
            return
        large = self.ours[-1]
        # A server of its own: what was created since made the first one larger.
        with self._own(few) as small:
            ends = [(small, f" of {few}, in turn"), (large, f" of {many}, in turn")]
            for case in LISTS:
                if case.name in GROWING:
                    in_turn(case, ends)

    def _compare_protections(self, size: int) -> None:
        """Measure with protections; ours in turn without, on a server as fresh."""
        named = {case.name: case for case in (*LISTS, *SINGLE)}
        with (
            self._beside(size, protected=True) as others,
            self._own(size) as plain,
            self._own(size, protected=True) as guarded,
        ):
            for name in PROTECTED:
                suffix = f" of {size}" if name.startswith("list") else ""
                case = replace(named[name], connections=(1,))
                for run in others:
                    run.over([case], f"{suffix}, 20 protections")
                arms = ((plain, "no"), (guarded, "20"))
                in_turn(
                    case, [(run, f"{suffix}, {many} protections") for run, many in arms]
                )


def in_turn(case: Case, arms: Sequence[tuple[Run, str]]) -> None:
    """Measure a case on several services in turn; the median turn counts.

    Every other turn goes the other way, so that what else the machine does meets
    all alike.
    """
    turns = []
    for number in range(ROUNDS):
        step = -1 if number % 2 else 1
        turn = [run.measure(case, 1, suffix, SHARE) for run, suffix in arms[::step]]
        turns.append(turn[::step])
    for measure, (run, _) in zip(http_report.middle(turns), arms, strict=True):
        run.measures.append(measure)


def report(name: str, begun: float, runs: Sequence[Run]) -> Report:
    """Return all that was measured of one service, by run."""
    return Report(
        name,
        os.cpu_count() or 1,
        begun,
        runs[0].seconds,
        tuple(each for run in runs for each in run.measures),
        tuple(each for run in runs for each in run.memory),
    )


def other(options: argparse.Namespace) -> Report:
    """Measure a service that runs somewhere."""
    begun = os.getloadavg()[0]
    service = at(options.url, options.token)
    processes = Processes(options.pids) if options.pids else None
    run = Run(service, processes, options.seconds)
    service.fill(options.fill)
    (size,) = options.images[:1]
    run.over(LISTS, f" of {size}", options.connections)
    if not options.only_lists:
        run.over(SINGLE, "", options.connections)
    run.note_memory(size)
    return report(options.name, begun, [run])


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
    parser.add_argument(
        "--beside", metavar="COMMAND", help="measure what it serves too"
    )
    parser.add_argument("--name", default="other", help="what to call that service")
    parser.add_argument("--token", help="sent to it as X-Auth-Token")
    parser.add_argument("--pids", type=_numbers, help="its processes: 17,18")
    parser.add_argument("--fill", type=int, default=0, help="create so many first")
    parser.add_argument("--only-lists", action="store_true")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--compare", type=Path, nargs=2, help="two results")
    parser.add_argument("--plot", type=Path, help="draw an SVG picture there")
    return parser.parse_args(arguments)


def _own(options: argparse.Namespace) -> tuple[Report, ...]:
    measured = Comparison(
        options.images,
        options.seconds,
        options.connections,
        command=options.beside,
        name=options.name,
    )
    if options.database == "sqlite":
        return measured.measure()
    measured.database = databases.Service(options.database, durable=True)
    try:
        return measured.measure()
    finally:
        measured.database.stop(wipe=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or compare what was measured."""
    options = options_of(arguments)
    out = sys.stdout
    reports: Sequence[Report]
    if options.compare:
        reports = [http_report.read(path) for path in options.compare]
        out.write(http_report.compare(*reports))
    else:
        reports = (other(options),) if options.url else _own(options)
        out.write("\n".join(each.table() for each in reports))
        if options.json:
            reports[-1].write(options.json)
    if options.beside:
        if options.json:
            reports[0].write(options.json.with_suffix(".other.json"))
        out.write("\n" + http_report.compare(*reports) + "\n" + judge(*reports))
    if options.plot:
        options.plot.write_text(http_report.plot(reports))


if __name__ == "__main__":
    main()
