"""`openstack image ...`, unmodified, against a registry without authentication."""

import hashlib
from pathlib import Path

import pytest

from tests.clients.command import Command
from tests.server import Server


@pytest.fixture(scope="module")
def openstack(programs: Path, registry: Server) -> Command:
    options = ("--os-auth-type", "none", "--os-endpoint", registry.base)
    return Command(programs / "openstack", options)


def test_the_uefi_example_of_the_documentation_works(
    openstack: Command, qcow2: Path
) -> None:
    created = openstack(
        *("image", "create", "-f", "json", "--property", "hw_firmware_type=uefi"),
        *("--container-format", "bare", "--disk-format", "qcow2"),
        *("--file", qcow2, "uefi-example"),
    ).fields()

    properties = created["properties"]
    assert isinstance(properties, dict)
    assert properties["hw_firmware_type"] == "uefi"
    assert (created["disk_format"], created["container_format"]) == ("qcow2", "bare")
    assert (created["status"], created["name"]) == ("active", "uefi-example")
    assert created["size"] == qcow2.stat().st_size
    assert created["virtual_size"] == 20 * 1024 * 1024


def test_what_is_saved_is_what_was_uploaded(
    openstack: Command, noise: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.raw"

    created = openstack(
        *("image", "create", "-f", "json", "--disk-format", "raw"),
        *("--file", noise, "round-trip"),
    ).fields()
    openstack("image", "save", "--file", saved, str(created["id"]))

    properties = created["properties"]
    assert isinstance(properties, dict)
    assert saved.read_bytes() == noise.read_bytes()
    assert properties["os_hash_algo"] == "sha512"
    assert properties["os_hash_value"] == hashlib.sha512(noise.read_bytes()).hexdigest()
    assert created["size"] == noise.stat().st_size


def test_an_image_can_be_changed_found_and_deleted(
    openstack: Command, qcow2: Path
) -> None:
    image = str(
        openstack(
            *("image", "create", "-f", "json", "--disk-format", "qcow2"),
            *("--tag", "first", "--property", "colour=red", "--file", qcow2, "before"),
        ).fields()["id"]
    )

    openstack(
        *("image", "set", "--name", "after", "--min-ram", "512", "--tag", "second"),
        *("--property", "os_distro=debian", "--property", "a/b~c=x", image),
    )
    openstack("image", "unset", "--tag", "first", "--property", "colour", image)
    # By name, so that the client has to look for it.
    shown = openstack("image", "show", "-f", "json", "after").fields()
    listed = openstack("image", "list", "-f", "json", "--tag", "second").json()
    openstack("image", "delete", image)
    gone = openstack.attempt("image", "show", image)

    properties = shown["properties"]
    assert isinstance(properties, dict)
    assert (shown["id"], shown["min_ram"]) == (image, 512)
    assert shown["tags"] == ["second"]
    assert (properties["os_distro"], properties["a/b~c"]) == ("debian", "x")
    assert "colour" not in properties
    assert listed == [{"ID": image, "Name": "after", "Status": "active"}]
    assert gone.status == 1
    assert f"No Image found for {image}" in gone.errors


def test_an_image_is_taken_out_of_use_and_out_of_sight(
    openstack: Command, noise: Path
) -> None:
    image = str(
        openstack(
            *("image", "create", "-f", "json", "--disk-format", "raw"),
            *("--file", noise, "out of use"),
        ).fields()["id"]
    )

    openstack("image", "set", "--deactivate", image)
    deactivated = openstack("image", "show", "-f", "json", image).fields()
    openstack("image", "set", "--activate", "--hidden", image)
    hidden = openstack("image", "list", "-f", "json", "--hidden").json()
    listed = openstack("image", "list", "-f", "json", "--name", "out of use").json()

    assert deactivated["status"] == "deactivated"
    assert {"ID": image, "Name": "out of use", "Status": "active"} in listing(hidden)
    assert listing(listed) == []


def listing(document: object) -> list[object]:
    """Return a list that was shown with ``-f json``."""
    assert isinstance(document, list), document
    return document


def test_a_registry_with_one_store_says_so(openstack: Command) -> None:
    stores = openstack.attempt("image", "stores", "list")

    assert stores.status == 1
    assert stores.errors.strip() == "Multi Backend support not enabled"
