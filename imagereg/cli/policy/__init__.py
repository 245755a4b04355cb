"""`imagereg policy`: check, explain, compare and test policy files."""

import logging

import click

from imagereg.cli.policy.checking import check, lint_command, validate
from imagereg.cli.policy.explaining import explain
from imagereg.cli.policy.tables import diff, matrix
from imagereg.cli.policy.testing import test
from imagereg.cli.policy.writing import (
    convert,
    effective,
    redundant,
    sample,
    upgrade,
)


@click.group()
def policy() -> None:
    """Check, explain, compare and test policy files."""
    # What the engine logs about files is told by the commands themselves.
    logging.getLogger("imagereg.policy").addHandler(logging.NullHandler())


for _command in (
    *(check, explain, validate, lint_command, test, matrix, diff),
    *(sample, effective, redundant, upgrade, convert),
):
    policy.add_command(_command)
