"""Locations that name no store, or one that is not there.

Source: contract stores 5.
"""

import json

import pytest

from tests import databases
from tests.api.conftest import Make
from tests.api.imports import DATA, STORES, Importing, execute
from tests.registry import LocalRegistry


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make(STORES)


def rows(registry: LocalRegistry, image_id: str) -> list[tuple[object, object]]:
    found = databases.rows(
        registry.where,
        "SELECT store, metadata FROM image_locations WHERE image_id = ?",
        image_id,
    )
    return [(store, json.loads(metadata)) for store, metadata in found]


@pytest.mark.parametrize("before", [None, "renamed"])
def test_the_url_tells_the_store_and_that_is_kept(
    registry: LocalRegistry, before: str | None
) -> None:
    image = Importing(registry).upload()
    image.copy(stores=["slow"])
    image.work()
    metadata = json.dumps({"store": before, "own": "kept"} if before else {})
    execute(
        registry, "UPDATE image_locations SET store = ?, metadata = ?", before, metadata
    )

    assert image.record["stores"] == "fast,slow"
    assert [store for store, _ in rows(registry, image.id)] == ["fast", "slow"]
    assert all(
        found["store"] == store and (before is None or found["own"] == "kept")
        for store, found in rows(registry, image.id)
        if isinstance(found, dict)
    )
    # What looks for a store finds it then.
    path = f"/v2/stores/fast/{image.id}"
    assert registry.admin.request("DELETE", path).status == 204
    assert image.alice.download(image.id).body == DATA


def test_a_url_of_no_store_is_left_alone(
    registry: LocalRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    image = Importing(registry).upload()
    execute(registry, "UPDATE image_locations SET store = 'x', url = 'rbd://a/b/c/d'")

    assert image.record["status"] == "active"
    assert rows(registry, image.id) == [("x", {"store": "fast"})]
    assert "no store that is there" in caplog.text
