"""How long showing an image takes while many transfers stall.

    python -m tests.bench.bench_stalled --peers 64

Each peer is one of two: a download whose client reads nothing, or an upload whose
client sends nothing more.  The requests come one after another, each on a connection
of its own, first to a server that has nothing else to do.

One worker process, 64 peers of each kind, load 7: half of the requests within 0.9 ms
and 99 % within 14 ms, at rest 11 ms; two processes 1.2 and 9 ms, at rest 10 ms.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.server import Server, eventually
from tests.stalling import stalled_download, stalled_upload
from tests.test_crash import is_status

MiB = 1024 * 1024


@dataclass(frozen=True)
class Latencies:
    """How long requests took, in milliseconds, the shortest first."""

    taken_ms: tuple[float, ...]

    def part(self, share: float) -> float:
        """Return what this share of the requests did not exceed."""
        return self.taken_ms[
            min(int(len(self.taken_ms) * share), len(self.taken_ms) - 1)
        ]

    def line(self, name: str) -> str:
        """Return the figures for people."""
        figures = "".join(f"{self.part(share):>9.1f}" for share in (0.5, 0.99, 1.0))
        return f"{name:<12}{figures}"


@contextmanager
def stalled(server: Server, image_id: str, peers: int) -> Iterator[None]:
    """Let as many downloads and as many uploads stall for the block."""
    client = server.client()
    with ExitStack() as open_peers:
        waiting = [client.create()["id"] for _ in range(peers)]
        for each in waiting:
            open_peers.enter_context(stalled_download(server, image_id))
            open_peers.enter_context(stalled_upload(server, each))
        # Only transfers that have begun hold anything.
        for each in waiting:
            assert eventually(is_status(client, each, "saving"))
        yield


def show(server: Server, image_id: str, requests: int) -> Latencies:
    """Return how long it took to show an image."""
    client = server.client()
    taken = []
    for _ in range(requests):
        begun = time.perf_counter()
        answer = client.get(f"/v2/images/{image_id}")
        taken.append((time.perf_counter() - begun) * 1000)
        assert answer.status == 200, answer
    return Latencies(tuple(sorted(taken)))


def an_image(server: Server, mib: int = 32) -> str:
    """Return the id of an image that no socket takes as a whole."""
    image_id = str(server.client().create()["id"])
    assert server.client().upload(image_id, bytes(mib * MiB)).status == 204
    return image_id


def measure(
    folder: Path, peers: int, requests: int, workers: int
) -> dict[str, Latencies]:
    """Return how long requests take without and with stalled peers."""
    server = Server(folder, workers=workers).start()
    try:
        image_id = an_image(server)
        at_rest = show(server, image_id, requests)
        with stalled(server, image_id, peers):
            beside = show(server, image_id, requests)
    finally:
        # The stalled peers are gone: nothing is left to wait for.
        server.stop()
    return {"at rest": at_rest, "stalled": beside}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description="Show an image while transfers stall.")
    parser.add_argument("--peers", type=int, default=64, help="of each kind")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1, help="server processes")
    chosen = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), chosen.peers, chosen.requests, chosen.workers)
    sys.stdout.write(f"{chosen.peers} downloads and {chosen.peers} uploads stall, ")
    sys.stdout.write(f"{chosen.workers} worker processes, load {load:.1f}\n")
    sys.stdout.write(f"{'ms':<12}{'p50':>9}{'p99':>9}{'max':>9}\n")
    for name, latencies in found.items():
        sys.stdout.write(latencies.line(name) + "\n")


if __name__ == "__main__":
    main()
