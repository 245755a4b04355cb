"""A real server of two processes in front of a real web server that counts."""

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.registry import CACHE, merged
from tests.server import Server, eventually
from tests.stores.web import Page, Web, web_server
from tests.wire import ADMIN, as_, head

MiB = 1024 * 1024
DATA = os.urandom(MiB) * 8

#: Clients may name locations on this machine, and say what their hashes are.
CONFIG = merged(
    CACHE,
    {
        "DEFAULT": {"do_secure_hash": "false"},
        "import_filtering_opts": {
            "allowed_hosts": "[127.0.0.1]",
            "allowed_ports": "[]",
        },
    },
)


@dataclass
class Far:
    """A server with a cache, and the web server that has its images."""

    server: Server
    web: Web
    count: int = 0

    @property
    def cache(self) -> Path:
        return self.server.where / "cache"

    def image(self, data: bytes = DATA, **page: object) -> str:
        """Return the id of an image whose data lie on the web server."""
        self.count += 1
        url = self.web.put(f"/{self.count}", data, **page)
        client = self.server.client()
        image_id = str(client.create()["id"])
        digest = hashlib.sha512(data).hexdigest()
        body = {
            "url": url,
            "validation_data": {"os_hash_algo": "sha512", "os_hash_value": digest},
        }
        path = f"/v2/images/{image_id}/locations"
        assert client.request("POST", path, document=body).status == 202
        assert eventually(lambda: client.show(image_id)["status"] == "active")
        return image_id

    def page(self) -> Page:
        """Return the page of the image that was made last."""
        return self.web.pages[f"/{self.count}"]

    def reads(self) -> list[str]:
        """Return the range of each read of the image that was made last."""
        return [
            headers.get("Range", "whole")
            for method, path, headers in self.web.asked
            if method == "GET" and path == f"/{self.count}"
        ]

    def download(self, image_id: str) -> bytes:
        """Download an image whole."""
        answer = self.server.client().get(f"/v2/images/{image_id}/file")
        assert answer.status == 200, answer
        return answer.body

    def is_cached(self, image_id: str) -> Callable[[], bool]:
        """Return the question whether a finished copy is there, and no other."""
        file, incomplete = self.cache / image_id, self.cache / "incomplete"
        return lambda: file.exists() and not any(incomplete.glob(f"{image_id}*"))

    def begin(self, image_id: str, window: int = 4096) -> socket.socket:
        """Begin a download, and read as good as nothing of it."""
        peer = socket.socket()
        peer.settimeout(120)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        peer.connect(("127.0.0.1", self.server.port))
        peer.sendall(head("GET", f"/v2/images/{image_id}/file", as_()))
        assert peer.recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"
        return peer


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory, web: Web) -> Iterator[Far]:
    where = tmp_path_factory.mktemp("far")
    server = Server(where, CONFIG, workers=2).start()
    yield Far(server, web)
    server.stop()


def alone(serve: Serve, web: Web, **config: Mapping[str, object]) -> Far:
    """Return a server of the test's own."""
    web.pages.clear()
    web.asked.clear()
    return Far(serve(merged(CONFIG, config), workers=2), web)


def whole(peer: socket.socket) -> bytes:
    """Return the body of a download that was begun."""
    received = bytearray(b"HTTP/1.1 200")
    while len(received) < len(DATA) + received.find(b"\r\n\r\n") + 4:
        piece = peer.recv(MiB)
        if not piece:
            break
        received += piece
    peer.close()
    return bytes(received.partition(b"\r\n\r\n")[2])


def test_many_misses_in_two_processes_read_the_store_once(far: Far) -> None:
    held = threading.Event()
    image_id = far.image(held=held)
    count = 24

    with ThreadPoolExecutor(count) as pool:
        begun = [pool.submit(far.download, image_id) for _ in range(count)]
        assert eventually(lambda: len(far.reads()) > 0)
        # All of them, also those that come while half of it is there.
        begun.append(pool.submit(far.download, image_id))
        held.set()
        read = {hashlib.md5(each.result(120)).digest() for each in begun}

    assert read == {hashlib.md5(DATA).digest()}
    assert len(far.reads()) == 1
    assert eventually(far.is_cached(image_id))
    assert far.download(image_id) == DATA
    assert len(far.reads()) == 1


def test_ranges_come_from_the_copy(far: Far) -> None:
    image_id = far.image()
    path = f"/v2/images/{image_id}/file"
    client = far.server.client()

    before = client.get(path, Range="bytes=5-9")
    uncached = len(far.reads())
    far.download(image_id)
    assert eventually(far.is_cached(image_id))
    parts = [client.get(path, Range=f"bytes={n}-{n + 999}") for n in (0, MiB, 5 * MiB)]

    assert (before.status, before.body, uncached) == (206, DATA[5:10], 1)
    assert [part.body for part in parts] == [
        DATA[n : n + 1000] for n in (0, MiB, 5 * MiB)
    ]
    assert [part.headers["content-range"] for part in parts] == [
        f"bytes {n}-{n + 999}/{len(DATA)}" for n in (0, MiB, 5 * MiB)
    ]
    assert far.reads()[1:] == [f"bytes=0-{len(DATA) - 1}"]


