"""No change is without its record, at whatever instant the server is killed.

Source: issue 9 on the record of who did what; issues 5 and 6 on faults.
"""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from imagereg.api.audit import BEGUN
from tests import databases
from tests.conftest import Serve
from tests.registry import add
from tests.server import Server, eventually
from tests.wire import Answer, Client, Document

#: How often the server is killed at least, until a kill came at work, and how many ask
#: it meanwhile.
KILLS, MOST_KILLS = 3, 20
CLIENTS = 4

#: How often it has answered at least, before that.
ANSWERS = 10

#: What was changed -> how the record calls it.
ACTIONS = {
    "POST": "add_image",
    "PATCH": "modify_image",
    "PUT": "upload_image",
    "DELETE": "delete_image",
}


class Crowd:
    """Clients that change images until the server is gone.

    Attributes:
        told: action and id of the image of each answer.
        surprises: answers that nobody wanted.
    """

    def __init__(self, server: Server) -> None:
        self.told: Counter[tuple[str, str]] = Counter()
        self.surprises: list[Answer] = []
        self._server = server
        self._threads = [
            threading.Thread(target=self._run, args=(seed,)) for seed in range(CLIENTS)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def is_busy(self) -> bool:
        """Return whether the server has answered a few times."""
        return len(self.told) > ANSWERS

    def wait(self) -> None:
        """Return when all have noticed that the server is gone."""
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        client = self._server.client()
        try:
            while True:
                self._live(client, chance)
        except (OSError, http.client.HTTPException):
            return

    def _live(self, client: Client, chance: random.Random) -> None:
        fields = {"disk_format": "raw", "container_format": "bare"}
        # The registry chooses the id, so only the record can tell whose it was.
        answer = client.request("POST", "/v2/images", document=fields)
        image_id = str(answer.json().get("id"))
        self._note("POST", image_id, answer)
        patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        change = json.dumps([add("note", "new")]).encode()
        path = f"/v2/images/{image_id}"
        answer = client.request("PATCH", path, body=change, headers=patch)
        self._note("PATCH", image_id, answer)
        if chance.random() < 0.5:
            self._note("PUT", image_id, client.upload(image_id, chance.randbytes(9000)))
        if chance.random() < 0.3:
            self._note("DELETE", image_id, client.request("DELETE", path))

    def _note(self, method: str, image_id: str, answer: Answer) -> None:
        if answer.status >= 300:
            self.surprises.append(answer)
        self.told[ACTIONS[method], image_id] += 1


def record(path: Path, kills: int) -> list[Document]:
    """Return the lines; each kill may have broken one off."""
    found, broken = [], 0
    for line in path.read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            broken += 1
    assert broken <= kills * CLIENTS
    return found


def changed(server: Server) -> Counter[tuple[str, str]]:
    """Return what was done, as the database shows it: action and image."""
    where = server.where
    rows = databases.rows(where, "SELECT id, status FROM images")
    gone = databases.rows(where, "SELECT id FROM image_tombstones")
    noted = databases.rows(where, "SELECT image_id FROM image_properties")
    found = Counter(("add_image", image) for image, _ in rows)
    found += Counter(
        ("upload_image", image) for image, status in rows if status == "active"
    )
    found += Counter(("modify_image", image) for (image,) in noted)
    for (image,) in gone:
        found["add_image", image] = found["delete_image", image] = 1
    return found


def of(found: list[Document], *outcomes: str) -> Mapping[tuple[str, str], Document]:
    """Return the lines with these outcomes by action and image."""
    return {
        (line["action"], line["image_id"]): line
        for line in found
        if line["outcome"] in outcomes
    }


def test_every_change_has_its_record_whenever_the_server_is_killed(
    serve: Serve,
) -> None:
    chance = random.Random(9)
    server = serve({"imagereg": {"audit_log": "{dir}/audit.jsonl"}}, workers=2)
    told: Counter[tuple[str, str]] = Counter()
    found: list[Document] = []
    for kills in range(1, MOST_KILLS + 1):
        crowd = Crowd(server)
        crowd.start()
        assert eventually(crowd.is_busy)
        time.sleep(chance.uniform(0, 0.5))
        server.kill9()
        crowd.wait()
        assert crowd.surprises == []
        told += crowd.told
        server.start()
        found = record(server.where / "audit.jsonl", kills)
        begun, ended = of(found, BEGUN), of(found, "allowed", "failed")
        if kills >= KILLS and begun.keys() - ended.keys():
            break
    changes = changed(server)

    assert changes - Counter(begun.keys()) == Counter()
    # What was answered has its outcome, too.
    assert told - Counter(of(found, "allowed").keys()) == Counter()
    assert ended.keys() <= begun.keys()
    assert all(
        begun[each]["record_id"] == line["record_id"] for each, line in ended.items()
    )
    assert all(line["rule"] and line["user_id"] == "alice" for line in begun.values())
    # The kills came at work.
    assert begun.keys() - ended.keys()
    assert len(told) > KILLS * ANSWERS
