"""`imagereg protection`: try a property-protection file before the service does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path

import click

from imagereg.model import Caller, Operation
from imagereg.policy.rules import RuleSet, load_rule_set
from imagereg.protection.guard import PropertyGuard, Reason
from imagereg.protection.lint import Level, lint
from imagereg.protection.rules import (
    FORMATS,
    Protections,
    load_protections,
)
from imagereg.rehearsal.files import know_policies


@click.group()
def protection() -> None:
    """Check, explain and lint property-protection files."""


@dataclass(frozen=True)
class _Files:
    """The files that a command looks at."""

    path: Path
    rule_format: str
    policy: Path | None

    @cached_property
    def rules(self) -> RuleSet:
        """The policy rules, defaults included."""
        return load_rule_set(self.policy)

    @cached_property
    def protections(self) -> Protections:
        """The protections; raises `ConfigurationError` with every fault."""
        return load_protections(self.path, self.rule_format, know_policies(self.rules))


def _take_files(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every command here takes, as the first parameter `files`."""

    @click.argument("file", type=click.Path(path_type=Path))
    @click.option(
        "--format",
        "rule_format",
        default="roles",
        show_default=True,
        metavar="|".join(FORMATS),
        help="The value of property_protection_rule_format.",
    )
    @click.option(
        "--policy",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="The policy file that names are looked up in, beside the defaults.",
    )
    @wraps(command)
    def run(file: Path, rule_format: str, policy: Path | None, **rest: object) -> None:
        command(_Files(file, rule_format, policy), **rest)

    return run


@protection.command()
@_take_files
def validate(files: _Files) -> None:
    """Make the checks of the service's start; exit status 1 if it would not start."""
    found = files.protections
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    count = len(found.sections) - 1
    click.echo(f"{files.path}: {count} section{'s' if count != 1 else ''}, no faults")


@protection.command()
@_take_files
@click.option("--property", "name", required=True, help="The property's name.")
@click.option(
    "--roles",
    default="",
    help="Roles of the caller and its service token, by commas.",
)
@click.option(
    "--op",
    "operation",
    required=True,
    type=click.Choice([each.value for each in Operation]),
)
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="NAME=VALUE",
    help="More about the caller, for format policies, such as project_id=p1.",
)
@click.option(
    "--target",
    multiple=True,
    metavar="NAME=VALUE",
    help="A field of the image, for format policies, such as owner=p1.",
)
def check(
    files: _Files,
    name: str,
    roles: str,
    operation: str,
    credentials: tuple[str, ...],
    target: tuple[str, ...],
) -> None:
    """Tell whether a caller may, and which section decides; exit status 1 if not."""
    guard = PropertyGuard(files.protections)
    caller = Caller(roles=_split_roles(roles))
    known = {**caller.credentials, **_split_pairs(credentials)}
    fields = _split_pairs(target)

    def ask(text: str) -> bool:
        # Asked as a reference, because scope plays no part for properties.
        expression = text if ":" in text else f"rule:{text}"
        return files.rules.compile(expression).allows(known, fields)

    reason = guard.verdict_section(Operation(operation), name, caller.roles, ask)
    click.echo(_tell(reason, operation))
    if not reason.allowed:
        raise SystemExit(1)


@protection.command(name="lint")
@_take_files
@click.option("--strict", is_flag=True, help="Fail on warnings and notes too.")
def lint_command(files: _Files, strict: bool) -> None:
    """Tell what the author may not have meant; exit status 1 for errors."""
    findings = lint(files.protections, frozenset(files.rules))
    for finding in findings:
        click.echo(finding.render(str(files.path)))
    if not findings:
        click.echo(f"{files.path}: no findings")
    if any(strict or each.level is Level.ERROR for each in findings):
        raise SystemExit(1)


def _tell(reason: Reason, operation: str) -> str:
    """Return the decision and what decided it, on two lines."""
    verdict = "allowed" if reason.allowed else "denied"
    if not reason.section:
        return f"{verdict}: {reason.why}\nsection: none ({reason.file})"
    place = f"{reason.file}:{reason.line}" if reason.line else "built in"
    rule = f"{operation} = {' '.join(reason.rule.split())}"
    line = f", line {reason.rule_line}" if reason.rule_line else ""
    return (
        f"{verdict}: {reason.why}\nsection: [{reason.section}] ({place}) {rule}{line}"
    )


def _split_roles(text: str) -> frozenset[str]:
    return frozenset(filter(None, (role.strip().lower() for role in text.split(","))))


def _split_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    split = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise click.BadParameter(f"`{pair}` is not NAME=VALUE")
        split[name] = value
    return split
