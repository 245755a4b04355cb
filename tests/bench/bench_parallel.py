"""How much memory transfers take that run beside each other.

    python -m tests.bench.bench_parallel --mib 1024 --transfers 1 8 32
    python -m tests.bench.bench_parallel --mib 256 --transfers 1 8 32 --store s3

The peak is that of the largest server process, above what it had before; for uploads
it is told for each of them as well.

Growth of the largest process in MiB, from 50 to 80 MiB at rest; images of 1 GiB in
files (load 0.7; eight at once: 8 to 13), of 64 MiB in S3, in parts of 10 MiB:

| at once | file, sized | chunked | S3, sized | chunked | downloads |
|---|---|---|---|---|---|
| 1 | 1 | 3 | 51 | 40 | 0 |
| 8 | 44 | 0 | 223 | 115 | 0 |
| 32 | 64 | 25 | 380 | 78 | 0 |

Growth counts from what the uploads before left in the process's hands.  In S3 the
budget of 256 MiB bounds it, and a part for each upload beyond (`stores/budget.py`).
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.bench.bench_transfer import Bench, MiB, Processes
from tests.server import Server
from tests.stores.bucket import s3_service
from tests.test_s3_store import single


@dataclass(frozen=True)
class Peak:
    """What so many transfers at once took, in MiB."""

    name: str
    transfers: int
    before_mib: float
    peak_mib: float

    @property
    def each_mib(self) -> float:
        """How far memory grew for each of them."""
        return (self.peak_mib - self.before_mib) / self.transfers

    def line(self) -> str:
        """Return the figures for people."""
        return (
            f"{self.name:<16}{self.transfers:>10}{self.before_mib:>12.0f}"
            f"{self.peak_mib:>10.0f}{self.each_mib:>10.1f}"
        )


@contextmanager
def a_server(folder: Path, store: str) -> Iterator[Server]:
    """Run a server whose images lie in files, or in a real S3 service."""
    with ExitStack() as running:
        config = None
        if store == "s3":
            driver = running.enter_context(s3_service(folder / "service")).driver()
            config = single(driver, s3_store_large_object_chunk_size=10)
        (folder / "server").mkdir()
        server = Server(folder / "server", config, workers=1)
        running.callback(server.stop)
        yield server.start()


def measure(
    folder: Path, mib: int, transfers: int, store: str = "file"
) -> Iterator[Peak]:
    """Yield the peaks of so many uploads, then downloads, of ``mib`` MiB each."""
    with a_server(folder, store) as server:
        assert server.process is not None
        processes = Processes(server.process.pid)
        bench = Bench(server, mib * MiB)
        for name, chunk in (("upload sized", None), ("upload chunked", 65536)):
            images = [bench.create() for _ in range(transfers)]
            upload = partial(bench.upload, chunk_bytes=chunk)
            yield _peak(name, processes, upload, images)
            for image in images[1:]:
                bench.delete(image)
        download = partial(bench.download, span={}, size=mib * MiB)
        yield _peak("download", processes, download, [images[0]] * transfers)


def _peak(
    name: str, processes: Processes, transfer: Callable[[str], None], images: list[str]
) -> Peak:
    processes.forget_peak()
    before = processes.peak_mib()
    with ThreadPoolExecutor(len(images)) as clients:
        list(clients.map(transfer, images))
    return Peak(name, len(images), before, processes.peak_mib())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Measure memory of many transfers.")
    parser.add_argument("--mib", type=int, default=1024, help="size of each image")
    parser.add_argument("--transfers", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--store", choices=("file", "s3"), default="file")
    parser.add_argument("--folder", type=Path, help="where to write; a temporary one")
    chosen = parser.parse_args(arguments)
    sys.stdout.write(f"{chosen.mib} MiB each, load {os.getloadavg()[0]:.1f}\n")
    heads = f"{'at once':>10}{'before':>12}{'peak':>10}{'each':>10}"
    sys.stdout.write(f"{'MiB':<16}{heads}\n")
    for transfers in chosen.transfers:
        with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
            found = measure(Path(folder), chosen.mib, transfers, chosen.store)
            for peak in found:
                sys.stdout.write(peak.line() + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