@pytest.mark.parametrize("goes", [True, False], ids=["goes away", "stalls"])
def test_the_first_client_matters_to_nobody(far: Far, goes: bool) -> None:
    held = threading.Event()
    image_id = far.image(held=held)
    first = far.begin(image_id)

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(far.download, image_id) for _ in range(2)]
        if goes:
            first.close()
        held.set()
        read = [other.result(120) for other in others]

    assert read == [DATA] * 2
    assert eventually(far.is_cached(image_id))
    if not goes:
        assert whole(first) == DATA
    assert len(far.reads()) == 1


def test_a_copy_is_finished_although_nobody_waits(far: Far) -> None:
    held = threading.Event()
    image_id = far.image(held=held)

    far.begin(image_id).close()
    held.set()

    assert eventually(far.is_cached(image_id))
    assert far.download(image_id) == DATA
    assert len(far.reads()) == 1


def test_other_data_than_the_record_says_are_no_copy(far: Far) -> None:
    image_id = far.image()
    page = far.page()
    page.body = b"?" + DATA[1:]

    wrong = far.download(image_id)
    assert eventually(lambda: any((far.cache / "invalid").glob(f"{image_id}*")))
    page.body = DATA
    right = far.download(image_id)

    assert (wrong, right) == (b"?" + DATA[1:], DATA)
    assert eventually(far.is_cached(image_id))
    assert len(far.reads()) == 2


def test_a_store_that_breaks_off_is_read_on(far: Far) -> None:
    held = threading.Event()
    image_id = far.image(held=held, cut=MiB)
    page = far.page()

    with ThreadPoolExecutor(3) as pool:
        begun = [pool.submit(far.download, image_id) for _ in range(3)]
        assert eventually(lambda: len(far.reads()) > 0)
        # The read that runs is cut short all the same.
        far.web.pages[f"/{far.count}"] = Page(DATA)
        held.set()
        read = [each.result(120) for each in begun]

    assert page.cut == MiB
    assert read == [DATA] * 3


def test_a_queued_image_is_fetched_and_a_deleted_one_dropped(far: Far) -> None:
    image_id = far.image()
    admin = far.server.client(ADMIN)

    assert admin.request("PUT", f"/v2/cache/{image_id}").status == 202
    assert eventually(far.is_cached(image_id))
    fetched = len(far.reads())
    assert far.download(image_id) == DATA
    assert len(far.reads()) == fetched == 1
    assert admin.request("DELETE", f"/v2/images/{image_id}").status == 204

    assert not (far.cache / image_id).exists()
    assert admin.get(f"/v2/images/{image_id}/file").status == 404


def test_hits_of_all_processes_are_counted(far: Far) -> None:
    image_id = far.image(DATA[:1000])
    far.download(image_id)
    assert eventually(far.is_cached(image_id))

    for _ in range(20):
        far.download(image_id)

    def hits() -> int:
        listed = far.server.client(ADMIN).get("/v2/cache").json()["cached_images"]
        return int(next(c["hits"] for c in listed if c["image_id"] == image_id))

    assert eventually(lambda: hits() == 20)


def test_a_crash_while_copies_are_made_leaves_nothing_half_done(
    serve: Serve, web: Web
) -> None:
    far = alone(serve, web)
    held = threading.Event()
    image_id = far.image(held=held)
    peer = far.begin(image_id)
    incomplete = far.cache / "incomplete"
    assert eventually(
        lambda: sum(path.stat().st_size for path in incomplete.iterdir()) > MiB
    )

    far.server.kill9()
    peer.close()
    held.set()
    far.server.start()
    left = [path.name[:36] for path in incomplete.iterdir()]
    partial = (far.cache / image_id).exists()
    listed = far.server.client(ADMIN).get("/v2/cache").json()

    assert left == [image_id]
    assert not partial
    assert listed["cached_images"] == []
    assert far.download(image_id) == DATA
    assert eventually(far.is_cached(image_id))
    assert far.download(image_id) == DATA
    assert len(far.reads()) == 2


def test_a_process_that_dies_leaves_the_others_their_download(
    serve: Serve, web: Web
) -> None:
    """The master starts another one; who was served by the dead one is cut off."""
    far = alone(serve, web)
    image_id = far.image()
    for round_ in range(3):
        far.page().held = threading.Event()
        peers = [far.begin(image_id) for _ in range(4)]
        far.server.kill9_workers()
        held = far.page().held
        assert held is not None
        held.set()
        for peer in peers:
            peer.close()
        far.page().held = None

        assert eventually(far.server.is_answering), round_
        assert far.download(image_id) == DATA
        assert eventually(far.is_cached(image_id))
        path = f"/v2/cache/{image_id}"
        assert far.server.client(ADMIN).request("DELETE", path).status == 204


def test_a_limit_on_files_fails_no_download(serve: Serve, web: Web) -> None:
    """As a disk that fills up while a copy is made."""
    limit = 6 * MiB
    web.pages.clear()
    web.asked.clear()
    far = Far(serve(CONFIG, prefix=("prlimit", f"--fsize={limit}")), web)
    image_id = far.image()

    assert [far.download(image_id) for _ in range(2)] == [DATA] * 2
    assert not (far.cache / image_id).exists()


def test_a_cache_outgrown_is_pruned(serve: Serve, web: Web) -> None:
    far = alone(serve, web, DEFAULT={"image_cache_max_size": 2 * len(DATA)})
    ids = []
    for _ in range(3):
        ids.append(far.image())
        far.download(ids[-1])
        assert eventually(far.is_cached(ids[-1]))

    assert eventually(lambda: not (far.cache / ids[0]).exists())
    assert all((far.cache / image_id).exists() for image_id in ids[1:])
    assert far.download(ids[0]) == DATA
