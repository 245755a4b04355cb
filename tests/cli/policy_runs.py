"""What the tests of `imagereg policy` share."""

from pathlib import Path

from click.testing import CliRunner, Result

from imagereg.cli import main

POLICIES = Path(__file__).parents[2] / "policies"
ORIGIN = POLICIES / "policy.json"
PROTECTIONS = POLICIES / "property-protections-origin.conf"


def run(*words: object) -> Result:
    """Return what the command did with these words."""
    return CliRunner().invoke(main, ["policy", *map(str, words)])
