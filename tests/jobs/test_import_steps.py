"""Imports through the configured steps, from the request to the stored bytes."""

import gzip
import hashlib
import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.db.jobs import Job, JobRepository
from imagereg.errors import DatabaseUnavailable
from imagereg.jobs import runner
from tests.api.conftest import make as make
from tests.registry import LocalRegistry
from tests.wire import ADMIN, Document, as_

MIB = 1024 * 1024
BYTES = {"Content-Type": "application/octet-stream"}

Make = Callable[..., LocalRegistry]


def house(make: Make, plugins: str, **sections: dict[str, str]) -> LocalRegistry:
    config = {"image_import_opts": {"image_import_plugins": plugins}, **sections}
    return make(config)


def imported(
    registry: LocalRegistry,
    data: bytes,
    disk_format: str = "raw",
    headers: dict[str, str] | None = None,
) -> Document:
    """Stage and import; return the image, with its task's end under ``task``."""
    client = registry.client(headers)
    image = str(client.create(disk_format=disk_format)["id"])
    path = f"/v2/images/{image}"
    staged = client.request("PUT", f"{path}/stage", body=data, headers=BYTES)
    assert staged.status == 204, staged
    begun = client.request(
        "POST", f"{path}/import", document={"method": {"name": "glance-direct"}}
    )
    assert begun.status == 202, begun
    registry.registry.jobs.run_pending()
    task = client.get(f"{path}/tasks").json()["tasks"][0]
    end = {"status": task["status"], "message": task["message"]}
    return {**client.show(image), "task": end}


def qcow2_of(folder: Path, content: bytes) -> bytes:
    source, target = folder / "content.raw", folder / "content.qcow2"
    source.write_bytes(content)
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, target], check=True
    )
    return target.read_bytes()


def test_the_digests_are_those_of_the_bytes_that_are_stored(
    make: Make, tmp_path: Path
) -> None:
    registry = house(make, "[image_decompression, image_conversion]")
    content = (b"boot" + bytes(3 * MIB) + b"end").ljust(4 * MIB, b"\0")
    packed = gzip.compress(qcow2_of(tmp_path, content))

    image = imported(registry, packed, "qcow2")

    assert image["task"]["status"] == "success", image["task"]
    assert (image["status"], image["disk_format"]) == ("active", "raw")
    assert (image["size"], image["virtual_size"]) == (len(content), len(content))
    assert image["os_hash_value"] == hashlib.sha512(content).hexdigest()
    assert image["checksum"] == hashlib.md5(content).hexdigest()
    assert registry.client().download(image["id"]).body == content
    # Nothing is left where the work was done.
    assert [name for name, _ in registry.blobs()] == [f"images/{image['id']}"]
    assert not [*(registry.where / "state").rglob("staged")]


@pytest.mark.parametrize("before", range(2))
def test_a_database_that_is_away_for_a_moment_fails_no_import(
    make: Make, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    registry = house(make, "[]")
    advance, calls = JobRepository.advance, itertools.count()

    def once(*arguments: object) -> Job:
        if next(calls) == before:
            raise DatabaseUnavailable("it is restarted")
        return advance(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(JobRepository, "advance", once)
    monkeypatch.setattr(runner, "POLL_S", 0.0)

    image = imported(registry, b"x" * 1000)

    assert next(calls) > before
    assert (image["task"]["status"], image["status"]) == ("success", "active")
    assert registry.client().download(image["id"]).body == b"x" * 1000
    assert [name for name, _ in registry.blobs()] == [f"images/{image['id']}"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (gzip.compress(bytes(100_000))[:-9], "damaged or cut short"),
        (gzip.compress(bytes(100_000)), "does not match disk_format `qcow2`"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "packed with zstd are not supported"),
    ],
    ids=["damaged", "no qcow2", "zstd"],
)
def test_a_step_that_fails_leaves_an_image_to_try_again(
    make: Make, data: bytes, why: str
) -> None:
    registry = house(make, "[image_decompression, image_conversion]")

    image = imported(registry, data, "qcow2")

    assert image["task"]["status"] == "failure"
    assert why in image["task"]["message"]
    assert (image["status"], image["size"]) == ("queued", None)
    assert not [*registry.blobs()]
    again = registry.client().upload(image["id"], b"QFI\xfb" + bytes(600))
    assert again.status == 415  # Looked at, so the image takes data again.


def test_properties_are_injected_for_everybody_but_the_spared(make: Make) -> None:
    registry = house(
        make,
        "[inject_image_metadata]",
        inject_metadata_properties={"inject": "origin:import,level:3"},
    )

    image = imported(registry, b"x")
    spared = imported(registry, b"x", headers=ADMIN)

    assert (image["origin"], image["level"]) == ("import", "3")
    assert "origin" not in spared
    assert registry.client().get("/v2/images?origin=import").json()["images"]


def test_a_property_that_the_caller_may_not_set_makes_the_import_fail(
    make: Make, tmp_path: Path
) -> None:
    protections = tmp_path / "protections.conf"
    protections.write_text(
        "[^origin$]\ncreate = porter\nread = @\nupdate = porter\ndelete = !\n"
        "[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"
    )
    registry = house(
        make,
        "[inject_image_metadata]",
        DEFAULT={"property_protection_file": str(protections)},
        inject_metadata_properties={"inject": "origin:import"},
    )
    porter = as_("pam", "project-p", ("member", "reader", "porter"))

    refused = imported(registry, b"x")
    allowed = imported(registry, b"x", headers=porter)

    assert refused["task"]["status"] == "failure"
    assert "`origin` is reserved" in refused["task"]["message"]
    assert (refused["status"], "origin" in refused) == ("queued", False)
    assert (allowed["status"], allowed["origin"]) == ("active", "import")


def test_injected_properties_count(make: Make) -> None:
    registry = house(
        make,
        "[inject_image_metadata]",
        DEFAULT={"image_property_quota": "1"},
        inject_metadata_properties={"inject": "a:1,b:2"},
    )

    image = imported(registry, b"x")

    assert image["task"]["status"] == "failure"
    assert "image properties" in image["task"]["message"]
    assert image["status"] == "queued"


def test_a_failure_behind_the_steps_takes_back_what_they_set(
    make: Make, tmp_path: Path
) -> None:
    registry = house(
        make,
        "[inject_image_metadata, image_conversion]",
        inject_metadata_properties={"inject": "origin:import"},
    )
    datadir = registry.where / "images"
    (datadir / ".tmp").rename(tmp_path / "elsewhere")
    (datadir / ".tmp").write_text("no directory")  # So the store takes nothing.

    image = imported(registry, qcow2_of(tmp_path, bytes(MIB)), "qcow2")

    assert image["task"]["status"] == "failure"
    assert "store" in image["task"]["message"]
    assert (image["status"], image["disk_format"]) == ("queued", "qcow2")
    assert "origin" not in image


def test_the_queue_keeps_no_more_of_the_caller_than_it_needs(make: Make) -> None:
    registry = house(make, "[no_op]")
    client = registry.client({**as_(), "X-Auth-Token": "canary-token"})
    image = str(client.create()["id"])
    path = f"/v2/images/{image}"
    client.request("PUT", f"{path}/stage", body=b"x", headers=BYTES)
    client.request(
        "POST", f"{path}/import", document={"method": {"name": "glance-direct"}}
    )
    assert "canary-token" not in repr(registry.everything().rows)
