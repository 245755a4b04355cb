"""`imagereg policy` as a whole."""

import subprocess
import sys
from pathlib import Path

from tests.cli.policy_runs import ORIGIN, POLICIES, PROTECTIONS, run


def test_a_session_with_the_origins_files(tmp_path: Path) -> None:
    """What an operator types who has just copied the two files from the texts."""
    files = ("--policy", ORIGIN, "--protections", PROTECTIONS, "--format", "policies")

    told = [
        run("validate", *files).output,
        run("explain", "publicize_image", *files, "--as", "own").output,
        run("explain", "--property", "x_none_delete", "--op", "delete", *files).output,
        run("matrix", *files, "--action", "delete_image").output,
        run("diff", "defaults", ORIGIN).output,
        run("test", POLICIES).output,
    ]

    for output, line in zip(
        told,
        [
            "47 rules",
            "  rule     publicize_image = role:admin",
            "  value    delete = !",
            "│ delete_image │ private           │ yes │ yes │ yes │ 404 │ 404 │ 404 │",
            "+ svc gains get_image (community, public): 404 -> yes",
            " passed, 0 failed in ",
        ],
        strict=True,
    ):
        assert line in output


def test_starting_a_command_imports_nothing_heavy() -> None:
    script = (
        "import sys, imagereg.cli.policy\n"
        "heavy = ('flask', 'rich', 'yaml', 'peewee', 'imagereg.settings', 'pytest')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"
