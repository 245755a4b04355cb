"""A store that does not answer: 503 in time, and an image that waits for its data.

Source: contract stores 1 (store timeout).
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.registry import LocalRegistry
from tests.server import Config

DATA = b"image data"
Make = Callable[[Config], LocalRegistry]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[LocalRegistry] = []

    def build(config: Config) -> LocalRegistry:
        made.append(LocalRegistry(tmp_path, config))
        return made[-1]

    yield build
    for registry in made:
        registry.close()


def test_a_directory_that_hangs_costs_an_upload_503(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = make({"glance_store": {"filesystem_store_timeout": "3"}})
    released = threading.Event()
    statvfs = os.statvfs

    def hanging(path: int) -> os.statvfs_result:
        released.wait(60)
        return statvfs(path)

    image_id = str(registry.admin.create()["id"])
    monkeypatch.setattr(os, "statvfs", hanging)

    refused = registry.admin.upload(image_id, DATA)
    status = registry.admin.show(image_id)["status"]
    released.set()
    monkeypatch.undo()

    assert (refused.status, status) == (503, "queued")
    assert registry.admin.upload(image_id, DATA).status == 204
    assert registry.admin.download(image_id).body == DATA


@pytest.mark.long
def test_an_s3_service_that_never_answers_costs_503(make: Make) -> None:
    with socket.socket() as mute:
        # The kernel accepts, and nobody ever reads.
        mute.bind(("127.0.0.1", 0))
        mute.listen(64)
        registry = make(
            {
                "glance_store": {
                    "stores": "s3,http",
                    "default_store": "s3",
                    "s3_store_host": f"http://127.0.0.1:{mute.getsockname()[1]}",
                    "s3_store_bucket": "images",
                    "s3_store_access_key": "key",
                    "s3_store_secret_key": "secret",
                    "s3_store_timeout": "2",
                }
            }
        )
        image_id = str(registry.admin.create()["id"])

        refused = registry.admin.upload(image_id, DATA)

        assert refused.status == 503
        assert registry.admin.show(image_id)["status"] == "queued"
        assert registry.admin.download(image_id).status == 204
        assert registry.admin.request("DELETE", f"/v2/images/{image_id}").status == 204
