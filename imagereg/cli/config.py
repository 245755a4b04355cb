"""`imagereg config`: what the configuration says, and what is wrong with it."""

from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from imagereg.settings import load_settings
from imagereg.settings.dump import dump_settings
from imagereg.settings.sample import sample_lines
from imagereg.settings.survey import survey

P = ParamSpec("P")
R = TypeVar("R")


def config_options(command: Callable[P, R]) -> Callable[P, R]:
    """Give a command the options that say which files to read."""
    for declare in (
        click.option(
            "--config-dir",
            "config_dirs",
            multiple=True,
            type=click.Path(path_type=Path),
            help="Directory whose *.conf are read after the files.",
        ),
        click.option(
            "--config-file",
            "--config",
            "config_files",
            multiple=True,
            type=click.Path(path_type=Path),
            help="File to read; may be repeated, later ones go before earlier ones.",
        ),
    ):
        command = declare(command)
    return command


@click.group()
def config() -> None:
    """Show and check the configuration."""


@config.command()
@config_options
@click.option("--defaults", is_flag=True, help="Show options that nobody set too.")
@click.option("--unknown", is_flag=True, help="List names that have no effect.")
def dump(
    config_files: tuple[Path, ...],
    config_dirs: tuple[Path, ...],
    *,
    defaults: bool,
    unknown: bool,
) -> None:
    """Print the effective settings, each with where its value comes from."""
    settings = load_settings(config_files, config_dirs)
    for line in dump_settings(settings, with_defaults=defaults):
        click.echo(line)
    if unknown:
        for line in settings.without_effect:
            click.echo(f"# {line}")


@config.command()
@config_options
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
@click.pass_context
def check(
    ctx: click.Context,
    config_files: tuple[Path, ...],
    config_dirs: tuple[Path, ...],
    *,
    strict: bool,
) -> None:
    r"""Print what is wrong with the configuration, and what is likely not meant.

    Warnings are names that are unknown, old or without effect, options that
    contradict each other, and paths that cannot be read or written by whoever runs
    this.  `imagereg policy check` and `imagereg protection check` look into the files
    of rules.

    \b
    Exit status:
      0  no fault (with --strict: no warning either)
      1  the service would not start; with --strict: a warning
      2  wrong usage
    """
    found = survey(load_settings(config_files, config_dirs))
    for line in found:
        click.echo(f"warning: {line}")
    if found and strict:
        ctx.exit(1)


@config.command()
def sample() -> None:
    """Print a commented file with every option and its default."""
    for line in sample_lines():
        click.echo(line)
