"""What breaks on the way: the network, the service, the disk, the process."""

import json
import random
import resource
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagereg.errors import FetchUnreachable
from imagereg.fetch import Progress
from tests.conftest import Serve
from tests.fetch.conftest import DATA, METADATA, MIB, SHARING, Node, upload
from tests.server import Server, eventually


class Cutter:
    """A way to a server that breaks each answer after some bytes.

    Attributes:
        cuts: where the next answers break; when there are none left they pass.
        answers: how many connections there were.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.cuts: list[int] = []
        self.answers = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[near], daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        self.answers += 1
        left = self.cuts.pop(0) if self.cuts else 1 << 62
        with near, socket.create_connection(("127.0.0.1", self._port)) as far:
            there = threading.Thread(target=self._pass, args=[near, far, 1 << 62])
            there.start()
            self._pass(far, near, left)
            there.join()

    def _pass(self, source: socket.socket, sink: socket.socket, left: int) -> None:
        with suppress(OSError):
            while left > 0 and (data := source.recv(min(65536, left))):
                sink.sendall(data)
                left -= len(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def cutter(shared: Server) -> Iterator[Cutter]:
    with closing(Cutter(shared.port)) as made:
        yield made


@pytest.fixture(scope="module")
def image_id(shared: Server) -> str:
    return upload(shared)


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pauses short: how long they are is no matter here."""
    monkeypatch.setattr("imagereg.fetch.service.FIRST_PAUSE_S", 0.001)


@pytest.mark.usefixtures("haste")
def test_a_connection_that_is_cut_anywhere_goes_on(
    tmp_path: Path, shared: Server, cutter: Cutter, image_id: str
) -> None:
    chance = random.Random(50)
    node = Node.of(tmp_path, shared).with_service(cutter.base)
    # The first connection is for the description, and does not even bring that.
    cutter.cuts = [1, 200, *(chance.randrange(MIB // 10) for _ in range(50))]

    node.fetcher().fetch(image_id, node.dest)

    assert cutter.cuts == []
    assert node.dest.read_bytes() == DATA
    assert node.litter() == []


@pytest.mark.usefixtures("haste")
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    cuts=st.lists(st.integers(0, len(DATA) + 2000), max_size=4),
    connections=st.sampled_from([1, 3]),
)
def test_whatever_the_cuts_the_bytes_are_right(
    tmp_path: Path,
    shared: Server,
    cutter: Cutter,
    image_id: str,
    cuts: list[int],
    connections: int,
) -> None:
    node = Node.of(tmp_path, shared).with_service(cutter.base, num_retries=5)
    cutter.cuts = list(cuts)

    result = node.fetcher(connections=connections).fetch(image_id, node.dest)

    assert result.verified
    assert node.dest.read_bytes() == DATA


@pytest.mark.usefixtures("haste")
def test_retries_end_and_what_came_stays(
    tmp_path: Path, shared: Server, cutter: Cutter, image_id: str
) -> None:
    node = Node.of(tmp_path, shared).with_service(cutter.base, num_retries=2)
    # The description and some data, then three connections that bring nothing.
    cutter.cuts = [MIB, 0, 0, 0]

    with pytest.raises(FetchUnreachable):
        node.fetcher().fetch(image_id, node.dest)

    assert 0 < (tmp_path / "disk.part").stat().st_size < MIB
    cutter.cuts = []
    node.fetcher().fetch(image_id, node.dest)
    assert node.dest.read_bytes() == DATA


class Whole(BaseHTTPRequestHandler):
    """A service that knows no ranges."""

    image: ClassVar[dict[str, object]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        is_data = self.path.endswith("/file")
        body = DATA if is_data else json.dumps(self.image).encode()
        if is_data:
            self.asked.append(self.headers.get("Range", ""))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_service_without_ranges_sends_the_whole(node: Node, image_id: str) -> None:
    Whole.image, Whole.asked[:] = node.server.client().show(image_id), []
    with ThreadingHTTPServer(("127.0.0.1", 0), Whole) as service:
        threading.Thread(target=service.serve_forever, args=[0.02], daemon=True).start()
        far = node.with_service(f"http://127.0.0.1:{service.server_port}")
        result = far.fetcher(connections=4).fetch(image_id, node.dest)
        service.shutdown()

    assert Whole.asked == [f"bytes=0-{4 * MIB - 1}", ""]
    assert (result.verified, node.dest.read_bytes()) == (True, DATA)


def test_ranges_come_side_by_side(node: Node, shared: Server, cutter: Cutter) -> None:
    before = cutter.answers
    far = node.with_service(cutter.base)
    data = random.Random(9).randbytes(18 * MIB + 5)
    image_id = upload(shared, data)
    told: list[Progress] = []

    far.fetcher(connections=4).fetch(image_id, node.dest, progress=told.append)

    assert node.dest.read_bytes() == data
    assert cutter.answers >= before + 2
    assert [each.event for each in told].count("start") == 1


@pytest.mark.long
def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, serve: Serve) -> None:
    server = serve(SHARING, files={"metadata.json": METADATA})
    node = Node.of(tmp_path, server)
    process = begin(node, upload(server), "--limit-rate", str(MIB), "--retries=20")
    assert eventually(lambda: has_begun(tmp_path / "disk.part"))
    server.kill9()
    server.start()
    _, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    assert node.dest.read_bytes() == DATA


def test_a_killed_process_leaves_a_part_for_the_next(node: Node, image_id: str) -> None:
    process = begin(node, image_id, "--limit-rate", str(MIB // 4))
    part = node.where / "disk.part"
    assert eventually(lambda: has_begun(part))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = part.stat().st_size
    assert not node.dest.exists()

    shown, errors = begin(node, image_id, "--progress", "json").communicate(timeout=300)

    first = shown.splitlines()[0]
    assert f'"done":{left},' in first, (first, errors)
    assert node.dest.read_bytes() == DATA
    assert node.litter() == []


@pytest.mark.long
def test_a_process_that_is_killed_holds_no_lock(node: Node, image_id: str) -> None:
    words = (image_id, "--cache-dir", "cache", "--endpoint", node.server.base)
    process = node.command(*words, "--limit-rate", str(MIB // 4))
    kept = node.where / "cache" / image_id[:2] / image_id
    part = kept.with_name(kept.name + ".part")
    assert eventually(lambda: has_begun(part))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (node.where / "cache" / "locks" / f"{image_id}.lock").exists()

    result = node.with_cache(lock_timeout=0).fetcher().fetch(image_id)

    assert (result.source, kept.read_bytes()) == ("http", DATA)
    assert node.litter() == []


def test_a_disk_that_fills_up(node: Node, image_id: str) -> None:
    process = begin(
        node,
        image_id,
        preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, 2 * MIB)),
    )
    shown, errors = process.communicate(timeout=300)

    assert (process.returncode, shown) == (8, ""), errors
    assert "no room" in errors
    assert list(node.where.iterdir()) == []


def has_begun(part: Path) -> bool:
    """Return whether a part holds some bytes, of which most are still to come."""
    return part.exists() and part.stat().st_size > MIB // 8


def begin(
    node: Node, image_id: str, *options: str, preexec: Callable[[], None] | None = None
) -> "subprocess.Popen[str]":
    """Start the command for one image."""
    words = (image_id, "--dest", str(node.dest), "--endpoint", node.server.base)
    return node.command(*words, *options, preexec=preexec)
