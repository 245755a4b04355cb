"""Transfers through the server, against what the machine could do at best.

    python -m tests.bench.bench_targets --mib 1024 --rounds 3

Each target is a ratio, measured in pairs: the floor and the transfer in turn, round
by round, so that what else happens on the machine happens to both.  Of the pairs the
best and the median are shown; on a shared machine the best is nearer to the truth.

| floor | what is measured against it |
|---|---|
| MD5 and SHA-512 in two threads, no I/O | rate of uploads; both cores are ours |
| the same in one thread, another process busy | rate of uploads beside that process |
| CPU of hashing and writing in a plain loop | CPU of the server during an upload |
| CPU of nginx sending the file | CPU of the server during a download |

Two cores at rest, 1 GiB, best and median of three rounds (two in the last line, in the
same quarter of an hour):

| target | sized | chunks of 1 MiB | chunks of 64 KiB |
|---|---|---|---|
| rate / hashing in 2 threads | 0.79, 0.77 | 0.89, 0.86 | 0.73, 0.71 |
| rate beside a busy core / 1 thread | 0.82, 0.79 | 0.85, 0.85 | 0.80, 0.80 |
| CPU / plain loop | 0.56, 0.86 | 0.59, 0.86 | 0.61, 0.93 |
| rate before `bypass`, through the page cache | 0.65, 0.62 | 0.64, 0.60 | 0.71, 0.67 |

The floor was 660 to 710 MiB/s; one round differs from the next by a tenth.  Blocks of
2 or 4 MiB past the cache are slower: while one is written nothing is received, and the
lanes of hashing run dry.  Before buffers were kept (`server._keep_buffers`) an upload
cost 6 to 10 % more CPU, and before small chunks were joined (`store.PIECE_BYTES`) those
of 64 KiB came to 0.46.  Pieces of 256 or 512 KiB, longer rings, and receives of 128 or
256 KiB bring nothing that can be seen.

Downloads cost 0.91 of nginx's CPU (0.93 the median), ranges 0.97 (1.00); at load 9
0.84 (0.99) and 1.14 (1.15).  Of the server's own CPU, hashing was 72 % with a sized
body and 70 % with a chunked one, when writing through the page cache was 14 % of it,
receiving 5 %, letting go of written pages 5 %.
"""

import argparse
import hashlib
import multiprocessing
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests import nginx
from tests.bench.bench_transfer import Bench, MiB, Processes
from tests.bench.bench_upload_path import ALGORITHM, Source, hash_beside, hash_in_turn
from tests.server import Server, free_port
from tests.wire import head

#: How often each download is repeated for one figure.
DOWNLOADS = 4

STATIC = """
server {{
    listen 127.0.0.1:{port};
    sendfile on;
    tcp_nopush on;
    location / {{ root {folder}; }}
}}
"""


@dataclass(frozen=True)
class Pair:
    """A target: two things to do, and how their figures compare.

    Attributes:
        floor: what the machine can do: a rate in MiB/s, or seconds of CPU for a GiB.
        bound: what the ratio shall reach, or not exceed where it is a cost.
    """

    name: str
    floor: Callable[[], float]
    ours: Callable[[], float]
    bound: float
    is_cost: bool = False


