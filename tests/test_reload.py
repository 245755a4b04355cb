"""SIGHUP and SIGTERM: the configuration changes, and no transfer is dropped."""

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.server import Server, eventually
from tests.test_server import SlowUpload
from tests.wire import Client

Serve = Callable[..., Server]

#: More than the buffers between server and client hold.
DATA = os.urandom(24 * 1024 * 1024)


class SlowDownload(threading.Thread):
    """A download that stops reading in the middle until it is told to go on."""

    def __init__(self, server: Server, image: str) -> None:
        super().__init__(daemon=True)
        self.halfway = threading.Event()
        self.go_on = threading.Event()
        self.body = b""
        url = urlsplit(server.base)
        self._peer = socket.create_connection((url.hostname or "", url.port), 120)
        fields = "".join(
            f"{n}: {v}\r\n" for n, v in Client(server.base).headers.items()
        )
        self._peer.sendall(
            f"GET /v2/images/{image}/file HTTP/1.1\r\nHost: x\r\n"
            f"Connection: close\r\n{fields}\r\n".encode()
        )

    def run(self) -> None:
        with self._peer, self._peer.makefile("rb") as answer:
            while answer.readline().strip():
                """Skip the head."""
            self.body = answer.read(len(DATA) // 8)
            self.halfway.set()
            self.go_on.wait(300)
            self.body += answer.read()


class Transfers:
    """An upload and a download that are both under way."""

    def __init__(self, server: Server) -> None:
        client = server.client()
        whole, self.image = client.create()["id"], client.create()["id"]
        assert client.upload(whole, DATA).status == 204
        self.up = SlowUpload(server, self.image)
        self.down = SlowDownload(server, whole)
        for each in (self.up, self.down):
            each.start()
            assert each.halfway.wait(60)
        assert eventually(lambda: client.show(self.image)["status"] == "saving")

    def finish(self) -> tuple[int | None, bool]:
        """Let both go on; return the upload's status, and whether all bytes came."""
        for each in (self.up, self.down):
            each.go_on.set()
            each.join(120)
        return self.up.status, self.down.body == DATA


def children(server: Server) -> set[str]:
    """Return the processes that serve requests."""
    assert server.process is not None
    pid = server.process.pid
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def conf(server: Server) -> Path:
    return server.where / "etc" / "imagereg.conf"


def edit(server: Server, old: str, new: str) -> None:
    """Change the configuration file, and have it read again."""
    text = conf(server).read_text()
    assert text.count(old) == 1
    conf(server).write_text(text.replace(old, new))
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)


def test_a_new_configuration_takes_effect_and_drops_no_transfer(serve: Serve) -> None:
    server = serve({"DEFAULT": {"image_tag_quota": 128}}, workers=2)
    transfers, before = Transfers(server), children(server)

    edit(server, "image_tag_quota = 128", "image_tag_quota = 0")

    def refuses() -> bool:
        answer = server.client().request(
            "POST", "/v2/images", document={"tags": ["one"]}
        )
        assert answer.status in (201, 413)
        return answer.status == 413

    # New processes begin before the old ones are told to end.
    assert eventually(refuses)
    assert eventually(lambda: len(children(server) - before) == 2)
    # Those that wait for their transfers take no more requests.
    assert eventually(lambda: all(refuses() for _ in range(30)))
    assert transfers.finish() == (204, True)
    assert server.client().show(transfers.image)["status"] == "active"
    assert eventually(lambda: not children(server) & before, 60)
    assert server.client().get("/v2/images").status == 200


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("flavor = trusted-headers", "flavor = magic", "[paste_deploy] flavor"),
        ("image_tag_quota = 128", "image_tag_quota = x", "image_tag_quota"),
    ],
)
def test_a_faulty_configuration_is_told_and_not_taken(
    serve: Serve, old: str, new: str, fault: str
) -> None:
    server = serve({"DEFAULT": {"image_tag_quota": 128}})
    before = children(server)

    edit(server, old, new)

    said = "the configuration stays as it was"
    assert eventually(lambda: said in server.log())
    assert eventually(lambda: fault in server.log())
    assert eventually(lambda: not children(server) & before, 60)
    assert server.client().create(tags=["one"])["tags"] == ["one"]


def descriptors(server: Server) -> int:
    assert server.process is not None
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_reading_it_again_and_again_opens_no_more_files(serve: Serve) -> None:
    journals = {"event_log": "{dir}/e.jsonl", "audit_log": "{dir}/a.jsonl"}
    server = serve({"imagereg": journals, "DEFAULT": {"image_tag_quota": 128}})
    assert server.process is not None
    open_files = descriptors(server)

    def rounds() -> int:
        return server.log().count("the configuration was read again")

    for _ in range(3):
        before = rounds()
        server.process.send_signal(signal.SIGHUP)
        assert eventually(lambda n=before: rounds() > n, 60)  # type: ignore[misc] # mypy does not infer it
        # A process that ends has some too.
        assert eventually(lambda: descriptors(server) == open_files, 60)
    edit(server, "image_tag_quota = 128", "image_tag_quota = x")
    assert eventually(lambda: "the configuration stays" in server.log(), 60)
    assert eventually(lambda: descriptors(server) == open_files, 60)

    server.client().create(name="told")
    assert eventually(lambda: "told" in (server.where / "e.jsonl").read_text())
    assert '"action":"add_image"' in (server.where / "a.jsonl").read_text()


def test_a_stop_drops_no_transfer(serve: Serve) -> None:
    server = serve()
    transfers = Transfers(server)
    assert server.process is not None

    server.process.send_signal(signal.SIGTERM)

    assert eventually(lambda: not server.is_answering())
    assert transfers.finish() == (204, True)
    assert server.process.wait(60) == 0
    assert server.start().client().show(transfers.image)["status"] == "active"
