"""Metadata definitions with `glance md-...` and openstacksdk, both unmodified."""

import json
from pathlib import Path

import pytest

from tests.clients.command import Command
from tests.server import Server

STORY = Path(__file__).with_name("sdk_metadefs.py")
SCHEMA = json.dumps({"type": "string", "enum": ["red", "blue"]})


@pytest.fixture(scope="module")
def glance(programs: Path, registry: Server) -> Command:
    options = ("--os-image-url", registry.base, "--os-auth-token", "none-needed")
    return Command(programs / "glance", options)


@pytest.mark.long
def test_glance_writes_and_reads_a_namespace(glance: Command) -> None:
    glance(
        *("md-namespace-create", "Shell::Cars", "--visibility", "public"),
        *("--description", "About cars"),
    )
    glance(
        *("md-property-create", "Shell::Cars", "--name", "colour"),
        *("--title", "Colour", "--type", "string", "--schema", SCHEMA),
    )
    glance("md-tag-create-multiple", "Shell::Cars", "--names", "fast,red")
    glance(
        *("md-resource-type-associate", "Shell::Cars"),
        *("--name", "OS::Glance::Image", "--prefix", "x_"),
    )
    updated = glance("md-namespace-update", "Shell::Cars", "--display-name", "Cars")
    shown = glance(
        "md-namespace-show", "Shell::Cars", "--resource-type", "OS::Glance::Image"
    )
    listed = glance("md-namespace-list", "--resource-types", "OS::Glance::Image")
    glance("md-namespace-delete", "Shell::Cars")
    gone = glance.attempt("md-namespace-show", "Shell::Cars")

    assert "| display_name               | Cars" in updated.shown
    assert "x_colour" in shown.shown
    assert "fast" in shown.shown
    assert "Shell::Cars" in listed.shown
    assert gone.status == 1


def test_a_program_writes_and_reads_every_kind(
    programs: Path, registry: Server
) -> None:
    python = Command(programs / "python", ())

    seen = python(STORY, registry.base).fields()

    assert seen == {
        "listed": True,
        "shown": ["public", "Cars"],
        "object": ["Engine", "Motor", ["size"]],
        "property": ["colour", "string", ["red"]],
        "properties": ["colour"],
        "tags": ["fast"],
        "types": ["OS::Glance::Image"],
        "associations": [["OS::Glance::Image", "x_"]],
        "gone": None,
    }
