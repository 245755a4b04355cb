"""The deployment of `conf/`, as written: two nodes, PostgreSQL, S3, nginx in front.

One node is killed and started again while clients create, change, upload, download
and delete.  What was acknowledged is there, nothing is half-visible, and the counts of
the quotas are those of the images.
"""

import base64
import hashlib
import http.client
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import bcrypt
import pytest

from tests import databases, nginx
from tests.ports import free_port
from tests.server import PROGRAM, eventually
from tests.stores.bucket import Service as S3Service
from tests.stores.bucket import s3_service
from tests.wire import Answer, Client

CONF = Path(__file__).parent.parent / "conf"

#: More images than a project may have are asked for.
MOST_IMAGES = 30

CLIENTS = 6
MIB = 1024 * 1024


def replaced(name: str, changes: dict[str, str]) -> str:
    """Return a file of `conf/` with places of the test, and nothing else changed."""
    text = (CONF / name).read_text()
    for old, new in changes.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@dataclass
class Node:
    """One node, with a configuration of its own."""

    where: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with (self.where / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "serve", "--config", self.where / "two-nodes.conf"],
                cwd=self.where,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert eventually(self.is_answering, 90), (self.where / "log").read_text()

    def is_answering(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            base = f"http://127.0.0.1:{self.port}"
            return Client(base, {}, 10).get("/versions").status == 200
        return False

    def kill(self) -> None:
        """End all its processes at once."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def make_node(where: Path, database: str, s3: S3Service, bucket: str) -> Node:
    """Write the files of a node."""
    where.mkdir()
    port = free_port()
    changes = {
        "bind_port = 9292": f"bind_port = {port}",
        "postgresql://imagereg:secret@db.example.org/imagereg": database,
        "https://s3.example.org": f"http://{s3.host}",
        "s3_store_bucket = images": f"s3_store_bucket = {bucket}\n"
        "s3_store_create_bucket_on_put = true",
        "s3_store_access_key = key": f"s3_store_access_key = {s3.access_key}",
        "s3_store_secret_key = secret": f"s3_store_secret_key = {s3.secret_key}",
        "/etc/imagereg/htpasswd": str(where / "htpasswd"),
        "/etc/imagereg/users.ini": str(where / "users.ini"),
        "/etc/imagereg/limits.ini": str(where / "limits.ini"),
        "state_dir = /var/lib/imagereg": f"state_dir = {where / 'state'}",
    }
    (where / "two-nodes.conf").write_text(replaced("two-nodes.conf", changes))
    digest = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (where / "htpasswd").write_text(f"alice:{digest}\n")
    (where / "users.ini").write_text(
        "[alice]\nproject = project-a\nroles = member,reader\n"
    )
    (where / "limits.ini").write_text(f"[default]\nimage_count_total = {MOST_IMAGES}\n")
    return Node(where, port)


@contextmanager
def deployed(where: Path) -> Iterator[tuple[str, list[Node]]]:
    """Yield the URL of the front end, and the nodes behind it."""
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_service(where / "s3"))
        database = databases.Service("postgresql", durable=True)
        stack.callback(database.stop, wipe=True)
        url, bucket = database.database("two-nodes"), f"images-{uuid4().hex}"
        nodes = [make_node(where / name, url, s3, bucket) for name in ("one", "two")]
        for node in nodes:
            stack.callback(node.kill)
            node.start()
        port = free_port()
        one, two = (node.port for node in nodes)
        changes = {
            "listen 8080;": f"listen 127.0.0.1:{port};",
            "127.0.0.1:9292": f"127.0.0.1:{one}",
            "127.0.0.1:9293": f"127.0.0.1:{two}",
        }
        served = replaced("nginx-two-nodes.conf", changes)
        stack.enter_context(nginx.running(where / "nginx", port, served))
        yield f"http://127.0.0.1:{port}", nodes


def alice(base: str) -> Client:
    word = base64.b64encode(b"alice:secret").decode()
    return Client(base, {"Authorization": f"Basic {word}"}, 60)


@dataclass
class Worker(threading.Thread):
    """A client that works until it is told to stop, and notes what it was promised.

    Attributes:
        promised: image -> its tags, and the digest of its data once it has some.
        doubtful: images of which a change was not answered.
        gone: images whose deletion was acknowledged.
        refused: how often there was no more room.
        lost: requests that were not answered.
    """

    base: str
    stop: threading.Event
    promised: dict[str, dict[str, str | None]] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    refused: int = 0
    lost: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self.client = alice(self.base)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        while not self.stop.is_set():
            image_id = self._create()
            if image_id is None:
                time.sleep(0.05)
                self._delete()
                continue
            self._tag(image_id)
            self._upload(image_id)
            self.client_asks("GET", "/v2/images?limit=5")

    def client_asks(self, method: str, path: str, **more: object) -> Answer | None:
        """Return an answer; None if there was none, or a node was away."""
        try:
            answer = self.client.request(method, path, **more)  # type: ignore[arg-type] # as of `Client`
        except (OSError, http.client.HTTPException):
            self.lost += 1
            return None
        if answer.status >= 500:
            self.lost += 1
            return None
        return answer

    def _create(self) -> str | None:
        answer = self.client_asks(
            "POST",
            "/v2/images",
            document={"disk_format": "raw", "container_format": "bare"},
        )
        if answer is None:
            return None
        if answer.status == 413:
            self.refused += 1
            return None
        assert answer.status == 201, answer
        image_id = str(answer.json()["id"])
        self.promised[image_id] = {"tag": None, "digest": None}
        return image_id

    def _tag(self, image_id: str) -> None:
        answer = self.client_asks("PUT", f"/v2/images/{image_id}/tags/kept")
        if answer is not None and answer.status == 204:
            self.promised[image_id]["tag"] = "kept"

    def _upload(self, image_id: str) -> None:
        data = os.urandom(MIB // 4)
        answer = self.client_asks(
            "PUT",
            f"/v2/images/{image_id}/file",
            body=data,
            headers={"Content-Type": "application/octet-stream"},
        )
        if answer is None or answer.status == 409:
            # Asked a second time, as above, or cut off.
            self.doubtful.add(image_id)
            return
        assert answer.status == 204, answer
        self.promised[image_id]["digest"] = hashlib.sha512(data).hexdigest()

    def _delete(self) -> None:
        if not self.promised:
            return
        image_id, kept = self.promised.popitem()
        answer = self.client_asks("DELETE", f"/v2/images/{image_id}")
        if answer is None:
            # Nobody knows, until somebody looks.
            self.doubtful.add(image_id)
        elif answer.status in (204, 404):
            # The front end asks the other node when the first one dies on it, and
            # that one finds the work done.
            self.gone.add(image_id)
        else:
            assert answer.status == 409, answer
            self.promised[image_id] = kept


def listed(client: Client) -> dict[str, dict[str, object]]:
    """Return all images of the project by id."""
    answer = client.get("/v2/images?limit=1000")
    assert answer.status == 200
    return {image["id"]: image for image in answer.json()["images"]}


def settled(client: Client) -> bool:
    """Return whether no image is on its way from one status to another."""
    images = listed(client).values()
    return {image["status"] for image in images} <= {"queued", "active"}


@pytest.mark.long
def test_a_node_dies_under_load_and_comes_back(tmp_path: Path) -> None:
    with deployed(tmp_path) as (base, nodes):
        stop = threading.Event()
        workers = [Worker(base, stop) for _ in range(CLIENTS)]
        for worker in workers:
            worker.start()

        def done() -> int:
            return sum(len(worker.gone) + len(worker.promised) for worker in workers)

        assert eventually(lambda: done() > MOST_IMAGES, 120)
        nodes[0].kill()
        before = done()
        # The other node goes on alone.
        assert eventually(lambda: done() > before + 10, 120)
        nodes[0].start()
        before = done()
        assert eventually(lambda: done() > before + 10, 120)
        stop.set()
        for worker in workers:
            worker.join(300)
            assert not worker.is_alive()

        client = alice(base)
        # What a dead process had under way is looked for once a minute.
        assert eventually(lambda: settled(client), 180)
        images = listed(client)
        promised = {i: kept for w in workers for i, kept in w.promised.items()}
        gone = {i for w in workers for i in w.gone}
        doubtful = {i for w in workers for i in w.doubtful}
        print_counts(workers, images)

        assert promised.keys() <= images.keys()
        assert not gone & images.keys()
        for image_id, kept in promised.items():
            image = images[image_id]
            if kept["tag"]:
                assert image["tags"] == [kept["tag"]]
            if kept["digest"]:
                assert (image["status"], image["os_hash_value"]) == (
                    "active",
                    kept["digest"],
                )
            elif image_id not in doubtful:
                assert image["status"] == "queued"
        for image_id, image in images.items():
            answer = client.download(image_id)
            if image["status"] == "active":
                assert answer.status == 200
                digest = hashlib.sha512(answer.body).hexdigest()
                assert digest == image["os_hash_value"]
            else:
                assert (answer.status, image.get("size")) == (204, None)
        assert sum(worker.refused for worker in workers) > 0
        assert len(images) <= MOST_IMAGES
        usage = client.get("/v2/info/usage").json()["usage"]
        assert usage["image_count_total"] == {
            "limit": MOST_IMAGES,
            "usage": len(images),
        }


def print_counts(workers: list[Worker], images: dict[str, dict[str, object]]) -> None:
    """Say what happened, for whoever runs this with -s."""
    counts = {
        "kept": sum(len(worker.promised) for worker in workers),
        "deleted": sum(len(worker.gone) for worker in workers),
        "refused": sum(worker.refused for worker in workers),
        "unanswered": sum(worker.lost for worker in workers),
        "images": len(images),
    }
    os.write(2, f"{counts}\n".encode())
