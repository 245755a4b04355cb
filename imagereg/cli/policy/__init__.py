"""`imagereg policy`: check, explain, compare and test policy files."""

import logging

import click

from imagereg.cli.policy.checking import check, lint_command, validate
from imagereg.cli.policy.explaining import explain
from imagereg.cli.policy.testing import test


@click.group()
def policy() -> None:
    """Check, explain, compare and test policy files."""
    # What the engine logs about files is told by the commands themselves.
    logging.getLogger("imagereg.policy").addHandler(logging.NullHandler())


for _command in (explain, check, validate, lint_command, test):
    policy.add_command(_command)
