"""Two projects and one image, with `openstack`, unmodified and logged in."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.clients.cloud import Cloud
from tests.clients.command import Command
from tests.server import Server


@pytest.fixture
def cloud(serve: Callable[..., Server]) -> Iterator[Cloud]:
    with closing(Cloud()) as made:
        public = {"DEFAULT": {"public_endpoint": f"{made.base}/image"}}
        made.registry = serve(public).base
        yield made


@pytest.mark.long
def test_an_image_is_shared_accepted_and_taken_back(
    programs: Path, cloud: Cloud
) -> None:
    owner = Command(programs / "openstack", cloud.login("owners"))
    guest = Command(programs / "openstack", cloud.login("guests"))
    raw = ("--disk-format", "raw", "--container-format", "bare")
    image = str(owner("image", "create", "-f", "json", *raw, "ours").fields()["id"])

    unseen = guest.attempt("image", "show", image)
    shared = owner("image", "add", "project", "-f", "json", image, "guests").fields()
    before = guest("image", "list", "-f", "json").json()
    guest("image", "set", "--accept", image)
    after = guest("image", "list", "-f", "json").json()
    members = owner("image", "member", "list", "-f", "json", image).json()
    refused = guest.attempt("image", "set", "--name", "theirs", image)
    owner("image", "remove", "project", image, "guests")
    gone = guest.attempt("image", "show", image)

    assert f"No Image found for {image}" in unseen.errors
    assert (shared["member_id"], shared["status"]) == ("guests", "pending")
    assert before == []
    assert after == [{"ID": image, "Name": "ours", "Status": "queued"}]
    assert members == [{"Image ID": image, "Member ID": "guests", "Status": "accepted"}]
    assert refused.status == 1
    assert "403" in refused.errors
    assert f"No Image found for {image}" in gone.errors
