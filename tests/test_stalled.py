"""Peers that stall are cut after a while, and slow ones are not.

Source: DATAPATH 1, "Stalled peers"; issue 5, item 4.
"""

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.bench import bench_stalled
from tests.bench.bench_stalled import an_image, stalled
from tests.registry import merged
from tests.server import Server, eventually, is_as_before
from tests.stalling import begin, stalled_download, stalled_upload
from tests.stores.web import Web, web_server
from tests.test_crash import is_status
from tests.wire import as_, head

Serve = Callable[..., Server]

MiB = 1024 * 1024
IDLE_S = 2
IDLE = {
    "imagereg": {
        "upload_idle_timeout": str(IDLE_S),
        "download_idle_timeout": str(IDLE_S),
    },
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"},
}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that waits two seconds for its peers."""
    running = Server(tmp_path_factory.mktemp("impatient"), merged(IDLE)).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def image_id(impatient: Server) -> str:
    return an_image(impatient)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


def seconds_until_cut(peer: socket.socket) -> float:
    """Return how long the server holds a connection that nobody reads from."""
    begun = time.monotonic()
    try:
        while peer.recv(MiB):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begun


def test_an_image_is_shown_at_once_while_64_transfers_of_each_kind_stall(
    server: Server,
) -> None:
    image_id = an_image(server)
    at_rest = bench_stalled.show(server, image_id, 200).part(0.99)

    beside: list[float] = []

    def is_quick() -> bool:
        beside.append(bench_stalled.show(server, image_id, 200).part(0.99))
        # The target is 50 ms, on a machine that has nothing else to do.
        return beside[-1] < max(50, 4 * at_rest)

    # Peers that stall hold requests up in every round, other work on this machine in
    # some of them.
    with stalled(server, image_id, 64):
        assert eventually(is_quick, 30), (beside, at_rest)


@pytest.mark.parametrize(
    "framing", ["Content-Length: 9999", "Transfer-Encoding: chunked"]
)
def test_an_upload_that_stalls_is_cut(impatient: Server, framing: str) -> None:
    client = impatient.client()
    image_id = client.create()["id"]
    files = impatient.stored_files()

    begun = time.monotonic()
    with stalled_upload(impatient, image_id, framing) as peer:
        answer = peer.recv(100)
        took_s = time.monotonic() - begun

    assert IDLE_S - 1 < took_s < IDLE_S + 30
    assert answer.startswith(b"HTTP/1.1 4")
    assert eventually(is_status(client, image_id, "queued"))
    assert eventually(lambda: is_as_before(impatient, files))


def test_a_head_that_stalls_is_cut(impatient: Server) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), 60) as peer:
        peer.sendall(b"GET /v2/images HTTP/1.1\r\nHost: ")

        took_s = seconds_until_cut(peer)

    assert took_s < IDLE_S + 30
    assert eventually(lambda: "the client stalled" in impatient.log())
    assert "Traceback" not in impatient.log()


def is_held(server: Server, port: int) -> bool:
    """Return whether a process has the server's end of a connection open.

    What the kernel alone still knows of a closed connection has no inode.
    """
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ends = [int(fields[side].split(":")[1], 16) for side in (1, 2)]
        if ends == [server.port, port]:
            return fields[9] != "0"
    return False


def stored_on_the_web(server: Server, web: Web, data: bytes) -> str:
    """Return the id of an image whose bytes do not come from a file."""
    image_id = str(server.client().create()["id"])
    assert server.client().upload(image_id, data).status == 204
    (server.images_dir / image_id).unlink()
    row = (web.put("/image", data), json.dumps({}), "http", image_id)
    databases.execute(
        server.where,
        "UPDATE image_locations SET url = ?, metadata = ?, store = ? "
        "WHERE image_id = ?",
        *row,
    )
    return image_id


@pytest.mark.parametrize("kind", ["sent by the kernel", "sent by us"])
def test_a_download_that_stalls_is_cut(
    impatient: Server, image_id: str, web: Web, kind: str
) -> None:
    if kind == "sent by us":
        image_id = stored_on_the_web(impatient, web, bytes(32 * MiB))

    begun = time.monotonic()
    with stalled_download(impatient, image_id) as peer:
        port = peer.getsockname()[1]
        assert peer.recv(12) == b"HTTP/1.1 200"
        assert eventually(lambda: not is_held(impatient, port), IDLE_S + 30)
        took_s = time.monotonic() - begun

    assert took_s > IDLE_S - 1
    assert "Traceback" not in impatient.log()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_slow_upload_takes_as_long_as_it_needs(
    impatient: Server, chunked: bool
) -> None:
    client = impatient.client()
    image_id = client.create()["id"]
    sent = os.urandom(21)
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": "21"}
    begun = time.monotonic()

    with socket.create_connection(("127.0.0.1", impatient.port), 60) as peer:
        fixed = {"Content-Type": "application/octet-stream", **as_(), **framing}
        peer.sendall(head("PUT", f"/v2/images/{image_id}/file", fixed))
        for at in range(21):
            # So short that a busy machine does not make it a stall.
            time.sleep(IDLE_S / 10)
            byte = sent[at : at + 1]
            peer.sendall(b"1\r\n%s\r\n" % byte if chunked else byte)
        peer.sendall(b"0\r\n\r\n" if chunked else b"")
        answer = peer.recv(100)

    assert time.monotonic() - begun > 2 * IDLE_S
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert client.download(image_id).body == sent


@pytest.mark.long
@pytest.mark.parametrize("step", [2 * MiB, 16384])
@pytest.mark.parametrize("kind", ["sent by the kernel", "sent by us"])
def test_a_slow_download_takes_as_long_as_it_needs(
    impatient: Server, image_id: str, web: Web, kind: str, step: int
) -> None:
    if kind == "sent by us":
        image_id = stored_on_the_web(impatient, web, bytes(32 * MiB))
    left = 32 * MiB
    begun = time.monotonic()

    with stalled_download(impatient, image_id) as peer, peer.makefile("rb") as answer:
        while (line := answer.readline()) != b"\r\n":
            assert line, "the answer ended in its head"
        # Far less than what makes the kernel ask the server for more.
        while time.monotonic() - begun < 4 * IDLE_S:
            left -= len(answer.read(min(step, left)))
            time.sleep(IDLE_S / 4)
        while left and (piece := answer.read(min(MiB, left))):
            left -= len(piece)

    assert left == 0


def test_peers_that_do_not_hang_up_hold_nobody_up(server: Server) -> None:
    closing = "Connection: close\r\n"
    peers = [begin(server, "GET /v2/images HTTP/1.1\r\n", closing) for _ in range(20)]
    for peer in peers:
        assert peer.recv(100).startswith(b"HTTP/1.1 200 ")

    begun = time.monotonic()
    answer = server.client().get("/v2/images")
    took_s = time.monotonic() - begun
    for peer in peers:
        peer.close()

    # gunicorn would wait two seconds for each of them in turn.
    assert answer.status == 200
    assert took_s < 15


def test_idle_connections_hold_no_thread(serve: Serve) -> None:
    server = serve()
    path = "/v2/images"
    idle = []
    # Fewer than would be hung up meanwhile, for having rested too long.
    for _ in range(150):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", path, headers=as_())
        connection.getresponse().read()
        idle.append(connection)

    threads = len(list(Path(f"/proc/{worker_of(server)}/task").iterdir()))
    answers = []
    for connection in idle:
        connection.request("GET", path, headers=as_())
        answers.append(connection.getresponse().status)
        connection.close()

    assert threads < 100
    assert answers == [200] * len(idle)
    assert threading.active_count() < 100


def worker_of(server: Server) -> str:
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return children.split()[0]
