"""Upload, staging and import on one image: one of them writes, the others hear 409.

Source: contract api-images 8, 15.2, 17 and 18.4.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.server import Server, eventually
from tests.stores.web import Web, web_server
from tests.wire import Answer

DATA = bytes(range(256)) * 1024
BYTES = {"Content-Type": "application/octet-stream"}
KINDS = ("upload", "stage", "import")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    allows = {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"}
    where = tmp_path_factory.mktemp("races")
    running = Server(where, {"import_filtering_opts": allows}, workers=2).start()
    yield running
    running.stop()


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@dataclass
class Race:
    """Ways to give one image its data.

    Attributes:
        reached: set once the first half of what is held has gone.
        go: lets the other half follow.
    """

    server: Server
    web: Web
    image_id: str
    reached: threading.Event
    go: threading.Event

    def send(self, kind: str, *, held: bool = False) -> Answer:
        """Send one request, and return its answer."""
        client = self.server.client()
        path = f"/v2/images/{self.image_id}"
        if kind == "import":
            # Data that do not matter to the one who is refused.
            url = self.web.put("/held", DATA, held=self.go if held else None)
            document = {"method": {"name": "web-download", "uri": url}}
            return client.request("POST", f"{path}/import", document=document)
        name = {"upload": "file", "stage": "stage"}[kind]
        body = self.halves() if held else DATA
        return client.request("PUT", f"{path}/{name}", body=body, headers=BYTES)

    def halves(self) -> Iterator[bytes]:
        half = len(DATA) // 2
        yield DATA[:half]
        self.reached.set()
        assert self.go.wait(60)
        yield DATA[half:]

    @property
    def status(self) -> str:
        return str(self.server.client().show(self.image_id)["status"])

    @property
    def is_locked(self) -> bool:
        return "os_glance_import_task" in self.server.client().show(self.image_id)

    def check_end(self, kind: str) -> None:
        """Assert that the winner's bytes are there, once, and nothing else is."""
        status = "uploading" if kind == "stage" else "active"
        assert eventually(lambda: self.status == status and not self.is_locked, 60)
        client = self.server.client()
        if kind == "stage":
            document = {"method": {"name": "glance-direct"}}
            path = f"/v2/images/{self.image_id}/import"
            assert client.request("POST", path, document=document).status == 202
            assert eventually(lambda: self.status == "active", 60)
            assert eventually(lambda: not self.is_locked)
        assert client.download(self.image_id).body == DATA
        assert client.request("DELETE", f"/v2/images/{self.image_id}").status == 204
        assert eventually(lambda: leftovers(self.server) == [])


def leftovers(server: Server) -> list[str]:
    """Return the files with bytes of images, stored or staged."""
    staging = server.state_dir / "staging"
    staged = [p for p in staging.rglob("*") if p.is_file() and p.name != ".lock"]
    return [path.name for path in (*server.stored_files(), *staged)]


@pytest.fixture
def race(server: Server, web: Web) -> Iterator[Race]:
    image_id = str(server.client().create()["id"])
    running = Race(server, web, image_id, threading.Event(), threading.Event())
    yield running
    running.go.set()


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_whoever_comes_second_is_refused_while_the_first_is_at_work(
    race: Race, first: str, second: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        begun = pool.submit(race.send, first, held=True)
        is_held: Callable[[], bool] = race.reached.is_set
        if first == "import":
            is_held = lambda: any(path == "/held" for _, path, _ in race.web.asked)  # noqa: E731 - shorter
        assert eventually(is_held)
        working = {"upload": "saving", "stage": "uploading", "import": "importing"}
        assert eventually(lambda: race.status == working[first])

        refused = race.send(second)

        assert refused.status == 409, refused
        race.go.set()
        assert begun.result(60).status == (202 if first == "import" else 204)
    race.check_end(first)


@pytest.mark.parametrize("kinds", [KINDS, KINDS * 4])
def test_of_many_at_once_one_wins(race: Race, kinds: tuple[str, ...]) -> None:
    gate = threading.Barrier(len(kinds))

    def send(kind: str) -> Answer:
        gate.wait(60)
        return race.send(kind)

    with ThreadPoolExecutor(len(kinds)) as pool:
        answers = list(pool.map(send, kinds))

    won = [k for k, a in zip(kinds, answers, strict=True) if a.status < 300]
    assert {answer.status for answer in answers} <= {202, 204, 409}
    assert len(won) == 1, answers
    race.check_end(won[0])
