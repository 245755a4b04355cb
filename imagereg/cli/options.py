"""Options that several commands take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Declare = Callable[[Callable[..., Any]], Callable[..., Any]]


def takes_config_files(help_text: str) -> Declare:
    """Return the option that names configuration files, as ``config_files``."""
    return click.option(
        "--config",
        "--config-file",
        "config_files",
        multiple=True,
        type=click.Path(path_type=Path),
        help=help_text,
    )
