"""Servers that are killed at random points lose nothing they acknowledged.

Source: issues 5 and 6 on faults; contract stores S-1, S-15; SECURITY on orphaned bytes.
"""

import hashlib
import json
import random
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from imagereg.db.engine import Engine
from imagereg.db.usage import Usage, UsageRepository
from tests import databases
from tests.conftest import Serve
from tests.registry import SEVERAL_STORES, merged
from tests.scenarios.load import STORES, Life, Load
from tests.server import PROGRAM, Server, eventually, stored_files
from tests.wire import Document

#: Statuses that somebody's work must bring to an end.
PASSING = {"saving", "importing"}

CONFIG = merged(
    SEVERAL_STORES,
    {
        "DEFAULT": {"enabled_import_methods": "[glance-direct,copy-image]"},
        "fast": {"filesystem_store_datadir": "{dir}/state/images/fast"},
        "cheap": {"filesystem_store_datadir": "{dir}/state/images/cheap"},
    },
)


class Survey:
    """What there is after a crash, read in every way there is to read it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = server.client()

    def images(self) -> Mapping[str, Document]:
        """Return every image of the project."""
        found: dict[str, Document] = {}
        path = "/v2/images?limit=500"
        while path:
            page = self.client.get(path).json()
            found |= {image["id"]: image for image in page["images"]}
            path = page.get("next", "")
        return found

    def is_quiet(self) -> bool:
        """Return whether all interrupted work has come to an end."""
        working = {each["status"] for each in self.images().values()} & PASSING
        return not working and not self.usage().reserved_bytes and not self.jobs()

    def jobs(self) -> int:
        engine = self._engine()
        try:
            return len(engine.rows("SELECT 1 FROM jobs"))
        finally:
            engine.close()

    def usage(self) -> Usage:
        """Return what the quotas count for the project."""
        engine = self._engine()
        try:
            return UsageRepository(engine).of("project-a")
        finally:
            engine.close()

    def gc(self, *words: str) -> list[dict[str, Any]]:
        """Return what `imagereg store gc` finds and does not mend."""
        document = self._store("gc", "--older-than", "0", *words)
        return [each for each in document["findings"] if not each["fixed"]]

    def verify(self) -> list[dict[str, Any]]:
        """Return what `imagereg store verify` finds."""
        findings: list[dict[str, Any]] = self._store("verify")["findings"]
        return findings

    def _store(self, *words: str) -> Document:
        conf = self.server.where / "etc" / "imagereg.conf"
        done = subprocess.run(
            [str(PROGRAM), "store", *words, "--config", str(conf), "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode in (0, 1), done.stderr
        document: Document = json.loads(done.stdout)
        return document

    def _engine(self) -> Engine:
        return Engine.connect(databases.of(self.server.where))


def check_life(life: Life, image: Document | None, survey: Survey) -> None:
    """Compare one image with what its client was told."""
    if "delete" in life.done or "create" not in life.asked:
        assert image is None, (life.asked, image)
        taken = survey.client.request("POST", "/v2/images", document={"id": life.id})
        assert taken.status == 409
        return
    if image is None:
        assert "delete" in life.asked or "create" not in life.done, life
        return
    assert image.get("note") in (life.note, life.next_note)
    if "upload" in life.done:
        assert image["status"] == "active", (life.asked, image)
    if image["status"] == "active":
        assert image["size"] == len(life.data)
        assert image["os_hash_value"] == life.sha512
        answer = survey.client.download(life.id)
        assert answer.status == 200 or not life.data
        assert hashlib.sha512(answer.body).hexdigest() == life.sha512
    else:
        assert image["status"] in ("queued", "uploading")
        assert image["checksum"] is None
        assert survey.client.download(life.id).body == b""
        if image["status"] == "queued":
            assert image["size"] is None


def check_bytes(images: Mapping[str, Document], survey: Survey) -> None:
    """Compare what lies in the stores, and what quotas count, with the images."""
    active = [each for each in images.values() if each["status"] == "active"]
    waiting = [each for each in images.values() if each["status"] == "uploading"]
    places = {
        (store, image["id"]) for image in active for store in image["stores"].split(",")
    }
    found = {
        (store, path.name)
        for store in STORES
        for path in stored_files(survey.server.images_dir / store)
    }
    staged = stored_files(survey.server.state_dir / "staging")
    used = survey.usage()

    assert found == places
    assert sorted(path.name.split(".")[0] for path in staged) == sorted(
        image["id"] for image in waiting
    )
    assert used.images == len(images)
    assert used.size_bytes == sum(
        image["size"] * len(image["stores"].split(",")) for image in active
    )
    assert used.stage_bytes == sum(image["size"] for image in waiting)
    assert used.reserved_bytes == 0
    assert used.uploading == len(waiting)


def has_uploaded(*known: Sequence[Life]) -> bool:
    """Return whether the data of any image were acknowledged."""
    return any("upload" in life.done for lives in known for life in list(lives))


def survive(serve: Serve, points: int, seed: int) -> None:
    """Kill a server so often under load, and look at what is left each time."""
    chance = random.Random(seed)
    server = serve(CONFIG, workers=2)
    survey = Survey(server)
    lives: list[Life] = []
    for point in range(points):
        load = Load(server, chance.getrandbits(64))
        load.start()
        time.sleep(chance.uniform(0.02, 0.9))
        if point == points - 1:
            # The kills shall come at work, however slow the machine is.
            assert eventually(partial(has_uploaded, lives, load.lives))
        if point % 5 == 4:
            server.kill9_workers()
            time.sleep(chance.uniform(0.0, 0.3))
        server.kill9()
        load.wait()
        lives += load.lives
        if point % 2:
            # What is left can also be mended before anything runs again.
            assert survey.gc("--fix") == []
        server.start()
        # What is not cleared at the start is, a minute later.
        assert eventually(survey.is_quiet, 180), survey.images()
        images = survey.images()
        for life in load.lives:
            check_life(life, images.get(life.id), survey)
        assert load.surprises == []
        # The server may be at work on what it finds.
        assert eventually(lambda: survey.gc("--fix") == [])
        assert survey.gc() == []
        check_bytes(images, survey)
    images = survey.images()
    known = {life.id for life in lives}
    assert images.keys() <= known
    assert survey.verify() == []
    assert "Traceback" not in server.log()
    # The kills came at work, and not before or after.
    assert has_uploaded(lives)
    assert any(set(life.asked) - life.done for life in lives)


def test_a_server_killed_under_load_loses_nothing(serve: Serve) -> None:
    survive(serve, points=4, seed=5)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(5))
def test_a_server_killed_at_many_points_loses_nothing(serve: Serve, seed: int) -> None:
    survive(serve, points=10, seed=100 + seed)
