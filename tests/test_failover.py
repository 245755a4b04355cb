"""Downloads whose store breaks in the middle, over sockets.  Source: ruling S-16."""

import hashlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import databases
from tests.registry import SEVERAL_STORES, merged
from tests.server import Server, eventually
from tests.stores.web import Web, web_server
from tests.wire import as_, head

Serve = Callable[..., Server]

MiB = 1024 * 1024
#: More than the buffers of both ends of a connection take.
SIZE = 32 * MiB
DATA = os.urandom(MiB) * (SIZE // MiB)
MIDDLE = range(5 * MiB + 1, 31 * MiB + 3)

#: The web may be read, and comes first when asked for.
CONFIG = merged(
    SEVERAL_STORES,
    {
        "import_filtering_opts": {
            "allowed_hosts": "[127.0.0.1]",
            "allowed_ports": "[]",
        }
    },
)


@dataclass
class Download:
    """A download whose head was read, and as good as nothing of its body."""

    peer: socket.socket
    status: int
    length: int
    body: bytearray

    def rest(self) -> bytes:
        """Return the whole body, as far as it comes."""
        while len(self.body) < self.length:
            piece = self.peer.recv(MiB)
            if not piece:
                break
            self.body += piece
        return bytes(self.body)

    def keeps_alive(self, server: Server, image_id: str) -> bool:
        """Return whether another request on the connection is answered."""
        path = f"/v2/images/{image_id}"
        self.peer.sendall(head("GET", path, as_()))
        return self.peer.recv(100).startswith(b"HTTP/1.1 200 ")


Begin = Callable[[str, range | None, str], Download]


@pytest.fixture
def begin(server: Server) -> Iterator[Begin]:
    """Yield what begins downloads, all of which end with the test."""
    with ExitStack() as open_peers:

        def start(image_id: str, part: range | None, query: str) -> Download:
            download = _begin(server, image_id, part, query)
            open_peers.callback(download.peer.close)
            return download

        yield start


def _begin(server: Server, image_id: str, part: range | None, query: str) -> Download:
    headers = as_()
    if part is not None:
        headers["Range"] = f"bytes={part.start}-{part.stop - 1}"
    peer = socket.socket()
    peer.settimeout(60)
    # A small window, so that the server still reads when the store breaks.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    peer.connect(("127.0.0.1", server.port))
    peer.sendall(head("GET", f"/v2/images/{image_id}/file{query}", headers))
    received = b""
    while b"\r\n\r\n" not in received:
        piece = peer.recv(4096)
        assert piece, "the answer ended in its head"
        received += piece
    top, _, body = received.partition(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in top.splitlines()
        if line.lower().startswith(b"content-length:")
    )
    return Download(peer, int(top.split()[1]), length, bytearray(body))


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("failover"), CONFIG).start()
    yield running
    running.stop()


@pytest.fixture
def image_id(server: Server) -> str:
    """Return an image whose data lie in store `fast`."""
    image_id = str(server.client().create()["id"])
    assert server.client().upload(image_id, DATA).status == 204
    return image_id


def copy(server: Server, image_id: str, store: str, url: str | None = None) -> Path:
    """Note a further location; in a file store the bytes are there as well."""
    path = server.where / "images" / store / image_id
    if url is None:
        path.write_bytes(DATA)
        url = f"file://{path}"
    databases.execute(
        server.where,
        "INSERT INTO image_locations (image_id, url, metadata, store) "
        "VALUES (?, ?, ?, ?)",
        image_id,
        url,
        json.dumps({"store": store}),
        store,
    )
    return path


def shrink(path: Path) -> None:
    os.truncate(path, 6 * MiB)


def overwrite(path: Path) -> None:
    """Put another file in its place; who has it open reads on."""
    path.unlink()
    path.write_bytes(b"other")


def expected(part: range | None) -> bytes:
    return DATA if part is None else DATA[part.start : part.stop]


