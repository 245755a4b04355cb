"""Delayed deletion, the scrubber, and the way back.

Source: contract stores 6 and S-9, api-images 8 and 13, config 2.
"""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.db.deletions import DeletionRepository
from imagereg.db.usage import UsageRepository
from imagereg.errors import ImageNotFound, StatusConflict, StoreUnavailable
from imagereg.images.scrubber import LEASE, Scrubbed, ScrubberAtWork
from imagereg.model import now_us
from imagereg.stores.store import Store
from tests.registry import SEVERAL_STORES, LocalRegistry, add, merged, remove
from tests.wire import ADMIN, as_

DATA = b"the bytes of an image"
DELAYED = {"DEFAULT": {"delayed_delete": "true", "show_multiple_locations": "true"}}


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    made = LocalRegistry(tmp_path, merged(SEVERAL_STORES, DELAYED))
    yield made
    made.close()


def active(registry: LocalRegistry, **fields: object) -> str:
    client = registry.client(ADMIN)
    image_id = str(client.create(**fields)["id"])
    assert client.upload(image_id, DATA).status == 204
    return image_id


def delete(registry: LocalRegistry, image_id: str) -> None:
    assert registry.admin.request("DELETE", f"/v2/images/{image_id}").status == 204


def scrub(registry: LocalRegistry) -> Scrubbed:
    with registry.registry.scrubber.alone():
        return registry.registry.scrubber.run()


def statuses(registry: LocalRegistry) -> list[object]:
    return [row[2] for row in registry.everything().rows["images"]]


def age(registry: LocalRegistry, seconds: int) -> None:
    """Let everything that was deleted have been so for longer."""
    engine = registry.registry.engine
    past = now_us() - seconds * 1_000_000
    with engine.transaction():
        engine.execute("UPDATE pending_deletes SET deleted_at_us = ?", (past,))
        engine.execute("UPDATE condemned_locations SET since_us = ?", (past,))


def test_a_deleted_image_is_gone_for_everybody_and_its_bytes_stay(
    registry: LocalRegistry,
) -> None:
    image_id = active(registry, visibility="public", tags=["t"])
    path = f"/v2/images/{image_id}"

    delete(registry, image_id)

    admin = registry.admin
    assert statuses(registry) == ["pending_delete"]
    assert [data for _, data in registry.blobs()] == [DATA]
    for method, url in (
        ("GET", path),
        ("GET", f"{path}/file"),
        ("GET", f"{path}/members"),
        ("GET", f"{path}/tasks"),
        ("DELETE", path),
        ("PUT", f"{path}/tags/x"),
        ("POST", f"{path}/actions/deactivate"),
        ("DELETE", f"/v2/stores/fast/{image_id}"),
    ):
        assert admin.request(method, url).status == 404, (method, url)
    assert admin.patch(image_id, add("a", "1")).status == 404
    for query in ("", "?status=pending_delete", "?visibility=all", "?tag=t"):
        assert admin.get(f"/v2/images{query}").json()["images"] == []
    # Its id is taken for ever.
    taken = admin.request("POST", "/v2/images", document={"id": image_id})
    assert taken.status == 409


def test_a_deleted_image_counts_against_no_quota(registry: LocalRegistry) -> None:
    delete(registry, active(registry))

    used = UsageRepository(registry.registry.engine).of("project-admin")

    assert (used.size_bytes, used.images) == (0, 0)


def test_a_protected_image_is_not_deleted(registry: LocalRegistry) -> None:
    image_id = active(registry, protected=True)

    answer = registry.admin.request("DELETE", f"/v2/images/{image_id}")

    assert answer.status == 403
    assert statuses(registry) == ["active"]


def test_an_image_without_data_is_deleted_at_once(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create()["id"])

    delete(registry, image_id)

    rows = registry.everything().rows
    assert rows["images"] == rows["pending_deletes"] == []
    assert [row[0] for row in rows["image_tombstones"]] == [image_id]


