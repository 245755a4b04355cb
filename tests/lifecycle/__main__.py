"""Tell the story of `tests.lifecycle.story` at a prompt."""

import shutil
import sys
import tempfile
from pathlib import Path

import click

from tests.lifecycle.machine import MISSING, PROGRAM
from tests.lifecycle.story import tell

if shutil.which(PROGRAM) is None:
    sys.exit(MISSING)
with tempfile.TemporaryDirectory() as folder:
    tell(Path(folder), click.echo)
