"""Taking an image out of one store.  Source: contract api-images 22."""

import pytest

from tests import databases
from tests.api.conftest import Make
from tests.registry import SEVERAL_STORES, LocalRegistry
from tests.wire import ADMIN, as_


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make(SEVERAL_STORES)


def image_in_two_stores(registry: LocalRegistry) -> str:
    alice = registry.client()
    image_id = str(alice.create()["id"])
    alice.upload(image_id, b"bytes")
    copy = registry.where / "images" / "cheap" / image_id
    copy.write_bytes(b"bytes")
    databases.execute(
        registry.where,
        "INSERT INTO image_locations (image_id, url, metadata, store) "
        "VALUES (?, ?, '{\"store\": \"cheap\"}', 'cheap')",
        image_id,
        f"file://{copy}",
    )
    return image_id


@pytest.mark.parametrize(("store", "left"), [("fast", "cheap"), ("cheap", "fast")])
def test_the_copy_and_its_bytes_go(
    registry: LocalRegistry, store: str, left: str
) -> None:
    image_id = image_in_two_stores(registry)
    path = f"/v2/stores/{store}/{image_id}"

    assert registry.admin.request("DELETE", path).status == 204

    record = registry.client().show(image_id)
    assert (record["status"], record["stores"]) == ("active", left)
    assert [name for name, _ in registry.blobs()] == [f"images/{left}/{image_id}"]
    assert registry.client().download(image_id).body == b"bytes"
    # The last one stays, whichever is named.
    assert registry.admin.request("DELETE", path).status == 403
    last = registry.admin.request("DELETE", f"/v2/stores/{left}/{image_id}")
    assert last.status == 403


def test_what_is_refused(registry: LocalRegistry) -> None:
    image_id = image_in_two_stores(registry)
    queued = registry.client().create()["id"]
    absent = "00000000-0000-4000-8000-000000000000"
    before = registry.everything()

    def delete(path: str, headers: dict[str, str] = ADMIN) -> int:
        return registry.client(headers).request("DELETE", f"/v2/stores/{path}").status

    assert delete(f"nope/{image_id}") == 409
    assert delete(f"os_glance_staging_store/{image_id}") == 409
    assert delete(f"fast/{absent}") == 404
    assert delete(f"fast/{queued}") == 409
    assert delete(f"web/{image_id}") == 404
    assert delete(f"fast/{image_id}", as_()) == 403
    assert delete(f"fast/{image_id}", as_("bob", "project-b")) == 404
    assert registry.everything() == before


def test_a_single_store_knows_no_such_call(make: Make) -> None:
    registry = make()
    image_id = registry.admin.create()["id"]

    answer = registry.admin.request("DELETE", f"/v2/stores/file/{image_id}")

    assert answer.status == 404
