"""Clients at work on a server that may be killed at any moment.

Each life notes what it is about to ask before it asks, and what was answered after
that.  So whoever looks later knows what must be there, what must not, and what may.
"""

import hashlib
import http.client
import json
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from tests.registry import PATCH
from tests.server import Server
from tests.wire import Client, Headers, as_

STORES = ("fast", "cheap")
MOST_BYTES = 700_000
PIECE_BYTES = 60_000

#: Only administrators may copy images to other stores.
COPIER = as_("alice", "project-a", ("admin", "member", "reader"))


@dataclass
class Life:
    """What was asked for one image, and what was answered.

    Attributes:
        data: what its bytes are, once it has any.
        asked: the steps that were begun, in order.
        done: those that were acknowledged.
        note: the last value of its property that was acknowledged; None is none.
        next_note: the one that was asked for last.
    """

    id: str
    data: bytes
    asked: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    note: str | None = None
    next_note: str | None = None

    @property
    def sha512(self) -> str:
        return hashlib.sha512(self.data).hexdigest()


class Load:
    """Some clients that create, upload, import, change, copy and delete images."""

    def __init__(self, server: Server, seed: int, clients: int = 4) -> None:
        self.server = server
        self.lives: list[Life] = []
        self.surprises: list[str] = []
        self._random = random.Random(seed)
        self._threads = [
            threading.Thread(target=self._run, args=(self._random.getrandbits(64),))
            for _ in range(clients)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Return when all clients have noticed that the server is gone."""
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive()

    def _run(self, seed: int) -> None:
        chance = random.Random(seed)
        client = self.server.client(COPIER)
        try:
            while True:
                self._live(client, chance)
        except (OSError, http.client.HTTPException):
            return

    def _live(self, client: Client, chance: random.Random) -> None:
        """Live one life; a server that is gone ends it by an exception."""
        image_id = str(UUID(int=chance.getrandbits(128), version=4))
        size = chance.choice((0, 1, 4096, chance.randrange(1, MOST_BYTES)))
        life = Life(image_id, chance.randbytes(size))
        self.lives.append(life)
        path = f"/v2/images/{image_id}"
        fields = {"id": image_id, "disk_format": "raw", "container_format": "bare"}
        self._ask(life, "create", client, "POST", "/v2/images", fields)
        self._give_data(life, client, chance)
        for number in range(chance.randrange(3)):
            self._change(life, client, str(number))
        if "upload" in life.done and chance.random() < 0.4:
            wanted = {"method": {"name": "copy-image"}, "all_stores": True}
            self._ask(life, "copy", client, "POST", f"{path}/import", wanted)
        if chance.random() < 0.4:
            self._ask(life, "delete", client, "DELETE", path)

    def _give_data(self, life: Life, client: Client, chance: random.Random) -> None:
        path, data = f"/v2/images/{life.id}", life.data
        way = chance.choice(("sized", "chunked", "import", "none"))
        if way == "import":
            self._ask(life, "stage", client, "PUT", f"{path}/stage", data)
            wanted = {"method": {"name": "glance-direct"}, "stores": list(STORES)}
            self._ask(life, "import", client, "POST", f"{path}/import", wanted)
        elif way != "none":
            body = data if way == "sized" else list(pieces(data))
            store = {"X-Image-Meta-Store": chance.choice(STORES)}
            self._ask(life, "upload", client, "PUT", f"{path}/file", body, store)

    def _change(self, life: Life, client: Client, value: str) -> None:
        life.next_note = value
        patch = json.dumps([{"op": "add", "path": "/note", "value": value}]).encode()
        path = f"/v2/images/{life.id}"
        if self._ask(life, "change", client, "PATCH", path, patch, PATCH):
            life.note = value

    def _ask(
        self,
        life: Life,
        step: str,
        client: Client,
        method: str,
        path: str,
        body: object = None,
        headers: Headers | None = None,
    ) -> bool:
        """Ask for one step, and note before and after; return whether it was done."""
        life.asked.append(step)
        sent = {"Content-Type": "application/octet-stream", **(headers or {})}
        if isinstance(body, dict):
            answer = client.request(method, path, document=body)
        else:
            data = body if isinstance(body, bytes | list) else None
            answer = client.request(method, path, body=data, headers=sent)
        if answer.status >= 300:
            self.surprises.append(f"{step} of {life.id}: {answer}")
            return False
        life.done.add(step)
        return True


def pieces(data: bytes) -> Iterator[bytes]:
    """Yield data in chunks."""
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]