@pytest.mark.parametrize("part", [None, MIDDLE])
@pytest.mark.parametrize("trouble", [shrink, Path.unlink, overwrite])
def test_a_file_that_breaks_goes_on_in_the_next_store(
    server: Server,
    begin: Begin,
    image_id: str,
    part: range | None,
    trouble: Callable[[Path], None],
) -> None:
    copy(server, image_id, "cheap")
    download = begin(image_id, part, "?prefer=fast")

    trouble(server.where / "images" / "fast" / image_id)

    assert download.status == (206 if part else 200)
    assert hashlib.sha256(download.rest()).digest() == (
        hashlib.sha256(expected(part)).digest()
    )
    assert download.keeps_alive(server, image_id)


@pytest.mark.parametrize("part", [None, MIDDLE])
def test_the_last_file_that_breaks_cuts_the_connection(
    server: Server, begin: Begin, image_id: str, part: range | None
) -> None:
    download = begin(image_id, part, "")

    shrink(server.where / "images" / "fast" / image_id)
    received = download.rest()

    assert len(received) < download.length == len(expected(part))
    assert expected(part).startswith(received)
    assert download.peer.recv(100) == b""
    assert eventually(lambda: "no location is left" in server.log())
    assert "Traceback" not in server.log()


@pytest.mark.parametrize("length", [SIZE - 1, SIZE + 1, 0])
def test_a_copy_of_another_size_is_no_copy(
    server: Server, begin: Begin, image_id: str, length: int
) -> None:
    other = copy(server, image_id, "cheap")
    os.truncate(other, length)
    download = begin(image_id, None, "?prefer=fast")

    shrink(server.where / "images" / "fast" / image_id)

    assert len(download.rest()) < download.length


def test_data_without_a_digest_are_not_mixed(
    server: Server, begin: Begin, image_id: str
) -> None:
    copy(server, image_id, "cheap")
    databases.execute(
        server.where, "UPDATE images SET os_hash_value = NULL WHERE id = ?", image_id
    )
    download = begin(image_id, None, "?prefer=fast")

    shrink(server.where / "images" / "fast" / image_id)

    assert len(download.rest()) < download.length


@pytest.mark.parametrize("part", [None, MIDDLE])
def test_a_web_server_that_hangs_up_is_replaced(
    server: Server, begin: Begin, image_id: str, web: Web, part: range | None
) -> None:
    url = web.put(f"/{image_id}", DATA, cut=9 * MiB, held=threading.Event())
    copy(server, image_id, "web", url)
    download = begin(image_id, part, "?prefer=web")

    held = web.pages[f"/{image_id}"].held
    assert held is not None
    held.set()

    assert download.rest() == expected(part)
    assert download.keeps_alive(server, image_id)
    assert eventually(lambda: "reading on from byte" in server.log())


@pytest.mark.parametrize("part", [None, MIDDLE])
def test_the_last_web_server_that_hangs_up_cuts_the_connection(
    server: Server, begin: Begin, image_id: str, web: Web, part: range | None
) -> None:
    url = web.put(f"/{image_id}", DATA, cut=9 * MiB)
    copy(server, image_id, "web", url)
    (server.where / "images" / "fast" / image_id).unlink()
    download = begin(image_id, part, "?prefer=web")

    received = download.rest()

    assert len(received) == len(expected(part)) - 9 * MiB
    assert expected(part).startswith(received)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_object_that_is_too_short_from_the_start_is_passed_over(
    server: Server, image_id: str, method: str
) -> None:
    shrink(server.where / "images" / "fast" / image_id)
    path = f"/v2/images/{image_id}/file"

    alone = server.client().request(method, path)
    first = server.client().download(image_id, Range="bytes=0-9")
    copy(server, image_id, "cheap")
    both = server.client().request(method, path)

    assert alone.status == 503
    assert (first.status, first.body) == (206, DATA[:10])
    assert (both.status, both.headers["content-length"]) == (200, str(SIZE))
    assert both.body == (DATA if method == "GET" else b"")
