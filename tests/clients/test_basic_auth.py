"""`openstack` with names and passwords, unmodified, against flavor ``http_basic``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.identity.htpasswd import hash_password
from tests.clients.command import Command
from tests.server import Server


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that knows alice and bob."""
    names = ("alice", "bob")
    running = Server(
        tmp_path_factory.mktemp("basic"),
        {
            "paste_deploy": {"flavor": "http_basic"},
            "oslo_middleware": {"http_basic_auth_user_file": "htpasswd"},
            "imagereg": {"auth_users_file": "users.ini"},
        },
        files={
            "htpasswd": "".join(
                f"{name}:{hash_password(name + ' pw', cost=4)}\n" for name in names
            ),
            "users.ini": "[alice]\nproject = p1\n",
        },
    ).start()
    yield running
    running.stop()


def client(programs: Path, house: Server, name: str, password: str) -> Command:
    # With this plugin the SDK looks for no version below the endpoint.
    endpoint = f"{house.base}/v2"
    return Command(
        programs / "openstack",
        (
            *("--os-auth-type", "http_basic", "--os-endpoint", endpoint),
            *("--os-username", name, "--os-password", password),
        ),
    )


def test_each_user_has_images_of_his_own(
    programs: Path, house: Server, noise: Path, tmp_path: Path
) -> None:
    alice = client(programs, house, "alice", "alice pw")
    bob = client(programs, house, "bob", "bob pw")
    saved = tmp_path / "saved"

    created = alice(
        *("image", "create", "-f", "json", "--file", noise, "mine")
    ).fields()
    image = str(created["id"])
    alice("image", "save", "--file", saved, image)

    assert created["owner"] == "p1"
    assert saved.read_bytes() == noise.read_bytes()
    assert bob("image", "list", "-f", "json").json() == []
    assert bob.attempt("image", "show", image).status == 1


def test_a_wrong_password_is_told_so(programs: Path, house: Server) -> None:
    refused = client(programs, house, "alice", "guess").attempt("image", "list")

    assert refused.status == 1
    assert "401" in refused.errors
    assert "guess" not in refused.errors
