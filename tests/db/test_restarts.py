"""A database server that is stopped or killed under load, and comes back."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from imagereg.errors import StoreUnavailable
from tests import databases
from tests.databases import Service
from tests.server import Server, eventually
from tests.wire import Answer

pytestmark = [
    pytest.mark.skipif(
        databases.NAME == "sqlite",
        reason="`.ci/run` runs it with IMAGEREG_TEST_DATABASE=postgresql and mariadb",
    ),
    pytest.mark.timeout(600),
]

CLIENTS = 8


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Yield a database server of this module's own, which it may stop."""
    yield Service(databases.NAME, durable=True)


@pytest.fixture
def server(service: Service, tmp_path: Path) -> Iterator[Server]:
    url = service.database(str(tmp_path))
    config = {"database": {"connection": url.replace("$", "$$")}}
    running = Server(tmp_path, config, workers=2).start()
    yield running
    running.stop(60)


class Load:
    """Clients that create images, one after the other, and note what they are told."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answers: dict[str, Answer | None] = {}
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        client = self.server.client()
        while not self._over.is_set():
            image_id = str(uuid4())
            self.answers[image_id] = None
            self.answers[image_id] = client.request(
                "POST", "/v2/images", document={"id": image_id}
            )

    def count(self, status: int) -> int:
        """Return how often clients were told so."""
        found = list(self.answers.values())
        return sum(answer is not None and answer.status == status for answer in found)


def stop(service: Service, way: str) -> None:
    """Stop the database server: as an operator does, or as a power cut does."""
    if way == "stopped":
        service.stop()
        return
    leader = int((service.where / "service.pid").read_text())
    os.kill(leader, signal.SIGKILL)
    assert eventually(lambda: not is_alive(leader), 30)
    service.stop()


def is_alive(pid: int) -> bool:
    """Return whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_no_image_is_lost_or_made_unasked_while_the_database_restarts(
    service: Service, server: Server, way: str
) -> None:
    with Load(server) as load:
        assert eventually(lambda: load.count(201) > 50, 60)
        stop(service, way)
        assert eventually(lambda: load.count(503) > CLIENTS, 60)
        service.start()
        before = load.count(201)
        assert eventually(lambda: load.count(201) > before + 50, 60)

    refused = {id_ for id_, each in load.answers.items() if each and each.status == 503}
    made = {id_ for id_, each in load.answers.items() if each and each.status == 201}
    assert len(made) + len(refused) == len(load.answers)
    assert all(
        int(each.headers["retry-after"]) > 0
        for each in load.answers.values()
        if each and each.status == 503
    )
    with databases.opened(service.database(str(server.where))) as engine:
        kept = {str(row[0]) for row in engine.rows("SELECT id FROM images")}
    assert kept == made


def test_what_a_killed_server_never_wrote_is_not_taken_for_committed(
    service: Service, tmp_path: Path
) -> None:
    with databases.opened(service.database(str(tmp_path))) as engine:
        with pytest.raises(StoreUnavailable), engine.transaction():
            lost = engine.dialect.mark
            engine.insert("image_tags", [{"image_id": "x", "tag": "t"}])
            stop(service, "killed")
            service.start()
        for _ in range(8):
            with engine.transaction():
                engine.execute("DELETE FROM image_tags")

        with engine._borrowed():
            assert not engine.dialect.was_committed(lost)


def test_an_upload_outlives_a_short_restart(service: Service, server: Server) -> None:
    client = server.client()
    image_id = str(client.create()["id"])
    seen = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"a" * 65536
        seen.set()
        assert gone.wait(120)
        yield b"b" * 65536

    gone = threading.Event()
    found: list[Answer] = []
    upload = threading.Thread(
        target=lambda: found.append(client.upload(image_id, body()))
    )
    upload.start()
    assert seen.wait(120)
    stop(service, "stopped")
    gone.set()
    time.sleep(1)
    service.start()
    upload.join(120)

    assert [answer.status for answer in found] == [204]
    assert client.show(image_id)["status"] == "active"


def test_the_server_waits_for_a_database_that_is_not_there_yet(
    service: Service, tmp_path: Path
) -> None:
    url = service.database(str(tmp_path)).replace("$", "$$")
    # For ever: how long the database takes to start is no matter here.
    waits = {"retry_interval": 1, "max_retries": -1}
    config = {"database": {"connection": url, **waits}}
    server = Server(tmp_path, config)
    stop(service, "stopped")
    waiting = threading.Timer(2, service.start)
    waiting.start()

    try:
        server.start(90)
        assert server.client().create()["status"] == "queued"
    finally:
        waiting.join()
        server.stop(60)
