"""`glance image-...`, unmodified, against a registry without authentication.

Its own `--os-auth-type none` stops with an error of the client before any request
is sent, so it is given a token, which the registry does not look at.
"""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.command import Command, Result
from tests.server import Server

ROW = re.compile(r"^\| +(\S+) +\| (.*?) *\|$", re.MULTILINE)


@pytest.fixture(scope="module")
def glance(programs: Path, registry: Server) -> Command:
    options = ("--os-image-url", registry.base, "--os-auth-token", "none-needed")
    return Command(programs / "glance", options)


def table(result: Result) -> dict[str, str]:
    """Return the rows of a two-column table."""
    return dict(ROW.findall(result.shown))


def test_an_image_is_created_with_its_data(glance: Command, noise: Path) -> None:
    created = table(
        glance(
            *(
                "image-create",
                "--progress",
                "--name",
                "at once",
                "--disk-format",
                "raw",
                "--container-format",
                "bare",
            ),
            *("--property", "hw_firmware_type=uefi", "--file", noise),
        )
    )

    assert (created["status"], created["name"]) == ("active", "at once")
    assert created["hw_firmware_type"] == "uefi"
    assert created["size"] == str(noise.stat().st_size)
    assert created["checksum"] == hashlib.md5(noise.read_bytes()).hexdigest()


def test_an_image_lives_its_life_step_by_step(
    glance: Command, noise: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.raw"
    created = table(
        glance(
            *("image-create", "--name", "steps", "--property", "colour=red"),
            *("--disk-format", "raw", "--container-format", "bare"),
        )
    )
    image = created["id"]

    uploading = glance.watch("image-upload", "--progress", "--file", noise, image)
    glance(
        *("image-update", "--name", "stepped", "--property", "os_distro=debian"),
        *("--remove-property", "colour", image),
    )
    tagged = glance("image-tag-update", image, "blue")
    shown = table(glance("image-show", image))
    listed = glance("image-list", "--tag", "blue")
    downloading = glance.watch("image-download", "--progress", "--file", saved, image)
    glance("image-delete", image)
    gone = glance.attempt("image-show", image)

    assert created["status"] == "queued"
    for bar in (uploading, downloading):
        percents = [int(found) for found in re.findall(r"\] (\d+)%", bar)]
        assert percents == sorted(percents)
        assert percents[-1] == 100
    assert "['blue']" in tagged.shown
    assert (shown["status"], shown["name"]) == ("active", "stepped")
    assert shown["os_distro"] == "debian"
    assert "colour" not in shown
    assert table(listed)[image] == "stepped"
    assert saved.read_bytes() == noise.read_bytes()
    assert gone.status == 1
    assert "404" in gone.errors


def test_an_image_is_shared_and_no_longer(glance: Command) -> None:
    created = table(glance("image-create", "--name", "shared"))
    image = created["id"]

    added = glance("member-create", image, "guest")
    updated = glance("member-update", image, "guest", "accepted")
    listed = glance("member-list", "--image-id", image)
    twice = glance.attempt("member-create", image, "guest")
    glance("member-delete", image, "guest")
    emptied = glance("member-list", "--image-id", image)

    assert members(added) == {("guest", "pending")}
    assert members(updated) == members(listed) == {("guest", "accepted")}
    assert twice.status == 1
    assert "409" in twice.errors
    assert members(emptied) == set()


def members(result: Result) -> set[tuple[str, str]]:
    """Return member and status of each row of a table of members."""
    rows = re.findall(r"^\| [0-9a-f-]{36} \| (\S+) +\| (\w+) +\|$", result.shown, re.M)
    return {(member, status) for member, status in rows}


@pytest.mark.long
def test_what_the_operator_declares_is_known_to_the_client(
    programs: Path, serve: Callable[..., Server]
) -> None:
    # The schema that the server publishes is what the client checks values by.
    colours = {"type": "string", "enum": ["red", "blue"], "description": "Its colour"}
    declared = {"colour": colours, "wheels": {"type": "integer", "minimum": 2}}
    server = serve(
        {"paste_deploy": {"flavor": None}},
        files={"schema-image.json": json.dumps(declared)},
    )
    token = ("--os-image-url", server.base, "--os-auth-token", "none-needed")
    glance = Command(programs / "glance", token)

    created = table(glance("image-create", "--name", "n", "--property", "colour=red"))
    changed = table(glance("image-update", "--property", "colour=blue", created["id"]))
    refused = glance.attempt("image-update", "--property", "colour=x", created["id"])
    explained = glance("explain", "image")

    assert (created["colour"], changed["colour"]) == ("red", "blue")
    assert refused.status == 1
    assert "Unable to set 'colour' to 'x'" in refused.errors
    assert re.search(r"\| colour +\| Its colour +\|", explained.shown)
