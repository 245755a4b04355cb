"""What the service says of an image, and what the bytes must be because of it."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from imagereg import errors
from imagereg.errors import FetchFailed, FetchNotIntact, FetchUnsafe
from imagereg.fetch import checks
from imagereg.fetch.facts import Expected, Facts, read_facts
from tests.fetch.conftest import DATA, Node, upload
from tests.server import Server
from tests.stores import disks

IMAGE_ID = "22222222-3333-4444-8555-666666666666"


def facts(**fields: Any) -> Facts:  # noqa: ANN401 - as JSON has it
    return read_facts({"id": IMAGE_ID, "status": "active", "size": 5, **fields})


# What the bytes are compared with


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            {"os_hash_algo": "sha256", "os_hash_value": "AB", "checksum": "cd"},
            Expected(5, "sha256", "ab"),
            id="the hash before the checksum",
        ),
        pytest.param(
            {"checksum": "CD"}, Expected(5, "md5", "cd"), id="the checksum alone"
        ),
        pytest.param({}, None, id="nothing"),
        pytest.param(
            {"os_hash_algo": "sha7", "os_hash_value": "ab", "checksum": "cd"},
            None,
            id="an unknown algorithm",
        ),
    ],
)
def test_what_the_bytes_are_compared_with(
    fields: dict[str, str], expected: Expected | None
) -> None:
    if expected is None:
        with pytest.raises(FetchNotIntact):
            facts(**fields).expected("hash")
    else:
        assert facts(**fields).expected("hash") == expected
    assert facts(**fields).expected("size") == Expected(5)
    assert facts(**fields).expected("none") == Expected(None)


def test_every_failure_has_its_exit_status() -> None:
    """Source: contract compute-fetch 9.1, C-13."""
    kinds: list[type[FetchFailed]] = [FetchFailed, *FetchFailed.__subclasses__()]

    assert {kind.__name__: kind.exit_status for kind in kinds} == {
        "FetchFailed": 1,
        "FetchNotFound": 3,
        "FetchRefused": 4,
        "FetchNoData": 5,
        "FetchNotIntact": 6,
        "FetchUnsafe": 7,
        "FetchNoSpace": 8,
        "FetchUnreachable": 9,
        "FetchLockTimeout": 10,
        "FetchCancelled": 130,
    }
    assert all(getattr(errors, kind.__name__) is kind for kind in kinds)


# What they are looked at for


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        file.addfile(tarfile.TarInfo("disk.vmdk"))
    return packed.getvalue()


HOSTILE = disks.qcow2(backing=512)


@pytest.mark.parametrize(
    ("container", "disk_format", "data"),
    [
        ("bare", "raw", b"anything"),
        ("bare", "raw", disks.disk()),
        ("bare", "qcow2", disks.qcow2()),
        ("ovf", "qcow2", disks.qcow2()),
        ("ova", "vmdk", archive()),
        ("docker", "raw", archive()),
        ("aki", "aki", disks.disk()),
        ("ami", "ami", b"a file system"),
        (None, None, b"anything"),
    ],
)
def test_what_is_what_it_claims_passes(
    tmp_path: Path, container: str | None, disk_format: str | None, data: bytes
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(data)

    checks.inspect(path, facts(container_format=container, disk_format=disk_format))


@pytest.mark.parametrize(
    ("container", "disk_format", "data"),
    [
        ("bare", "raw", HOSTILE),
        ("bare", "qcow2", HOSTILE),
        ("bare", "qcow2", disks.disk()),
        ("bare", "odd", disks.disk()),
        ("bare", None, HOSTILE),
        ("ovf", "qcow2", HOSTILE),
        ("ovf", "qcow2", disks.disk()),
        ("ova", "vmdk", HOSTILE),
        ("docker", "raw", disks.qcow2()),
        ("ami", "ami", HOSTILE),
        (None, None, HOSTILE),
        (None, "raw", disks.iso()),
    ],
)
def test_no_word_of_the_service_lets_a_disk_pass_unseen(
    tmp_path: Path, container: str | None, disk_format: str | None, data: bytes
) -> None:
    path = tmp_path / "disk"
    path.write_bytes(data)

    with pytest.raises(FetchUnsafe):
        checks.inspect(path, facts(container_format=container, disk_format=disk_format))


def test_what_is_no_disk_is_nothing_for_a_compute_service(
    node: Node, shared: Server
) -> None:
    image_id = upload(shared, archive(), container_format="ova", disk_format="vmdk")
    kernel = upload(shared, DATA, container_format="aki", disk_format="aki")
    compat = node.with_cache(layout="compat", instances_path=node.where / "instances")

    with pytest.raises(FetchUnsafe, match="no disk"):
        compat.fetcher().fetch(image_id)
    assert node.fetcher().fetch(image_id, node.dest).verified
    digest = hashlib.sha512(compat.fetcher().fetch(kernel).path.read_bytes())
    assert digest.digest() == hashlib.sha512(DATA).digest()
