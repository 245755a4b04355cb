"""openstacksdk, unmodified, against a registry without authentication."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.clients.command import Command
from tests.server import Server

STORY = Path(__file__).with_name("sdk_story.py")
LISTS = Path(__file__).with_name("sdk_lists.py")


def test_a_program_sees_its_image_from_creation_to_deletion(
    programs: Path, registry: Server, noise: Path, tmp_path: Path
) -> None:
    python = Command(programs / "python", ())
    sha512 = hashlib.sha512(noise.read_bytes()).hexdigest()

    seen = python(STORY, registry.base, noise, tmp_path).fields()

    assert (seen["status"], seen["size"]) == ("active", noise.stat().st_size)
    assert seen["colour"] == "red"
    assert {seen[way] for way in ("hash", "streamed", "saved", "buffered")} == {sha512}
    assert (seen["found"], seen["tagged"]) == (seen["id"], [seen["id"]])
    assert seen["found_distro"] == "debian"
    assert seen["empty_status"] == "queued"
    assert seen["after_delete"] is None


def test_a_program_lists_waits_and_shares(
    programs: Path, serve: Callable[..., Server]
) -> None:
    python = Command(programs / "python", ())
    # Of its own, so that lists hold nothing else.
    server = serve({"paste_deploy": {"flavor": None}})

    seen = python(LISTS, server.base).fields()

    assert seen == {
        "filled": ["active", 1_280_000],
        "waited": "active",
        "updated": ["green", 1],
        "streamed": True,
        "by_name": ["renamed"],
        "by_several": ["list-2"],
        "by_size": ["list-0"],
        "paged": ["list-0", "list-2", "renamed"],
        "members": [["guest", "accepted"]],
        "unshared": [],
        "left": [],
    }
