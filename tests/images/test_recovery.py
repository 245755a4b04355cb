"""What processes leave behind that are no more.

Source: SECURITY on orphaned bytes; contract stores S-1, S-10.
"""

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.db.uploads import Upload, UploadRepository
from imagereg.errors import StoreUnavailable
from imagereg.images.processes import worker_name
from imagereg.images.recovery import SILENCE_S, is_dead
from imagereg.model import now_us
from imagereg.stores.store import Store
from tests import databases
from tests.registry import LocalRegistry
from tests.wire import ADMIN

HERE, BOOT, PID, STARTED = worker_name().rsplit(":", 3)
#: How long somebody may have been silent, in seconds.
JUST_NOW, LONG = 0, SILENCE_S + 60


def ended_process() -> int:
    """Return the id of a process that is over."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("worker", "silent_s", "dead"),
    [
        pytest.param(worker_name(), LONG, False, id="this process, however silent"),
        pytest.param(f"{HERE}:{BOOT}:{PID}:1", JUST_NOW, True, id="its id, reused"),
        pytest.param(f"{HERE}:{BOOT}:{ended_process()}:1", JUST_NOW, True, id="ended"),
        pytest.param(f"{HERE}:other:{PID}:{STARTED}", JUST_NOW, True, id="rebooted"),
        pytest.param(f"other:{BOOT}:1:1", JUST_NOW, False, id="elsewhere, at work"),
        pytest.param(f"other:{BOOT}:1:1", LONG, True, id="elsewhere, silent"),
        pytest.param(f"a:b:{BOOT}:1:1", JUST_NOW, False, id="a host with a colon"),
    ],
)
def test_who_is_dead(worker: str, silent_s: float, dead: bool) -> None:
    beat = now_us() - int(silent_s * 1_000_000)
    assert is_dead(Upload("image", worker, "file", beat)) is dead


@pytest.fixture
def uploads(registry: LocalRegistry) -> UploadRepository:
    return UploadRepository(registry.registry.engine)


def crashed(registry: LocalRegistry, uploads: UploadRepository, worker: str) -> str:
    """Return the id of an image whose upload was cut off after its bytes were there."""
    image_id = str(registry.admin.create()["id"])
    image, _ = ImageRepository(registry.registry.engine).get(image_id, None)
    assert uploads.begin(image, worker, "file", 0, lambda: None)
    (registry.where / "images" / image_id).write_bytes(b"remains")
    return image_id


RESERVED = ("os_glance_staging_store", "os_glance_tasks_store")

DEAD = f"{HERE}:other:1:1"


def test_a_dead_upload_is_cleared_away_and_may_be_repeated(
    registry: LocalRegistry, uploads: UploadRepository
) -> None:
    image_id = crashed(registry, uploads, DEAD)

    registry.registry.recovery.run()

    assert registry.admin.show(image_id)["status"] == "queued"
    assert list(registry.blobs()) == []
    assert list(uploads.under_way()) == []
    assert registry.admin.upload(image_id, b"again").status == 204


def test_an_upload_that_lives_is_left_alone(
    registry: LocalRegistry, uploads: UploadRepository
) -> None:
    image_id = crashed(registry, uploads, worker_name())

    registry.registry.recovery.run()

    assert registry.admin.show(image_id)["status"] == "saving"
    assert [data for _, data in registry.blobs()] == [b"remains"]


def test_the_bytes_of_a_deleted_image_are_cleared_away(
    registry: LocalRegistry, uploads: UploadRepository
) -> None:
    image_id = crashed(registry, uploads, DEAD)
    registry.admin.request("DELETE", f"/v2/images/{image_id}")

    registry.registry.recovery.run()

    assert list(registry.blobs()) == []
    assert list(uploads.under_way()) == []


def test_what_cannot_be_cleared_now_is_tried_again(
    registry: LocalRegistry,
    uploads: UploadRepository,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    image_id = crashed(registry, uploads, DEAD)

    def fail(*_: object) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "discard", fail)
        with caplog.at_level(logging.WARNING):
            registry.registry.recovery.run()
    between = [each.worker for each in uploads.under_way()]
    registry.registry.recovery.run()

    assert between == [DEAD]
    assert "not cleared yet" in caplog.text
    assert registry.admin.show(image_id)["status"] == "queued"


def test_an_upload_to_a_store_that_is_gone_stays_in_the_journal(
    registry: LocalRegistry, uploads: UploadRepository
) -> None:
    image_id = crashed(registry, uploads, DEAD)
    engine = registry.registry.engine
    with engine.transaction():
        engine.execute("UPDATE uploads SET store = 'gone'")

    registry.registry.recovery.run()

    assert [each.image_id for each in uploads.under_way()] == [image_id]


@pytest.fixture
def second(registry: LocalRegistry) -> Iterator[Engine]:
    """Yield another connection to the same database."""
    engine = Engine.connect(databases.of(registry.where), synchronous=False)
    yield engine
    engine.close()


def test_whoever_claims_second_clears_nothing(
    registry: LocalRegistry, uploads: UploadRepository, second: Engine
) -> None:
    image_id = crashed(registry, uploads, DEAD)
    (entry,) = uploads.under_way()

    first = UploadRepository(second).claim(entry, worker_name())
    registry.registry.recovery.run()

    assert first
    assert registry.admin.show(image_id)["status"] == "saving"


def test_an_upload_that_began_since_is_not_taken_for_the_dead_one(
    registry: LocalRegistry, uploads: UploadRepository
) -> None:
    image_id = crashed(registry, uploads, DEAD)
    (entry,) = uploads.under_way()
    registry.registry.recovery.run()
    image, _ = ImageRepository(registry.registry.engine).get(image_id, None)
    uploads.begin(image, worker_name(), "file", 0, lambda: None)

    assert not uploads.claim(entry, "somebody")


def test_a_store_that_is_down_does_not_keep_the_others_from_being_swept(
    registry: LocalRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    swept: list[tuple[str, float]] = []

    def sweep(store: Store, older_than_s: float) -> int:
        swept.append((store.id, older_than_s))
        raise StoreUnavailable("down")

    monkeypatch.setattr(Store, "sweep", sweep)
    with caplog.at_level(logging.WARNING):
        registry.registry.recovery.sweep()

    # The store of type http takes no data, so nothing is left in it.
    assert [name for name, _ in swept] == ["file", *RESERVED]
    assert {age for _, age in swept} == {24 * 3600}
    assert "store file: leftovers stay: down" in caplog.text


def test_a_store_that_is_down_does_not_block_a_deletion(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = str(registry.admin.create()["id"])
    registry.admin.upload(image_id, b"data")

    def fail(*_: object) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "delete", fail)
        answer = registry.client(ADMIN).request("DELETE", f"/v2/images/{image_id}")
        registry.registry.recovery.run()
    kept = list(registry.blobs())
    registry.registry.recovery.run()

    assert answer.status == 204
    assert registry.admin.get(f"/v2/images/{image_id}").status == 404
    assert [data for _, data in kept] == [b"data"]
    assert list(registry.blobs()) == []


def test_bytes_that_are_gone_already_are_forgotten(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create()["id"])
    registry.admin.upload(image_id, b"data")
    (registry.where / "images" / image_id).unlink()

    registry.admin.request("DELETE", f"/v2/images/{image_id}")

    assert registry.everything().rows["condemned_locations"] == []
