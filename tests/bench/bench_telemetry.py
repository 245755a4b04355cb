"""What it costs to be watched: with and without logs, metrics and the audit record.

The same server is started in each way; each is asked in turn, many times, and what
counts is the time that its process has spent on the processor.  Whatever else runs on
the machine only adds to it, so the least of all turns is nearest to the truth; the
shorter they are, the more of them nothing disturbs.

    python -m tests.bench.bench_telemetry --requests 25 --turns 400
    python -m tests.bench.bench_telemetry --ask create --requests 25 --turns 100
"""

import argparse
import http.client
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.registry import merged
from tests.server import Config, Server
from tests.wire import as_

_QUIET: Config = {"DEFAULT": {"default_log_levels": "imagereg.requests=WARNING"}}

#: Name -> configuration; the first is what the others are compared with.
WAYS: dict[str, Config] = {
    "quiet": _QUIET,
    "text lines": {"DEFAULT": {"log_dir": "{dir}"}},
    "text, numbers": {
        "DEFAULT": {"log_dir": "{dir}"},
        "imagereg": {"metrics": "true"},
    },
    "JSON lines": {"DEFAULT": {"log_dir": "{dir}", "use_json": "true"}},
    "audit record": merged(_QUIET, {"imagereg": {"audit_log": "{dir}/audit.jsonl"}}),
}

#: What is asked for -> method and body; the path of what is shown ends with an id.
ASKS = {
    "show": ("GET", None),
    "create": ("POST", b'{"disk_format": "raw", "container_format": "bare"}'),
}


class Asked:
    """One server and the image that it is asked for."""

    def __init__(self, where: Path, config: Config, ask: str) -> None:
        self.server = Server(where, config).start()
        alice = self.server.client()
        self._method, self._body = ASKS[ask]
        self._path = "/v2/images"
        if ask == "show":
            self._path += f"/{alice.create(name='one')['id']}"
        self._headers = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            **as_(),
        }
        self._wire = alice.connect()

    def cpu_us(self, requests: int) -> float:
        """Return what one request costs the server's processes, in microseconds."""
        # Servers hang up on whoever is silent for long; to connect is not measured.
        self._wire.close()
        self._ask()
        before = self._spent_s()
        for _ in range(requests):
            self._ask()
        return (self._spent_s() - before) / requests * 1e6

    def _ask(self) -> None:
        self._wire.request(self._method, self._path, self._body, self._headers)
        answer = self._wire.getresponse()
        answer.read()
        assert answer.status in (http.client.OK, http.client.CREATED)

    def close(self) -> None:
        """Hang up, and end the server."""
        self._wire.close()
        self.server.stop()

    def _spent_s(self) -> float:
        assert self.server.process is not None
        pid = self.server.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        # The clock of another process's time, with that of threads that ended.
        return sum(time.clock_gettime(~int(child) << 3 | 2) for child in children)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=25)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--ask", choices=ASKS, default="show")
    wanted = parser.parse_args(arguments)
    costs: dict[str, list[float]] = {name: [] for name in WAYS}
    with ExitStack() as running:
        asked = {}
        for name, config in WAYS.items():
            where = running.enter_context(tempfile.TemporaryDirectory())
            asked[name] = Asked(Path(where), config, wanted.ask)
            running.callback(asked[name].close)
            asked[name].cpu_us(max(wanted.requests // 5, 1))
        for _ in range(wanted.turns):
            for name, each in asked.items():
                costs[name].append(each.cpu_us(wanted.requests))
    base = costs[next(iter(WAYS))]
    print(f"{wanted.ask} an image, {os.cpu_count()} cores, {wanted.turns} turns:")  # noqa: T201 - it is a report
    for name, found in costs.items():
        least, ratio = min(found), min(found) / min(base)
        middle = statistics.median(found)
        print(f"{name:>14}: {least:7.1f} us, median {middle:7.1f}, ratio {ratio:.3f}")  # noqa: T201 - as above


if __name__ == "__main__":
    main()
