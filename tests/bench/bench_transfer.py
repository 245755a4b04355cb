"""How fast image data moves, and what it costs the server.

    python -m tests.bench.bench_transfer --mib 1024 --json result.json

A real server is measured from outside: wall time at the client, CPU seconds of
all its processes, and the peak memory of its largest one.  Client and server share
the machine's cores, so compare only results of one machine, at rest.
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.server import Server
from tests.wire import as_, head

MiB = 1024 * 1024
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measure:
    """One transfer.

    Attributes:
        cpu_s: user and system time of all server processes.
        peak_mib: the most memory that any one server process had resident.
    """

    name: str
    mib: float
    seconds: float
    cpu_s: float
    peak_mib: float

    @property
    def mib_per_s(self) -> float:
        """The rate seen by the client."""
        return self.mib / self.seconds

    @property
    def cpu_s_per_gib(self) -> float:
        """What a GiB costs the server."""
        return self.cpu_s * 1024 / self.mib


@dataclass(frozen=True)
class Report:
    """All that one run measured.

    Attributes:
        load: the machine's load average before the run, to judge the figures by.
    """

    started_in_s: float
    idle_mib: float
    workers: int
    cores: int
    load: float
    measures: tuple[Measure, ...]

    def table(self) -> str:
        """Return the report for people."""
        lines = [
            f"started in {self.started_in_s:.2f} s, then {self.idle_mib:.0f} MiB "
            f"in the largest of {self.workers} worker processes and their parent; "
            f"{self.cores} cores, load {self.load:.1f}",
            "",
            f"{'transfer':<18}{'MiB':>8}{'MiB/s':>9}{'CPU s':>8}"
            f"{'CPU s/GiB':>11}{'peak MiB':>10}",
        ]
        lines += [
            f"{one.name:<18}{one.mib:>8.0f}{one.mib_per_s:>9.0f}{one.cpu_s:>8.2f}"
            f"{one.cpu_s_per_gib:>11.2f}{one.peak_mib:>10.1f}"
            for one in self.measures
        ]
        return "\n".join(lines) + "\n"

    def document(self) -> dict[str, object]:
        """Return the report for programs."""
        rates = [
            {
                **asdict(one),
                "mib_per_s": one.mib_per_s,
                "cpu_s_per_gib": one.cpu_s_per_gib,
            }
            for one in self.measures
        ]
        return {**asdict(self), "measures": rates}


class Processes:
    """What the kernel counts about all processes of a session."""

    def __init__(self, leader: int) -> None:
        self._session = str(leader)

    def _stats(self) -> Iterator[tuple[Path, list[str]]]:
        """Yield each process of the server's session, and its `stat` after the name."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # It ended meanwhile.
            fields = stat.rpartition(")")[2].split()
            if fields[3] == self._session:
                yield folder, fields

    def cpu_s(self) -> float:
        """Return user and system time, that of children which ended included."""
        ticks = sum(
            int(field) for _, fields in self._stats() for field in fields[11:15]
        )
        return ticks / TICKS_PER_S

    def peak_mib(self) -> float:
        """Return the most that one process had resident since `forget_peak`."""
        return max(self._peak_kib(folder) for folder, _ in self._stats()) / 1024

    def _peak_kib(self, folder: Path) -> int:
        for line in (folder / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        return 0

    def forget_peak(self) -> None:
        """Begin to look for the peak anew."""
        for folder, _ in self._stats():
            (folder / "clear_refs").write_text("5")


class Bench:
    """Transfers to and from one server, each of them measured."""

    def __init__(self, server: Server, size_bytes: int) -> None:
        self._server = server
        self._client = server.client()
        assert server.process is not None
        self._processes = Processes(server.process.pid)
        self._size_bytes = size_bytes
        self._piece = os.urandom(MiB)

    def run(self) -> Iterator[Measure]:
        """Yield one measure after another."""
        sized = self.create()
        chunked = self.create()
        size = self._size_bytes
        yield self.measure("upload sized", size, lambda: self.upload(sized, None))
        yield self.measure("upload chunked", size, lambda: self.upload(chunked, MiB))
        yield self.measure("download", size, lambda: self.download(sized, {}, size))
        half = size // 2
        span = {"Range": f"bytes={half // 2}-{half // 2 + half - 1}"}
        yield self.measure(
            "download range", half, lambda: self.download(sized, span, half)
        )

    def create(self) -> str:
        """Return the id of a new image."""
        return str(self._client.create(name="bench")["id"])

    def measure(self, name: str, size: int, transfer: Callable[[], None]) -> Measure:
        """Run one transfer of ``size`` bytes, and return what it came to."""
        self._processes.forget_peak()
        cpu_s = self._processes.cpu_s()
        begun = time.perf_counter()
        transfer()
        seconds = time.perf_counter() - begun
        return Measure(
            name=name,
            mib=size / MiB,
            seconds=seconds,
            cpu_s=self._processes.cpu_s() - cpu_s,
            peak_mib=self._processes.peak_mib(),
        )

    @contextmanager
    def _peer(self) -> Iterator[socket.socket]:
        url = urlsplit(self._server.base)
        address = (url.hostname or "", url.port or 80)
        with socket.create_connection(address, 600) as peer:
            yield peer

    def delete(self, image_id: str) -> None:
        """Remove an image."""
        answer = self._client.request("DELETE", f"/v2/images/{image_id}")
        assert answer.status == 204, answer

    def upload(self, image_id: str, chunk_bytes: int | None) -> None:
        """Send the data of an image, in chunks of a size or with their length."""
        framing = (
            {"Transfer-Encoding": "chunked"}
            if chunk_bytes
            else {"Content-Length": str(self._size_bytes)}
        )
        sent = self._framed(chunk_bytes) if chunk_bytes else self._piece
        with self._peer() as peer:
            peer.sendall(self._head("PUT", image_id, framing))
            for _ in range(self._size_bytes // len(self._piece)):
                peer.sendall(sent)
            peer.sendall(b"0\r\n\r\n" if chunk_bytes else b"")
            answer = peer.recv(65536)
        assert answer.startswith(b"HTTP/1.1 204 "), answer

    def _framed(self, chunk_bytes: int) -> bytes:
        """Return the piece as chunks."""
        cuts = range(0, len(self._piece), chunk_bytes)
        chunks = [self._piece[at : at + chunk_bytes] for at in cuts]
        return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks)

    def download(self, image_id: str, span: dict[str, str], size: int) -> None:
        """Read ``size`` bytes of an image."""
        with self._peer() as peer:
            peer.sendall(self._head("GET", image_id, span))
            self.drain(peer, size)

    def drain(self, peer: socket.socket, size: int) -> None:
        """Read an answer with ``size`` bytes to its end."""
        buffer = bytearray(MiB)
        received = bytearray()
        while b"\r\n\r\n" not in received:
            received += peer.recv(65536)
        top, _, body = bytes(received).partition(b"\r\n\r\n")
        assert top[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 206"), top
        count = len(body)
        while more := peer.recv_into(buffer):
            count += more
        assert count == size, (count, size)

    def _head(self, method: str, image_id: str, headers: dict[str, str]) -> bytes:
        fixed = {
            "Content-Type": "application/octet-stream",
            "Connection": "close",
        }
        path = f"/v2/images/{image_id}/file"
        return head(method, path, {**as_(), **fixed, **headers})


def measure(size_bytes: int, workers: int, folder: Path) -> Report:
    """Return what transfers of ``size_bytes`` cost a new server below ``folder``."""
    load = os.getloadavg()[0]
    server = Server(folder, workers=workers).start()
    try:
        assert server.process is not None
        idle_mib = Processes(server.process.pid).peak_mib()
        measures = tuple(Bench(server, size_bytes).run())
    finally:
        server.stop()
    return Report(
        started_in_s=server.started_in_s,
        idle_mib=idle_mib,
        workers=workers,
        cores=os.cpu_count() or 1,
        load=load,
        measures=measures,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON where that is asked for."""
    parser = argparse.ArgumentParser(description="Measure transfers of image data.")
    parser.add_argument("--mib", type=int, default=1024, help="size of the image")
    parser.add_argument("--workers", type=int, default=1, help="server processes")
    parser.add_argument("--folder", type=Path, help="where the server keeps its data")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        report = measure(options.mib * MiB, options.workers, Path(folder))
    sys.stdout.write(report.table())
    if options.json:
        options.json.write_text(json.dumps(report.document(), indent=2) + "\n")


if __name__ == "__main__":
    main()
