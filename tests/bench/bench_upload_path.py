"""How fast bytes get into a file store, against what hashing alone would take.

    python -m tests.bench.bench_upload_path --mib 512 --rounds 3

No HTTP: a generator feeds `Store.add`.  The ways are measured in turn, round by
round, and the medians are compared, since other work on the machine comes and goes.
"""

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagereg.stores.filesystem import FileOptions, FilesystemDriver
from imagereg.stores.hashing import LaneSupply
from imagereg.stores.store import Store, StoreTraits, UploadPlan

MiB = 1024 * 1024
ALGORITHM = "sha512"
POOL_MIB = 8


@dataclass(frozen=True)
class Way:
    """One way to deal with the bytes, and what it took, round by round."""

    name: str
    run: Callable[[], object]
    wall_s: list[float]
    cpu_s: list[float]

    def measure(self) -> None:
        """Run once."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.run()
        self.wall_s.append(time.perf_counter() - wall)
        self.cpu_s.append(time.process_time() - cpu)


@dataclass(frozen=True)
class Report:
    """What all ways took.

    Attributes:
        load: the machine's load average before the run, to judge the figures by.
    """

    mib: int
    load: float
    ways: tuple[Way, ...]

    def rate(self, name: str) -> float:
        """Return the median MiB/s of a way."""
        way = next(way for way in self.ways if way.name == name)
        return self.mib / max(statistics.median(way.wall_s), 1e-9)

    def table(self) -> str:
        """Return the report for people."""
        floor = self.rate("hash, 2 threads")
        lines = [
            f"{self.mib} MiB, {os.cpu_count()} cores, load {self.load:.1f}",
            f"{'way':<22}{'MiB/s':>8}{'CPU s/GiB':>11}{'of floor':>10}",
        ]
        for way in self.ways:
            cpu = statistics.median(way.cpu_s) * 1024 / self.mib
            rate = self.rate(way.name)
            lines.append(f"{way.name:<22}{rate:>8.0f}{cpu:>11.2f}{rate / floor:>10.2f}")
        return "\n".join(lines) + "\n"


class Source:
    """Chunks as they come from a socket: each one a fresh copy."""

    def __init__(self, mib: int, chunk_bytes: int = MiB) -> None:
        self._pool = memoryview(os.urandom(POOL_MIB * MiB))
        self._mib = mib
        self._chunk_bytes = chunk_bytes

    def __iter__(self) -> Iterator[bytes]:
        left = self._mib * MiB
        start = 0
        while left > 0:
            size = min(left, self._chunk_bytes)
            yield bytes(self._pool[start : start + size])
            start = (start + size) % (len(self._pool) - self._chunk_bytes + 1)
            left -= size


def hash_in_turn(source: Source) -> None:
    """Hash on one thread, one digest after the other."""
    digests = [hashlib.new(name) for name in ("md5", ALGORITHM)]
    for chunk in source:
        for digest in digests:
            digest.update(chunk)


def hash_beside(source: Source) -> None:
    """Hash on two threads that share nothing: what lanes could reach at best."""

    def run(name: str) -> None:
        digest = hashlib.new(name)
        for chunk in source:
            digest.update(chunk)

    threads = [threading.Thread(target=run, args=(n,)) for n in ("md5", ALGORITHM)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _write(source: Source, directory: Path) -> None:
    path = directory / "plain"
    with path.open("wb", buffering=0) as file:
        for chunk in source:
            file.write(chunk)
        os.fdatasync(file.fileno())
    path.unlink()


def _store(directory: Path, *, has_lanes: bool, fsync: bool) -> Store:
    options = FileOptions(datadirs=((directory, 0),), fsync=fsync)
    driver = FilesystemDriver(options)
    driver.prepare()
    lanes = LaneSupply(1) if has_lanes else None
    return Store("bench", driver, StoreTraits("file"), lanes)


def _add(store: Store, source: Source, size_bytes: int) -> None:
    plan = UploadPlan(ALGORITHM, expected_size=size_bytes)
    store.delete(store.add("blob", source, plan).location)


def measure(directory: Path, mib: int, rounds: int) -> Report:
    """Return what each way takes for ``mib`` MiB, in files below ``directory``."""
    source = Source(mib)
    small = Source(mib, 64 * 1024)
    in_turn = _store(directory, has_lanes=False, fsync=True)
    lanes = _store(directory, has_lanes=True, fsync=True)
    unsynced = _store(directory, has_lanes=True, fsync=False)
    size = mib * MiB
    runs: dict[str, Callable[[], object]] = {
        "hash, 1 thread": lambda: hash_in_turn(source),
        "hash, 2 threads": lambda: hash_beside(source),
        "write and sync": lambda: _write(source, directory),
        "add, in turn": lambda: _add(in_turn, source, size),
        "add, lanes": lambda: _add(lanes, source, size),
        "add, lanes, 64 KiB": lambda: _add(lanes, small, size),
        "add, lanes, no sync": lambda: _add(unsynced, source, size),
    }
    ways = tuple(Way(name, run, [], []) for name, run in runs.items())
    load = os.getloadavg()[0]
    for _ in range(rounds):
        for way in ways:
            way.measure()
    return Report(mib, load, ways)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="where to write; a temporary one")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=chosen.dir) as directory:
        report = measure(Path(directory), chosen.mib, chosen.rounds)
    sys.stdout.write(report.table())


if __name__ == "__main__":
    main()