def test_the_scrubber_deletes_for_good(registry: LocalRegistry) -> None:
    image_id = active(registry, tags=["t"], a="1")
    delete(registry, image_id)

    done = scrub(registry)

    rows = registry.everything().rows
    assert done == Scrubbed(1, 0, 0)
    assert list(registry.blobs()) == []
    for table in (
        *("images", "image_locations", "image_tags", "image_properties"),
        *("pending_deletes", "condemned_locations", "leases"),
    ):
        assert rows[table] == []
    assert [row[0] for row in rows["image_tombstones"]] == [image_id]
    assert scrub(registry) == Scrubbed(0, 0, 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_scrubber_waits_for_scrub_time(tmp_path: Path, threads: int) -> None:
    options = {"scrub_time": "3600", "scrub_pool_size": str(threads)}
    registry = LocalRegistry(tmp_path, merged(DELAYED, {"DEFAULT": options}))
    for _ in range(5):
        delete(registry, active(registry))
    age(registry, 3590)
    early = scrub(registry)
    age(registry, 3601)
    late = scrub(registry)
    left = list(registry.blobs())
    registry.close()

    assert early == Scrubbed(0, 0, 0)
    assert late == Scrubbed(5, 0, 0)
    assert left == []


def test_what_a_store_does_not_give_up_is_left_for_the_next_run(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(registry, active(registry))

    def fail(*_: object) -> None:
        raise StoreUnavailable("down")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "delete", fail)
        first = scrub(registry)
    second = scrub(registry)

    assert (first, second) == (Scrubbed(1, 0, 1), Scrubbed(0, 0, 0))
    assert list(registry.blobs()) == []


def test_a_restored_image_is_what_it_was(registry: LocalRegistry) -> None:
    image_id = active(registry, name="n", tags=["t"], a="1", visibility="shared")
    member = {"member": "project-a"}
    members = f"/v2/images/{image_id}/members"
    assert registry.admin.request("POST", members, document=member).status == 200
    before = registry.admin.show(image_id)
    delete(registry, image_id)

    status = registry.registry.scrubber.restore(image_id)

    after = registry.admin.show(image_id)
    assert status == "active"
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}
    assert after["a"] == "1"
    assert after["tags"] == ["t"]
    assert len(after["locations"]) == 1
    found = registry.admin.get(members).json()["members"]
    assert [each["member_id"] for each in found] == ["project-a"]
    assert registry.admin.download(image_id).body == DATA
    assert scrub(registry) == Scrubbed(0, 0, 0)
    # And may be deleted again.
    delete(registry, image_id)
    assert scrub(registry) == Scrubbed(1, 0, 0)


def test_an_image_taken_out_of_use_comes_back_out_of_use(
    registry: LocalRegistry,
) -> None:
    image_id = active(registry, visibility="public")
    deactivate = f"/v2/images/{image_id}/actions/deactivate"
    assert registry.admin.request("POST", deactivate).status == 204
    delete(registry, image_id)

    status = registry.registry.scrubber.restore(image_id)

    assert status == "deactivated"
    assert registry.client(as_()).download(image_id).status == 403


def test_only_what_waits_can_be_restored(registry: LocalRegistry) -> None:
    live, gone = active(registry), active(registry)
    delete(registry, gone)
    scrub(registry)
    restore = registry.registry.scrubber.restore

    with pytest.raises(StatusConflict, match="is active, not pending_delete"):
        restore(live)
    with pytest.raises(StatusConflict, match="is deleted, not pending_delete"):
        restore(gone)
    with pytest.raises(ImageNotFound):
        restore("never")


def test_nothing_is_restored_while_a_scrubber_runs(registry: LocalRegistry) -> None:
    image_id = active(registry)
    delete(registry, image_id)
    scrubber = registry.registry.scrubber
    elsewhere = "elsewhere:boot:1:1"

    assert scrubber.leases.take(LEASE, elsewhere)
    with pytest.raises(ScrubberAtWork):
        scrubber.restore(image_id)
    with pytest.raises(ScrubberAtWork), scrubber.alone():
        pass
    scrubber.leases.give_back(LEASE, elsewhere)

    assert scrubber.restore(image_id) == "active"


def test_restoring_and_scrubbing_at_once_is_all_or_nothing(
    registry: LocalRegistry,
) -> None:
    ids = [active(registry) for _ in range(8)]
    for image_id in ids:
        delete(registry, image_id)
    deletions = DeletionRepository(registry.registry.engine)
    restored: list[str] = []

    def restore() -> None:
        for image_id in reversed(ids):
            try:
                deletions.restore(image_id)
            except StatusConflict:
                continue
            restored.append(image_id)
        deletions.close()

    thread = threading.Thread(target=restore)
    thread.start()
    done = scrub(registry)
    thread.join()

    assert done.images + len(restored) == len(ids)
    for image_id in restored:
        assert registry.admin.download(image_id).body == DATA
    assert len(list(registry.blobs())) == len(restored)


# Single locations.


@pytest.mark.parametrize("way", ["patch", "store"])
def test_a_single_location_is_kept_for_the_scrubber_too(
    registry: LocalRegistry, way: str
) -> None:
    image_id = active(registry)
    path = registry.where / "images" / "cheap" / image_id
    path.write_bytes(DATA)
    engine = registry.registry.engine
    with engine.transaction():
        engine.execute(
            "INSERT INTO image_locations (image_id, url, metadata, store)"
            " VALUES (?, ?, '{}', 'cheap')",
            (image_id, f"file://{path}"),
        )

    if way == "patch":
        answer = registry.admin.patch(image_id, remove("locations/1"))
    else:
        answer = registry.admin.request("DELETE", f"/v2/stores/cheap/{image_id}")
    registry.registry.recovery.run()
    kept = path.exists()
    done = scrub(registry)

    assert answer.status in (200, 204)
    assert kept
    assert done == Scrubbed(0, 1, 0)
    assert not path.exists()
    assert registry.admin.download(image_id).body == DATA
