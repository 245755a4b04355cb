"""Images whose properties say that they are signed, uploaded and imported."""

from pathlib import Path

import pytest

from tests.api.conftest import Make
from tests.api.conftest import make as make
from tests.registry import LocalRegistry
from tests.signed import Signer
from tests.wire import ADMIN

DATA = b"signed bytes" * 10_000
BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    known = Signer()
    known.certify(tmp_path)
    return known


@pytest.fixture
def house(make: Make, tmp_path: Path) -> LocalRegistry:
    return make({"imagereg": {"certificates_dir": str(tmp_path)}})


def test_the_signed_bytes_are_taken(house: LocalRegistry, signer: Signer) -> None:
    alice = house.client()
    image = alice.create(**signer.properties(DATA))

    assert alice.upload(image["id"], DATA).status == 204
    assert alice.show(image["id"])["status"] == "active"


def test_other_bytes_are_refused_and_the_image_waits(
    house: LocalRegistry, signer: Signer
) -> None:
    alice = house.client()
    image = alice.create(**signer.properties(DATA))

    refused = alice.upload(image["id"], DATA[:-1] + b"?")
    waiting = alice.show(image["id"])
    kept = [*house.blobs()]

    assert (refused.status, b"could not be verified" in refused.body) == (400, True)
    assert (waiting["status"], waiting["size"], kept) == ("queued", None, [])
    assert alice.upload(image["id"], DATA).status == 204


def test_a_certificate_that_is_not_there_is_the_clients_fault(
    make: Make, signer: Signer
) -> None:
    alice = make().client()
    image = alice.create(**signer.properties(DATA))
    assert alice.upload(image["id"], DATA).status == 400
    assert alice.show(image["id"])["status"] == "queued"


def test_properties_that_the_uploader_cannot_read_count_all_the_same(
    make: Make, tmp_path: Path, signer: Signer
) -> None:
    """The reference verifies nothing then (contract property-protection 4)."""
    rules = tmp_path / "protections.conf"
    rules.write_text(
        "[^img_signature]\ncreate = admin\nread = admin\nupdate = admin\n"
        "delete = admin\n[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"
    )
    house = make(
        {
            "imagereg": {"certificates_dir": str(tmp_path)},
            "DEFAULT": {"property_protection_file": str(rules)},
        }
    )
    admin, alice = house.client(ADMIN), house.client()
    image = admin.create(owner="project-a", **signer.properties(DATA))["id"]

    assert "img_signature" not in alice.show(image)
    assert alice.upload(image, b"other").status == 400
    assert alice.upload(image, DATA).status == 204
    assert "img_signature" in admin.show(image)


@pytest.mark.parametrize(("data", "end"), [(DATA, "active"), (b"other", "queued")])
def test_an_import_is_verified_too(
    house: LocalRegistry, signer: Signer, data: bytes, end: str
) -> None:
    alice = house.client()
    image = alice.create(**signer.properties(DATA))["id"]
    path = f"/v2/images/{image}"
    alice.request("PUT", f"{path}/stage", body=data, headers=BYTES)
    alice.request(
        "POST", f"{path}/import", document={"method": {"name": "glance-direct"}}
    )
    house.registry.jobs.run_pending()
    assert alice.show(image)["status"] == end
