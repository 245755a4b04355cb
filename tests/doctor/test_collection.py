"""What `imagereg store gc` finds, and what it mends.  Source: contract stores S-15."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from imagereg.db.deletions import DeletionRepository
from imagereg.db.images import ImageRepository
from imagereg.db.places import add_place, condemn
from imagereg.db.uploads import UploadRepository
from imagereg.doctor.findings import MEANINGS, Finding, Kind
from imagereg.errors import StoreUnavailable
from imagereg.images.processes import worker_name
from imagereg.model import Location
from imagereg.stores.catalog import STAGING
from imagereg.stores.filesystem import FilesystemDriver
from imagereg.stores.store import Store
from tests.doctor.conftest import Doctor
from tests.registry import LocalRegistry

HERE = worker_name().split(":")[0]
DEAD = f"{HERE}:other:1:1"
DATA = b"the bytes of an image"


def active(registry: LocalRegistry) -> str:
    """Return the id of an image whose data lie in store `fast`."""
    image_id = str(registry.admin.create()["id"])
    assert registry.admin.upload(image_id, DATA).status == 204
    return image_id


def file(registry: LocalRegistry, store: str, key: str) -> Path:
    """Return the file of an object."""
    return registry.where / "images" / store / key


def plant(registry: LocalRegistry, store: str, key: str, data: bytes = b"x") -> Path:
    """Put an object into a store behind the registry's back."""
    path = file(registry, store, key)
    path.write_bytes(data)
    return path


def begin_upload(registry: LocalRegistry, worker: str, image_id: str = "") -> str:
    """Enter an upload in the journal, and return its image's id."""
    image_id = image_id or str(registry.admin.create()["id"])
    engine = registry.registry.engine
    image, _ = ImageRepository(engine).get(image_id, None)
    uploads = UploadRepository(engine)
    assert uploads.begin(image, worker, "fast", 0, lambda: None)
    return image_id


def copy_to_cheap(registry: LocalRegistry, image_id: str, data: bytes = DATA) -> Path:
    """Give an image a second location, in store `cheap`."""
    path = plant(registry, "cheap", image_id, data)
    engine = registry.registry.engine
    with engine.transaction():
        add_place(engine, image_id, Location(f"file://{path}", store="cheap"))
    return path


def stage(
    registry: LocalRegistry, image_id: str, key: str, worker: str | None = None
) -> Path:
    """Give an image staged data, on their way in if a worker is named."""
    path = registry.where / "state" / "staging" / key
    path.write_bytes(DATA)
    execute(
        registry,
        "INSERT INTO staged_parts (image_id, start, size, total, whole, void,"
        " object_key, store, url, worker, beat_at_us)"
        " VALUES (?, 0, ?, NULL, false, false, ?, ?, ?, ?, 1)",
        *(image_id, len(DATA), key, STAGING),
        *(None if worker else f"file://{path}", worker),
    )
    return path


def told(findings: list[Finding]) -> list[tuple[Kind, str | None, str, bool]]:
    return [(each.kind, each.store, each.subject, each.fixed) for each in findings]


def execute(registry: LocalRegistry, sql: str, *values: object) -> None:
    engine = registry.registry.engine
    with engine.transaction():
        engine.execute(sql, values)


def test_nothing_is_wrong_with_a_registry_in_order(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    active(registry)
    registry.admin.create()
    copy_to_cheap(registry, active(registry))

    assert doctor.gc() == []


def test_an_object_of_an_image_without_such_a_location_is_removed(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = active(registry)
    path = plant(registry, "cheap", image_id)

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind.ORPHAN, "cheap", image_id, True)]
    assert not path.exists()
    assert registry.admin.download(image_id).body == DATA
    assert doctor.gc() == []


def test_an_object_of_a_queued_image_is_removed_and_the_image_stays_usable(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = str(registry.admin.create()["id"])
    path = plant(registry, "fast", image_id)

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind.ORPHAN, "fast", image_id, True)]
    assert not path.exists()
    assert registry.admin.upload(image_id, DATA).status == 204
    assert doctor.gc(fix=True) == []
    assert registry.admin.download(image_id).body == DATA


def test_an_object_of_a_deleted_image_is_removed(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = active(registry)
    registry.admin.request("DELETE", f"/v2/images/{image_id}")
    plant(registry, "fast", image_id)

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind.ORPHAN, "fast", image_id, True)]
    assert list(registry.blobs()) == []


