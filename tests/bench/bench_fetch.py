"""How fast a node gets an image, against what copying and hashing alone would take.

    python -m tests.bench.bench_fetch --mib 1024 --rounds 3
    python -m tests.bench.bench_fetch --mib 1024 --rounds 3 --volume xfs

With `--volume` all lies on a file system of its own, whose files can share blocks:
what is trusted, or was verified before, comes in no time then, whatever its size.

The floors are programs everybody has: `cp`, or `curl`, and beside it `sha512sum` on
the same bytes, then `sync` of the copy.  The ways are measured in turn, round by
round, and the medians are compared.  Memory is the most that `imagereg-fetch` had.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from imagereg.fetch import Choices, FetchConfig, Fetcher
from imagereg.fetch.config import CacheSection, FileSystem, GlanceSection
from tests.mounts import SHARING, sharing
from tests.server import PROGRAM, Config, Server

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


#: Ways that a smaller image comes by, too, where time shall not depend on the size.
CONSTANT = ("direct, trusted", "direct, again")
EIGHTH = ", an eighth"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line for each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--volume", choices=SHARING)
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder))
        )
        if options.volume:
            room = 4 * options.mib * MiB
            folder = stack.enter_context(sharing(options.volume, folder, room))
        taken, peaks = measure(options.mib, options.rounds, folder)
    _report(options.mib, taken, peaks)


def _report(
    mib: int, taken: Mapping[str, float], peaks: Mapping[str, tuple[int, int]]
) -> None:
    print(f"{mib} MiB, load {os.getloadavg()[0]:.1f}")  # noqa: T201 - a report
    for way, floor in FLOORS.items():
        rate, best = (mib / taken[name] for name in (way, floor))
        line = f"{way}: {rate:.0f} MiB/s, {floor} {best:.0f}, ratio {rate / best:.2f}"
        print(line)  # noqa: T201 - a report
    for way in CONSTANT:
        whole, eighth = (taken[way + name] * 1000 for name in ("", EIGHTH))
        print(f"{way}: {whole:.0f} ms, an eighth of it {eighth:.0f} ms")  # noqa: T201 - a report
    for direct, (most, least) in peaks.items():
        print(f"memory, --direct {direct}: {most} MiB, an eighth {least} MiB")  # noqa: T201 - a report


def measure(
    mib: int, rounds: int, folder: Path
) -> tuple[Mapping[str, float], Mapping[str, tuple[int, int]]]:
    """Return the median seconds of each way and floor, and what memory it takes."""
    server = Server(folder, CONFIG, files={"metadata.json": METADATA}).start()
    try:
        whole, eighth = (_upload(server, size) for size in (mib, mib // 8))
        ways = _ways(server, whole, eighth, folder)
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, run in ways.items():
                (folder / "disk").unlink(missing_ok=True)
                begun = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - begun)
        peaks = {
            direct: (_peak(server, whole, direct), _peak(server, eighth, direct))
            for direct in ("only", "never")
        }
    finally:
        server.stop()
    return {name: statistics.median(times) for name, times in taken.items()}, peaks


def _upload(server: Server, mib: int) -> str:
    client = server.client()
    image_id: str = client.create()["id"]
    block = os.urandom(MiB)
    assert client.upload(image_id, (block for _ in range(mib))).status == 204
    return image_id


def _peak(server: Server, image_id: str, direct: str) -> int:
    """Return the most memory that the command has at one time, in MiB."""
    conf = server.where / "etc" / "node.conf"
    conf.write_text(
        f"[glance]\nendpoint_override = {server.base}\n"
        "[image_file_url]\nfilesystems = fast\n"
        f"[image_file_url:fast]\nid = fs-1\nmountpoint = {server.images_dir}\n"
        "readonly_check = false\n"
    )
    program = str(PROGRAM.with_name("imagereg-fetch"))
    words = (image_id, "--config", str(conf), "--direct", direct, "--progress", "none")
    child = os.posix_spawn(
        program,
        [program, *words, "--dest", str(server.where / "peak")],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return usage.ru_maxrss // 1024


def _ways(
    server: Server, image_id: str, eighth: str, folder: Path
) -> Mapping[str, Callable[[], object]]:
    blob, disk = server.images_dir / image_id, folder / "disk"
    url = f"{server.base}/v2/images/{image_id}/file"
    config = FetchConfig(
        GlanceSection(endpoint_override=server.base),
        (FileSystem("fs-1", server.images_dir, False),),
        CacheSection(cache_dir=folder / "cache"),
    )
    anew = replace(config, cache=replace(config.cache, verify_on_hit="always"))

    def shell(copy: str) -> Callable[[], object]:
        script = f"{copy} & sha512sum {blob} >/dev/null; wait; sync {disk}"
        return lambda: subprocess.run(["sh", "-c", script], check=True)

    def fetch(
        direct: str, verify: str, image: str = image_id, node: FetchConfig = config
    ) -> Callable[[], object]:
        fetcher = Fetcher(node, None, Choices(direct=direct, verify=verify))
        return lambda: fetcher.fetch(image, disk)

    alone = f"cp --reflink=auto {blob} {disk}; sync {disk}"
    return {
        "cp": shell(f"cp --reflink=never {blob} {disk}"),
        "direct": fetch("only", "hash", node=anew),
        "cp alone": lambda: subprocess.run(["sh", "-c", alone], check=True),
        "direct, trusted": fetch("only", "size"),
        "direct, trusted" + EIGHTH: fetch("only", "size", eighth),
        "direct, again": fetch("only", "hash"),
        "direct, again" + EIGHTH: fetch("only", "hash", eighth),
        "curl": shell(f"curl -sS -o {disk} {url}"),
        "http": fetch("never", "hash"),
    }


if __name__ == "__main__":
    main()
