"""What the image cache costs on a miss, and what it saves on a hit.

    python -m tests.bench.bench_cache --mib 512

One server has a cache, another has none; a web server in this process holds the
images.  The ratios compare a hit with a file of a store, and a miss with a download
that goes past the cache.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.bench.bench_transfer import Bench, Measure, MiB
from tests.registry import CACHE, merged
from tests.server import Config, Server, eventually
from tests.stores.web import Web, web_server

_WEB: Config = {
    "DEFAULT": {"do_secure_hash": "false", "image_cache_max_size": str(1 << 40)},
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"},
    "imagereg": {"cache_file_stores": "false"},
}

TOGETHER = 8
ROUNDS = 8


@dataclass
class Bed:
    """Two servers and the web server behind both."""

    plain: Server
    cached: Server
    web: Web
    data: bytes

    def image(self, server: Server, path: str) -> str:
        """Return the id of a new image on the web server."""
        client = server.client()
        image_id = str(client.create()["id"])
        digest = hashlib.sha512(self.data).hexdigest()
        body = {
            "url": self.web.put(path, self.data),
            "validation_data": {"os_hash_algo": "sha512", "os_hash_value": digest},
        }
        address = f"/v2/images/{image_id}/locations"
        assert client.request("POST", address, document=body).status == 202
        assert eventually(lambda: client.show(image_id)["status"] == "active")
        return image_id

    def reads(self, path: str) -> int:
        """Return how often the web server was read."""
        return sum(asked[:2] == ("GET", path) for asked in self.web.asked)

    def wait_for_copy(self, image_id: str) -> None:
        """Return when the copy is finished, so that its end is not measured later."""
        path = self.cached.where / "cache" / image_id
        assert eventually(path.exists, timeout_s=120)


@contextmanager
def bed(folder: Path, size_bytes: int) -> Iterator[Bed]:
    """Run everything for the block."""
    data = os.urandom(MiB) * (size_bytes // MiB)
    with ExitStack() as running:
        web = running.enter_context(web_server())

        def start(name: str, config: Config) -> Server:
            where = folder / name
            where.mkdir()
            server = Server(where, config, workers=2).start()
            running.callback(server.stop)
            return server

        yield Bed(start("plain", _WEB), start("cached", merged(CACHE, _WEB)), web, data)


def together(bench: Bench, image_id: str, size: int) -> None:
    """Download one image several times at once."""
    threads = [
        threading.Thread(target=bench.download, args=(image_id, {}, size))
        for _ in range(TOGETHER)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def with_copy(
    made: Bed,
    image_id: str,
    bench: Bench,
    name: str,
    size: int,
    transfer: Callable[[], None],
) -> Measure:
    """Measure the time of the clients, and the CPU until the copy is finished."""
    seconds = 0.0

    def run_both() -> None:
        nonlocal seconds
        begun = time.perf_counter()
        transfer()
        seconds = time.perf_counter() - begun
        made.wait_for_copy(image_id)

    return replace(bench.measure(name, size, run_both), seconds=seconds)


def again_and_again(bench: Bench, name: str, image_id: str, size: int) -> Measure:
    """Measure several downloads: the kernel counts CPU in steps of 10 ms."""
    bench.download(image_id, {}, size)

    def transfer() -> None:
        for _ in range(ROUNDS):
            bench.download(image_id, {}, size)

    return bench.measure(name, ROUNDS * size, transfer)


def run(made: Bed, size: int) -> Iterator[Measure]:
    """Yield one measure after another."""
    plain, cached = Bench(made.plain, size), Bench(made.cached, size)
    client = made.plain.client()
    stored = str(client.create()["id"])
    assert client.upload(stored, made.data).status == 204
    yield again_and_again(plain, "file", stored, size)
    passed = made.image(made.plain, "/passed")
    yield plain.measure(
        "past the cache", size, partial(plain.download, passed, {}, size)
    )
    missed, many = (made.image(made.cached, path) for path in ("/missed", "/many"))
    yield with_copy(
        made, missed, cached, "miss", size, partial(cached.download, missed, {}, size)
    )
    yield again_and_again(cached, "hit", missed, size)
    yield with_copy(
        *(made, many, cached, f"{TOGETHER} misses", TOGETHER * size),
        partial(together, cached, many, size),
    )
    assert made.reads("/missed") == made.reads("/many") == 1


def report(measures: Sequence[Measure]) -> str:
    """Return the table and the two ratios."""
    by_name = {one.name: one for one in measures}
    lines = [f"{'download':<16}{'MiB/s':>8}{'CPU s/GiB':>11}{'peak MiB':>10}"]
    lines += [
        f"{one.name:<16}{one.mib_per_s:>8.0f}{one.cpu_s_per_gib:>11.2f}"
        f"{one.peak_mib:>10.1f}"
        for one in measures
    ]
    hit = _ratio(by_name["hit"], by_name["file"])
    miss = _ratio(by_name["miss"], by_name["past the cache"])
    lines += [f"CPU of a hit to a file: {hit:.2f}"]
    lines += [f"CPU of a miss to a download past the cache: {miss:.2f}"]
    return "\n".join(lines) + "\n"


def _ratio(one: Measure, other: Measure) -> float:
    return one.cpu_s_per_gib / max(other.cpu_s_per_gib, 0.01)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Measure the image cache.")
    parser.add_argument("--mib", type=int, default=512, help="size of the image")
    parser.add_argument("--folder", type=Path, help="where the servers keep their data")
    options = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        bed(Path(folder), options.mib * MiB) as made,
    ):
        measures = tuple(run(made, options.mib * MiB))
    sys.stdout.write(report(measures))


if __name__ == "__main__":
    main()
