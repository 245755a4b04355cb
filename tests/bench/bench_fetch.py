"""How fast a node gets an image, against what copying and hashing alone would take.

    python -m tests.bench.bench_fetch --mib 1024 --rounds 3

The floors are programs everybody has: `cp`, or `curl`, and beside it `sha512sum` on
the same bytes, then `sync` of the copy.  The ways are measured in turn, round by
round, and the medians are compared.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imagereg.fetch import Choices, FetchConfig, Fetcher
from imagereg.fetch.config import FileSystem, GlanceSection
from tests.server import Config, Server

MiB = 1024 * 1024

CONFIG: Config = {
    "DEFAULT": {"show_multiple_locations": "true"},
    "glance_store": {"filesystem_store_metadata_file": "{dir}/etc/metadata.json"},
    "paste_deploy": {"flavor": None},
}
METADATA = '{"id": "fs-1", "mountpoint": "{dir}/state/images"}'

#: Way -> its floor.
FLOORS: Mapping[str, str] = {
    "direct": "cp",
    "direct, trusted": "cp alone",
    "http": "curl",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line for each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        taken = measure(options.mib, options.rounds, Path(folder))
    print(f"{options.mib} MiB, load {os.getloadavg()[0]:.1f}")  # noqa: T201 - a report
    for way, floor in FLOORS.items():
        rate, best = (options.mib / taken[name] for name in (way, floor))
        line = f"{way}: {rate:.0f} MiB/s, {floor} {best:.0f}, ratio {rate / best:.2f}"
        print(line)  # noqa: T201 - a report


def measure(mib: int, rounds: int, folder: Path) -> Mapping[str, float]:
    """Return the median seconds of each way and floor."""
    server = Server(folder, CONFIG, files={"metadata.json": METADATA}).start()
    try:
        ways = _ways(server, mib, folder)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, run in ways.items():
                (folder / "disk").unlink(missing_ok=True)
                begun = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - begun)
    finally:
        server.stop()
    return {name: statistics.median(times) for name, times in taken.items()}


def _ways(server: Server, mib: int, folder: Path) -> Mapping[str, Callable[[], object]]:
    client = server.client()
    image_id: str = client.create()["id"]
    block = os.urandom(MiB)
    assert client.upload(image_id, (block for _ in range(mib))).status == 204
    blob, disk = server.images_dir / image_id, folder / "disk"
    url = f"{server.base}/v2/images/{image_id}/file"
    config = FetchConfig(
        GlanceSection(endpoint_override=server.base),
        (FileSystem("fs-1", server.images_dir, False),),
    )

    def shell(copy: str) -> Callable[[], object]:
        script = f"{copy} & sha512sum {blob} >/dev/null; wait; sync {disk}"
        return lambda: subprocess.run(["sh", "-c", script], check=True)

    def fetch(direct: str, verify: str) -> Callable[[], object]:
        fetcher = Fetcher(config, None, Choices(direct=direct, verify=verify))
        return lambda: fetcher.fetch(image_id, disk)

    alone = f"cp --reflink=auto {blob} {disk}; sync {disk}"
    return {
        "cp": shell(f"cp --reflink=never {blob} {disk}"),
        "direct": fetch("only", "hash"),
        "cp alone": lambda: subprocess.run(["sh", "-c", alone], check=True),
        "direct, trusted": fetch("only", "size"),
        "curl": shell(f"curl -sS -o {disk} {url}"),
        "http": fetch("never", "hash"),
    }


if __name__ == "__main__":
    main()