@pytest.mark.parametrize(
    "key",
    ["5933da19-a085-480d-86ad-e66a3ceb88f8", "notes.txt", "größe 100%_!", "k" * 200],
)
def test_a_foreign_object_is_told_and_goes_only_when_that_is_asked_for(
    registry: LocalRegistry, doctor: Doctor, key: str
) -> None:
    path = plant(registry, "fast", key)

    kept = doctor.gc(fix=True)
    was_there = path.exists()
    removed = doctor.gc(fix=True, foreign=True)

    assert told(kept) == [(Kind.FOREIGN, "fast", key, False)]
    assert was_there
    assert told(removed) == [(Kind.FOREIGN, "fast", key, True)]
    assert not path.exists()
    assert registry.everything().rows["condemned_locations"] == []


def test_young_objects_are_left_alone(registry: LocalRegistry, doctor: Doctor) -> None:
    plant(registry, "fast", str(registry.admin.create()["id"]))

    assert doctor.gc(fix=True, settled_s=60) == []


def test_one_store_can_be_looked_at_alone(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = str(registry.admin.create()["id"])
    lost = active(registry)
    file(registry, "fast", lost).unlink()
    for store in ("fast", "cheap"):
        plant(registry, store, image_id)

    found = doctor.gc("cheap", fix=True)

    assert told(found) == [(Kind.ORPHAN, "cheap", image_id, True)]


def test_an_object_by_which_another_image_lives_is_no_orphan(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = str(registry.admin.create()["id"])
    path = plant(registry, "cheap", image_id)
    engine = registry.registry.engine
    with engine.transaction():
        place = Location(f"filesystem://{path}", store="cheap")
        add_place(engine, active(registry), place)

    assert doctor.gc(fix=True) != []
    assert path.exists()


def test_a_location_in_another_spelling_is_known(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    active(registry)
    execute(
        registry,
        "UPDATE image_locations SET url = replace(url, 'file://', 'filesystem://')",
    )

    assert doctor.gc(fix=True) == []


# Beside servers at work.


def test_an_upload_under_way_is_never_taken_for_an_orphan(
    registry: LocalRegistry, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = str(registry.admin.create()["id"])
    found: list[Finding] = []
    activate = UploadRepository.activate

    def look_first(self: UploadRepository, *values: object) -> bool:
        # The bytes stand under their final name, and no location knows of them yet.
        assert file(registry, "fast", image_id).exists()
        found.extend(doctor.gc(fix=True, foreign=True))
        return activate(self, *values)  # type: ignore[arg-type] # passed through

    monkeypatch.setattr(UploadRepository, "activate", look_first)

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield DATA
            found.extend(doctor.gc(fix=True, foreign=True))

    uploaded = registry.admin.upload(image_id, pieces())

    assert uploaded.status == 204
    assert found == []
    assert registry.admin.download(image_id).body == DATA * 3


def test_an_upload_that_ends_between_listing_and_rows_is_met_in_the_rows(
    registry: LocalRegistry, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = str(registry.admin.create()["id"])
    listing = FilesystemDriver.list_blobs
    begun = threading.Event()
    may_end = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield DATA
        begun.set()
        may_end.wait(120)

    def upload() -> None:
        assert registry.admin.upload(image_id, pieces()).status == 204
        registry.close()

    def list_late(driver: FilesystemDriver) -> Iterator[object]:
        blobs = list(listing(driver))
        if not may_end.is_set():
            may_end.set()
            thread.join()
            blobs = list(listing(driver))
        return iter(blobs)

    monkeypatch.setattr(FilesystemDriver, "list_blobs", list_late)
    thread = threading.Thread(target=upload)
    thread.start()
    begun.wait(120)

    found = doctor.gc(fix=True, foreign=True)

    assert found == []
    assert registry.admin.download(image_id).body == DATA


def test_an_upload_that_begins_after_the_look_keeps_its_bytes(
    registry: LocalRegistry, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = str(registry.admin.create()["id"])
    plant(registry, "fast", image_id)
    delete = Store.delete
    statuses: list[int] = []

    def upload_first(self: Store, location: Location) -> None:
        statuses.append(registry.admin.upload(image_id, DATA).status)
        registry.close()
        delete(self, location)

    monkeypatch.setattr(Store, "delete", upload_first)

    found = doctor.gc(fix=True)

    # Refused, because otherwise its bytes would go in place of the orphan's.
    assert statuses == [409]
    assert told(found) == [(Kind.ORPHAN, "fast", image_id, True)]
    assert registry.admin.upload(image_id, DATA).status == 204


def test_bytes_of_an_image_on_which_a_task_works_are_left_alone(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = active(registry)
    path = plant(registry, "cheap", image_id)
    now = 1
    execute(
        registry,
        "INSERT INTO tasks (id, type, status, image_id, input, result, message,"
        " created_at_us, updated_at_us) VALUES"
        " ('t', 'api_image_import', 'processing', ?, '{}', 'null', '', ?, ?)",
        *(image_id, now, now),
    )
    execute(
        registry,
        "INSERT INTO jobs (task_id, worker, beat_at_us, attempts, payload)"
        " VALUES ('t', ?, ?, 1, '{}')",
        *(worker_name(), now),
    )

    found = doctor.gc(fix=True)

    assert found == []
    assert path.exists()


def test_looking_changes_nothing(registry: LocalRegistry, doctor: Doctor) -> None:
    make_a_mess(registry)
    before = registry.everything()

    found = doctor.gc()

    assert {each.kind for each in found} == set(Kind) - {
        Kind.ABANDONED,
        Kind.CACHED,
        Kind.HASH,
        Kind.UNREADABLE,
    }
    assert not any(each.fixed for each in found)
    assert registry.everything() == before


def make_a_mess(registry: LocalRegistry) -> None:
    """Leave one of everything that can be found without reading objects."""
    engine = registry.registry.engine
    # Kind.MISSING, SIZE and HOMELESS.
    file(registry, "fast", active(registry)).unlink()
    file(registry, "fast", active(registry)).write_bytes(b"short")
    with engine.transaction():
        place = Location("rbd://pool/image", store="old")
        add_place(engine, active(registry), place)
    # Kind.ORPHAN, FOREIGN and CONDEMNED.
    plant(registry, "cheap", str(registry.admin.create()["id"]))
    plant(registry, "cheap", "notes.txt")
    condemned = plant(registry, "cheap", str(registry.admin.create()["id"]))
    with engine.transaction():
        place = Location(f"file://{condemned}", store="cheap")
        condemn(engine, condemned.name, [place])
    # Kind.STAGED.
    stage(registry, active(registry), "left")
    # Kind.LEFTOVERS, STALE_UPLOAD, STUCK and LOST_TASK.
    plant(registry, "cheap", ".tmp/half.0123")
    begin_upload(registry, DEAD)
    stuck = str(registry.admin.create()["id"])
    execute(registry, "UPDATE images SET status = 'saving' WHERE id = ?", stuck)
    execute(
        registry,
        "INSERT INTO tasks (id, type, status, input, result, message, created_at_us,"
        " updated_at_us) VALUES ('lost', 'location_import', 'processing', '{}',"
        " 'null', '', 1, 1)",
    )


def test_what_can_be_mended_is_and_the_second_look_finds_the_rest_alone(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    make_a_mess(registry)
    needs_a_person = {Kind.MISSING, Kind.SIZE, Kind.HOMELESS, Kind.FOREIGN}

    found = doctor.gc(fix=True)
    again = doctor.gc(fix=True)

    assert {each.kind for each in found if not each.fixed} == needs_a_person
    assert {each.kind for each in again} == needs_a_person
    rows = registry.everything().rows
    assert rows["uploads"] == rows["condemned_locations"] == []
    statuses = {row[2] for row in rows["images"]}
    assert statuses == {"active", "queued"}


def test_a_lost_task_fails_and_says_why(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    make_a_mess(registry)

    doctor.gc(fix=True)

    task = registry.admin.get("/v2/tasks/lost").json()
    assert task["status"] == "failure"
    assert "lost sight" in task["message"]


# Staged data.


def test_staged_data_that_wait_are_in_order(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = str(registry.admin.create()["id"])
    path = f"/v2/images/{image_id}/stage"
    found: list[Finding] = []

    def pieces() -> Iterator[bytes]:
        yield DATA
        found.extend(doctor.gc(fix=True, foreign=True))

    headers = {"Content-Type": "application/octet-stream"}
    staged = registry.admin.request("PUT", path, body=pieces(), headers=headers)

    assert staged.status == 204
    assert found == doctor.gc(fix=True, foreign=True) == []
    assert registry.admin.show(image_id)["status"] == "uploading"


def test_staged_data_of_a_dead_process_are_cleared_away(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = str(registry.admin.create()["id"])
    path = stage(registry, image_id, f"{image_id}.0.{'0' * 16}", DEAD)
    execute(registry, "UPDATE images SET status = 'uploading'")

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind.STALE_UPLOAD, STAGING, image_id, True)]
    assert not path.exists()
    assert registry.admin.show(image_id)["status"] == "queued"
    assert doctor.gc() == []


def test_an_uploading_image_without_staged_data_is_stuck(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = str(registry.admin.create()["id"])
    execute(registry, "UPDATE images SET status = 'uploading'")

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind.STUCK, None, image_id, True)]
    assert registry.admin.show(image_id)["status"] == "queued"


@pytest.mark.parametrize(("known", "kind"), [(True, "orphan"), (False, "foreign")])
def test_a_staged_object_without_row_is_named_for_its_image(
    registry: LocalRegistry, doctor: Doctor, known: bool, kind: str
) -> None:
    image_id = str(registry.admin.create()["id"]) if known else str(uuid4())
    path = registry.where / "state" / "staging" / f"{image_id}.0.{'0' * 16}"
    path.write_bytes(DATA)

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind(kind), STAGING, path.name, known)]
    assert path.exists() is not known


# Rows without objects.


def test_the_only_location_of_an_image_is_never_taken_away(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = active(registry)
    file(registry, "fast", image_id).unlink()

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind.MISSING, "fast", image_id, False)]
    assert len(registry.everything().rows["image_locations"]) == 1


@pytest.mark.parametrize("other", ["good", "missing", "of another size"])
def test_a_lost_copy_is_given_up_if_another_one_is_there(
    registry: LocalRegistry, doctor: Doctor, other: str
) -> None:
    image_id = active(registry)
    copy = copy_to_cheap(registry, image_id)
    file(registry, "fast", image_id).unlink()
    if other == "missing":
        copy.unlink()
    elif other == "of another size":
        copy.write_bytes(b"short")

    found = doctor.gc(fix=True)

    lost = next(each for each in found if each.store == "fast")
    assert lost.kind is Kind.MISSING
    assert lost.fixed is (other == "good")
    places = registry.everything().rows["image_locations"]
    assert len(places) == (1 if other == "good" else 2)
    if other == "good":
        assert registry.admin.download(image_id).body == DATA
        assert doctor.gc() == []


def test_an_image_deleted_meanwhile_is_not_missed(
    registry: LocalRegistry, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = active(registry)
    size = Store.size

    def delete_first(self: Store, location: Location) -> int:
        registry.admin.request("DELETE", f"/v2/images/{image_id}")
        return size(self, location)

    monkeypatch.setattr(Store, "size", delete_first)

    assert doctor.gc() == []


# Stores that are away.


def broken(name: str) -> Callable[..., None]:
    def fail(self: Store, *_: object, **__: object) -> None:
        if self.id == "fast":
            raise StoreUnavailable(f"{name} is down")

    return fail


def test_a_store_that_is_away_is_told_and_the_others_are_looked_at(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    active(registry)
    image_id = str(registry.admin.create()["id"])
    plant(registry, "cheap", image_id)
    (registry.where / "images" / "fast").rename(registry.where / "away")

    found = doctor.gc(fix=True)

    assert {(each.kind, each.store, each.fixed) for each in found} == {
        (Kind.UNREADABLE, "fast", False),
        (Kind.ORPHAN, "cheap", True),
    }


def test_an_orphan_that_cannot_be_removed_now_is_condemned(
    registry: LocalRegistry, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = str(registry.admin.create()["id"])
    path = plant(registry, "fast", image_id)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "delete", broken("delete"))
        found = doctor.gc(fix=True)

    condemned = DeletionRepository(registry.registry.engine).condemned()
    registry.registry.recovery.run()

    assert told(found) == [(Kind.ORPHAN, "fast", image_id, False)]
    assert [each.location.url for each in condemned] == [f"file://{path}"]
    assert not path.exists()


def test_every_kind_says_what_it_means() -> None:
    assert MEANINGS.keys() == set(Kind)


def test_condemned_bytes_over_which_a_process_died_are_removed(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = str(registry.admin.create()["id"])
    path = plant(registry, "cheap", image_id)
    place = Location(f"file://{path}", store="cheap")
    engine = registry.registry.engine
    with engine.transaction():
        condemn(engine, image_id, [place])
    assert DeletionRepository(engine).claim(image_id, place.url, DEAD)

    found = doctor.gc(fix=True)

    assert told(found) == [(Kind.CONDEMNED, "cheap", image_id, True)]
    assert not path.exists()
