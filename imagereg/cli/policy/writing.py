"""`imagereg policy sample`, `effective`, `redundant`, `upgrade` and `convert`."""

from collections.abc import Iterable
from pathlib import Path

import click

from imagereg.cli.policy.sources import FILE, Source, take_policy
from imagereg.policy.files import Entry
from imagereg.policy.writing import (
    converted_lines,
    effective_rules,
    json_text,
    redundant_rules,
    sample_lines,
    upgraded_rules,
    yaml_lines,
)

_OUTPUT = click.option(
    "--output-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write here.  [default: standard output]",
)
_TO = click.option(
    "--to",
    "form",
    type=click.Choice(["yaml", "json"]),
    default="yaml",
    show_default=True,
)
_NAMESPACE = click.option(
    "--namespace", multiple=True, expose_value=False, help="Accepted and ignored."
)


@click.command()
@_NAMESPACE
@_OUTPUT
@click.option("--exclude-deprecated", is_flag=True, help="Leave older rules out.")
@click.option("--format", expose_value=False, help="Accepted and ignored.")
def sample(output_file: Path | None, *, exclude_deprecated: bool) -> None:
    """Print every built-in rule, commented out, with what it governs."""
    _write(sample_lines(exclude_deprecated=exclude_deprecated), output_file)


@click.command()
@take_policy
@_OUTPUT
@_TO
def effective(source: Source, output_file: Path | None, form: str) -> None:
    """Print the rules in force: those of the files, then the built-in ones."""
    rules = effective_rules(source.rules, [*source.last_entries.values()])
    _write(
        [json_text(rules).rstrip()] if form == "json" else yaml_lines(rules),
        output_file,
    )


@click.command()
@take_policy
def redundant(source: Source) -> None:
    """Print the entries that say what the built-in rule says anyway."""
    _write(yaml_lines(redundant_rules(_entries(source))), None)


@click.command()
@take_policy
@_OUTPUT
@_TO
def upgrade(source: Source, output_file: Path | None, form: str) -> None:
    """Print the policy with deprecated names replaced by those of today."""
    rules = upgraded_rules(_entries(source))
    _write(
        [json_text(rules).rstrip()] if form == "json" else yaml_lines(rules),
        output_file,
    )


@click.command()
@take_policy
@click.option("--policy-file", type=FILE, help="The same as --policy.")
@_OUTPUT
@_TO
def convert(
    source: Source, policy_file: Path | None, output_file: Path | None, form: str
) -> None:
    """Print the policy as YAML with comments, or as JSON.

    In YAML, entries that equal the built-in rule are commented out, and unknown ones
    come last.
    """
    entries = _entries(Source(policy_file) if policy_file else source)
    if form == "json":
        lines: Iterable[str] = [json_text({e.name: e.value for e in entries}).rstrip()]
    else:
        lines = converted_lines(entries)
    _write(lines, output_file)


def _entries(source: Source) -> list[Entry]:
    """Return the entries in force, from files without faults.

    Raises:
        ConfigurationError: with every fault.
    """
    source.check()
    return [*source.last_entries.values()]


def _write(lines: Iterable[str], output_file: Path | None) -> None:
    if output_file is None:
        for line in lines:
            click.echo(line)
        return
    output_file.write_text("\n".join([*lines, ""]), "utf-8")
