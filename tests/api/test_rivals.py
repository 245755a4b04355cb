"""An image whose name the data of another image bear: nothing is written over.

Source: contract stores S-3.
"""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.api.conftest import Make
from tests.api.imports import DATA, STORES, Importing, execute
from tests.registry import LocalRegistry

OTHER = b"other data"


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make(STORES)


def under_the_name_of(image: Importing, name: str) -> Path:
    """Let the data of an image in store `fast` lie under the name of another."""
    folder = image.registry.where / "images" / "fast"
    (folder / image.id).rename(folder / name)
    execute(
        image.registry,
        "UPDATE image_locations SET url = ? WHERE image_id = ?",
        f"file://{folder / name}",
        image.id,
    )
    return folder / name


def test_an_upload_to_its_name_is_refused(registry: LocalRegistry) -> None:
    name = str(uuid4())
    image = Importing(registry).upload()
    path = under_the_name_of(image, name)
    rival = Importing(registry, id=name)

    refused = rival.alice.upload(name, OTHER)
    deleted = rival.alice.request("DELETE", f"/v2/images/{name}")

    assert refused.status == 409
    assert name in str(refused.body)
    assert path.read_bytes() == DATA
    assert image.alice.download(image.id).body == DATA
    assert deleted.status == 204


def test_an_upload_to_another_store_is_not(registry: LocalRegistry) -> None:
    name = str(uuid4())
    image = Importing(registry).upload()
    under_the_name_of(image, name)
    rival = Importing(registry, id=name)

    answer = rival.alice.request(
        "PUT",
        f"/v2/images/{name}/file",
        body=OTHER,
        headers={
            "Content-Type": "application/octet-stream",
            "X-Image-Meta-Store": "cheap",
        },
    )

    assert answer.status == 204
    assert rival.alice.download(name).body == OTHER
    assert image.alice.download(image.id).body == DATA


def test_an_import_of_its_name_fails_and_removes_nothing(
    registry: LocalRegistry,
) -> None:
    name = str(uuid4())
    image = Importing(registry).upload()
    path = under_the_name_of(image, name)
    rival = Importing(registry, id=name).stage(OTHER).begin()

    record = rival.work()

    assert record["status"] != "active"
    assert rival.task["status"] == "failure"
    assert path.read_bytes() == DATA
    assert image.alice.download(image.id).body == DATA


def test_the_name_of_an_image_that_is_gone_is_free_again(
    registry: LocalRegistry,
) -> None:
    name = str(uuid4())
    image = Importing(registry).upload()
    under_the_name_of(image, name)
    rival = Importing(registry, id=name)
    assert image.alice.request("DELETE", f"/v2/images/{image.id}").status == 204

    uploaded = rival.alice.upload(name, OTHER)

    assert uploaded.status == 204
    assert rival.alice.download(name).body == OTHER
