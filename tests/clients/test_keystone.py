"""`openstack` with a password, unmodified, a real Keystone and flavor ``keystone``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.command import Command
from tests.keystone.service import Keystone
from tests.server import Server

pytestmark = pytest.mark.long

REGION = "clients"


@pytest.fixture(scope="module")
def cloud(
    keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Yield the image service of the region."""
    running = Server(
        tmp_path_factory.mktemp("cloud"),
        {
            "paste_deploy": {"flavor": "keystone"},
            "keystone_authtoken": keystone.options(),
        },
    ).start()
    keystone.register(running.base, REGION)
    yield running
    running.stop()


def client(programs: Path, keystone: Keystone, user: str, project: str) -> Command:
    return Command(
        programs / "openstack",
        (
            *("--os-auth-url", keystone.url, "--os-password", keystone.password),
            *("--os-username", user, "--os-project-name", project),
            *("--os-user-domain-id", "default", "--os-project-domain-id", "default"),
            *("--os-region-name", REGION),
        ),
    )


def test_images_are_created_listed_saved_and_hidden_from_others(
    programs: Path, keystone: Keystone, cloud: Server, noise: Path, tmp_path: Path
) -> None:
    member = client(programs, keystone, "demo-member", "demo")
    other = client(programs, keystone, "other-member", "other")
    saved = tmp_path / "saved"

    created = member(
        *("image", "create", "-f", "json", "--file", noise, "mine")
    ).fields()
    image = str(created["id"])
    member("image", "save", "--file", saved, image)

    assert (created["status"], created["size"]) == ("active", noise.stat().st_size)
    assert saved.read_bytes() == noise.read_bytes()
    assert image in member("image", "list").shown
    assert other("image", "list", "-f", "json").json() == []
    assert other.attempt("image", "show", image).status == 1
    assert keystone.password not in cloud.log()


def test_a_reader_is_told_that_he_may_not(
    programs: Path, keystone: Keystone, cloud: Server
) -> None:
    reader = client(programs, keystone, "demo-reader", "demo")

    assert reader("image", "list").status == 0
    refused = reader.attempt("image", "create", "his")
    assert refused.status == 1
    assert "403" in refused.errors