@dataclass(frozen=True)
class Result:
    """What the pairs of one target came to."""

    pair: Pair
    figures: tuple[tuple[float, float], ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours in parts of the floor, round by round."""
        return tuple(ours / max(floor, 1e-9) for floor, ours in self.figures)

    @property
    def best(self) -> float:
        """The best round."""
        return min(self.ratios) if self.pair.is_cost else max(self.ratios)

    def line(self) -> str:
        """Return the result for people."""
        pair = self.pair
        floor, ours = self.figures[self.ratios.index(self.best)]
        sign, unit = ("<=", "s/GiB") if pair.is_cost else (">=", "MiB/s")
        return (
            f"{pair.name:<34}{floor:>9.2f}{ours:>9.2f} {unit:<8}"
            f"{self.best:>7.2f}{statistics.median(self.ratios):>8.2f}"
            f"   {sign} {pair.bound:.2f}"
        )


class Targets:
    """The pairs, on one server and one nginx."""

    def __init__(self, server: Server, nginx_pid: int, port: int, size: int) -> None:
        self._server = server
        self._ours = Processes(server.process.pid if server.process else 0)
        self._nginx = Processes(nginx_pid)
        self._nginx_port = port
        self._bench = Bench(server, size)
        self._size = size
        self._mib = size // MiB
        self._image = self._bench.create()
        self._bench.upload(self._image, None)

    def pairs(self) -> Iterator[Pair]:
        """Yield the targets."""
        for name, chunk in (("sized", None), ("chunked", MiB), ("64 KiB", 65536)):
            rate, cpu = partial(self._rate, chunk), partial(self._cpu, chunk)
            floors = (
                partial(self._floor, hash_beside),
                partial(self._floor, hash_in_turn),
            )
            yield Pair(f"upload {name}, rate / 2 threads", floors[0], rate, 0.70)
            yield Pair(
                f"upload {name}, beside a busy core",
                partial(_beside_busy, floors[1]),
                partial(_beside_busy, rate),
                0.70,
            )
            yield Pair(
                f"upload {name}, CPU / plain loop",
                self._plain_loop,
                cpu,
                1.15,
                is_cost=True,
            )
        half = range(self._size // 4, self._size // 4 + self._size // 2)
        for name, part in (("whole", None), ("range", half)):
            yield Pair(
                f"download {name}, CPU / nginx",
                partial(self._download_nginx, part),
                partial(self._download_ours, part),
                1.10,
                is_cost=True,
            )

    def _floor(self, hash_all: Callable[[Source], None]) -> float:
        begun = time.perf_counter()
        hash_all(Source(self._mib))
        return self._mib / (time.perf_counter() - begun)

    def _rate(self, chunk: int | None) -> float:
        return self._mib / self._upload(chunk)[0]

    def _cpu(self, chunk: int | None) -> float:
        return self._upload(chunk)[1] * 1024 / self._mib

    def _upload(self, chunk: int | None) -> tuple[float, float]:
        """Upload once; return seconds, and CPU seconds of the server."""
        image = self._bench.create()
        cpu, begun = self._ours.cpu_s(), time.perf_counter()
        self._bench.upload(image, chunk)
        took = time.perf_counter() - begun, self._ours.cpu_s() - cpu
        self._bench.delete(image)
        return took

    def _plain_loop(self) -> float:
        """Return CPU seconds for a GiB that is hashed and written, and no more."""
        cpu = time.process_time()
        path = self._server.where / "plain"
        digests = [hashlib.new(name) for name in ("md5", ALGORITHM)]
        piece = os.urandom(MiB)
        with path.open("wb", buffering=0) as file:
            for _ in range(self._mib):
                for digest in digests:
                    digest.update(piece)
                file.write(piece)
            os.fdatasync(file.fileno())
        took = time.process_time() - cpu
        path.unlink()
        return took * 1024 / self._mib

    def _download_ours(self, part: range | None) -> float:
        span, size = _span(part, self._size)
        fetch = partial(self._bench.download, self._image, span, size)
        return _cpu_per_gib(self._ours, fetch, size)

    def _download_nginx(self, part: range | None) -> float:
        span, size = _span(part, self._size)
        address = ("127.0.0.1", self._nginx_port)
        sent = head("GET", f"/{self._image}", {**span, "Connection": "close"})

        def fetch() -> None:
            with socket.create_connection(address, 600) as peer:
                peer.sendall(sent)
                self._bench.drain(peer, size)

        return _cpu_per_gib(self._nginx, fetch, size)


def _cpu_per_gib(
    processes: Processes, transfer: Callable[[], None], size: int
) -> float:
    """Return what a GiB costs; several transfers, for the kernel counts in 10 ms."""
    cpu = processes.cpu_s()
    for _ in range(DOWNLOADS):
        transfer()
    return (processes.cpu_s() - cpu) * 1024 * MiB / (size * DOWNLOADS)


def _span(part: range | None, size: int) -> tuple[dict[str, str], int]:
    if part is None:
        return {}, size
    return {"Range": f"bytes={part.start}-{part.stop - 1}"}, len(part)


def _spin() -> None:
    """Keep one core busy for ever."""
    while True:
        pass


def _beside_busy(measure: Callable[[], float]) -> float:
    """Return what is measured while another process takes a core."""
    busy = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    busy.start()
    try:
        return measure()
    finally:
        busy.kill()
        busy.join()


@contextmanager
def _targets(folder: Path, size: int) -> Iterator[Targets]:
    with ExitStack() as running:
        (folder / "server").mkdir()
        server = Server(folder / "server", workers=1)
        running.callback(server.stop)
        server.start()
        port = free_port()
        text = STATIC.format(port=port, folder=server.images_dir)
        front = running.enter_context(nginx.running(folder / "nginx", port, text))
        yield Targets(server, front, port, size)


def measure(folder: Path, mib: int, rounds: int, wanted: str = "") -> Iterator[Result]:
    """Yield the results, for transfers of ``mib`` MiB, of targets named ``wanted``."""
    with _targets(folder, mib * MiB) as targets:
        for pair in targets.pairs():
            if wanted in pair.name:
                figures = ((pair.floor(), pair.ours()) for _ in range(rounds))
                yield Result(pair, tuple(figures))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Compare transfers with their floors.")
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary one")
    parser.add_argument("--only", default="", help="a part of the names to measure")
    chosen = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    sys.stdout.write(
        f"{chosen.mib} MiB, {os.cpu_count()} cores, load {load:.1f} before\n"
        f"{'target':<34}{'floor':>9}{'ours':>9} {'':<8}{'best':>7}{'median':>8}\n"
    )
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = measure(Path(folder), chosen.mib, chosen.rounds, chosen.only)
        for result in found:
            sys.stdout.write(result.line() + "\n")
            sys.stdout.flush()
    sys.stdout.write(f"load {os.getloadavg()[0]:.1f} after\n")


if __name__ == "__main__":
    main()
