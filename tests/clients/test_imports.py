"""Imports and copies by unmodified clients, with a directory and a bucket as stores.

Source: contract api-clients 3, 5 and 8.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.command import Command
from tests.clients.test_glance import table
from tests.server import Config, Server, eventually
from tests.stores.bucket import Service
from tests.stores.web import Web, web_server
from tests.test_s3_store import s3_options
from tests.wire import Client, Document

RAW = ("--disk-format", "raw", "--container-format", "bare")


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@pytest.fixture(scope="module")
def two_stores(
    s3: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Yield a server that keeps images in a directory and in a bucket."""
    config: Config = {
        "DEFAULT": {"enabled_backends": "disk:file, bucket:s3"},
        "glance_store": {
            "stores": None,
            "default_store": None,
            "filesystem_store_datadir": None,
            "default_backend": "disk",
        },
        "disk": {"store_description": "spinning"},
        "bucket": s3_options(s3.driver()),
        "import_filtering_opts": {
            "allowed_hosts": "[127.0.0.1]",
            "allowed_ports": "[]",
        },
        "paste_deploy": {"flavor": None},
    }
    running = Server(tmp_path_factory.mktemp("two-stores"), config).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def openstack(programs: Path, two_stores: Server) -> Command:
    options = ("--os-auth-type", "none", "--os-endpoint", two_stores.base)
    return Command(programs / "openstack", options)


@pytest.fixture(scope="module")
def glance(programs: Path, two_stores: Server) -> Command:
    options = ("--os-image-url", two_stores.base, "--os-auth-token", "none-needed")
    return Command(programs / "glance", options)


def finished(server: Server, image_id: str) -> Document:
    """Return the record of an image, as soon as no import works on it."""
    client = Client(server.base, {})

    def is_free() -> bool:
        return "os_glance_import_task" not in client.show(image_id)

    assert eventually(is_free)
    return client.show(image_id)


def test_staged_data_are_imported_into_a_store_and_copied(
    openstack: Command, two_stores: Server, noise: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.raw"
    image = str(
        openstack("image", "create", "-f", "json", *RAW, "staged").fields()["id"]
    )

    openstack("image", "stage", "--file", noise, image)
    staged = openstack("image", "show", "-f", "json", image).fields()
    openstack("image", "import", "--method", "glance-direct", "--wait", image)
    imported = finished(two_stores, image)
    openstack("image", "import", image, "--method", "copy-image", "--store", "bucket")
    copied = finished(two_stores, image)
    openstack("image", "save", "--file", saved, image)
    tasks = openstack("image", "task", "list", "-f", "json").json()

    assert staged["status"] == "uploading"
    assert (imported["status"], imported["stores"]) == ("active", "disk")
    assert (copied["status"], copied["stores"]) == ("active", "disk,bucket")
    assert copied["checksum"] == imported["checksum"]
    assert saved.read_bytes() == noise.read_bytes()
    assert isinstance(tasks, list)
    assert {task["Status"] for task in tasks} == {"success"}


def test_data_of_the_web_are_imported_into_all_stores(
    openstack: Command, two_stores: Server, web: Web, noise: Path
) -> None:
    uri = web.put("/noise", noise.read_bytes())
    image = str(openstack("image", "create", "-f", "json", *RAW, "web").fields()["id"])

    openstack(
        *("image", "import", "--method", "web-download", "--uri", uri),
        *("--all-stores", "--disallow-failure", image),
    )
    record = finished(two_stores, image)
    info = openstack("image", "import", "info", "-f", "json").shown

    assert (record["status"], record["stores"]) == ("active", "disk,bucket")
    assert record["os_glance_failed_import"] == ""
    assert record["size"] == noise.stat().st_size
    assert "glance-direct" in info


def test_an_image_is_created_by_its_import(
    glance: Command, two_stores: Server, noise: Path, web: Web
) -> None:
    direct = table(
        glance(
            *("image-create-via-import", "--import-method", "glance-direct", *RAW),
            *("--name", "direct", "--file", noise, "--stores", "bucket,disk"),
        )
    )
    fetched = table(
        glance(
            *("image-create-via-import", "--import-method", "web-download", *RAW),
            *("--name", "fetched", "--uri", web.put("/n", noise.read_bytes())),
        )
    )

    assert finished(two_stores, direct["id"])["stores"] == "bucket,disk"
    assert finished(two_stores, fetched["id"])["stores"] == "disk"
    refused = glance.attempt(
        *("image-create-via-import", "--import-method", "web-download", *RAW),
        *("--uri", "http://169.254.169.254/latest"),
    )
    assert refused.status != 0


def test_stores_are_shown_and_images_taken_out_of_them(
    glance: Command, two_stores: Server, noise: Path
) -> None:
    image = table(glance("image-create", *RAW, "--file", noise, "--store", "bucket"))[
        "id"
    ]

    plain = table(glance("stores-info"))
    detail = glance("stores-info", "--detail").shown
    glance("image-import", image, "--import-method", "copy-image", "--stores", "disk")
    copied = finished(two_stores, image)
    glance("stores-delete", "--store", "bucket", image)
    tasks = glance("image-tasks", image).shown

    assert json.loads(plain["stores"]) == [
        {"id": "disk", "description": "spinning", "default": "true"},
        {"id": "bucket"},
    ]
    assert "s3_store_large_object_size" in detail
    assert copied["stores"] == "bucket,disk"
    assert finished(two_stores, image)["stores"] == "disk"
    assert "success" in tasks
