"""openstacksdk, unmodified, against a registry without authentication."""

import hashlib
from pathlib import Path

from tests.clients.command import Command
from tests.server import Server

STORY = Path(__file__).with_name("sdk_story.py")


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
