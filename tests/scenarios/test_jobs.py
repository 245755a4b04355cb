"""Background work survives the processes that do it."""

import hashlib
import threading
from collections.abc import Iterator

import pytest

from tests.conftest import Serve
from tests.server import Server, eventually
from tests.stores.web import Web, web_server
from tests.wire import ADMIN, Document

DATA = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(DATA).hexdigest()

LOCAL = {
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"}
}


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


def begin(server: Server, url: str, value: str = SHA256) -> str:
    """Ask for an image's data to be taken from a URL; return its id."""
    client = server.client()
    image_id = str(client.create()["id"])
    digest = {"os_hash_algo": "sha256", "os_hash_value": value}
    answer = client.request(
        "POST",
        f"/v2/images/{image_id}/locations",
        document={"url": url, "validation_data": digest},
    )
    assert answer.status == 202
    return image_id


def task(server: Server, image_id: str) -> Document:
    client = server.client(ADMIN)
    return dict(client.get(f"/v2/images/{image_id}/tasks").json()["tasks"][0])


def test_a_job_begins_at_once(serve: Serve, web: Web) -> None:
    server = serve(LOCAL, workers=2)

    image_id = begin(server, web.put("/x", DATA))

    client = server.client()
    assert eventually(lambda: client.show(image_id)["status"] == "active")
    assert client.show(image_id)["os_hash_value"] == SHA256
    assert eventually(lambda: task(server, image_id)["status"] == "success")


@pytest.mark.parametrize("end", ["workers", "server"])
def test_the_job_of_a_killed_process_is_taken_over(
    serve: Serve, web: Web, end: str
) -> None:
    held = threading.Event()
    server = serve(LOCAL, workers=2)
    image_id = begin(server, web.put("/x", DATA, held=held))
    client = server.client()
    assert eventually(lambda: any(method == "GET" for method, _, _ in web.asked))
    assert client.show(image_id)["status"] == "importing"

    if end == "workers":
        server.kill9_workers()
    else:
        server.kill9()
        server.start()
    held.set()

    assert eventually(lambda: client.show(image_id)["status"] == "active", 60)
    assert len([path for method, path, _ in web.asked if method == "GET"]) == 2
    assert client.download(image_id).body == DATA
    assert eventually(lambda: task(server, image_id)["status"] == "success")
