"""Which policy and protections a command looks at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagereg.cli.options import takes_config_files
from imagereg.errors import ConfigurationError
from imagereg.policy.actions import BUILT_IN, REGISTERED
from imagereg.policy.files import Entry, PolicyFiles, read_policy_files
from imagereg.policy.lint import hint
from imagereg.policy.rules import RuleSet, load_rule_set
from imagereg.protection.rules import FORMATS, Protections
from imagereg.rehearsal.files import load_rehearsal
from imagereg.rehearsal.questions import Rehearsal

if TYPE_CHECKING:
    from imagereg.settings import Settings

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True)
class Source:
    """The files of one command; nothing is read before it is needed.

    Attributes:
        policy: goes before the policy files of the configuration, and alone.
    """

    policy: Path | None = None
    config_files: tuple[Path, ...] = ()
    protection_file: Path | None = None
    rule_format: str | None = None

    @cached_property
    def settings(self) -> "Settings | None":
        """The configuration; None where a policy file was named instead."""
        if self.policy is not None and not self.config_files:
            return None
        from imagereg.settings import load_settings

        return load_settings(self.config_files)

    @cached_property
    def places(self) -> tuple[Path | None, tuple[Path, ...]]:
        """The policy file and the directories of further ones."""
        if self.policy is not None or self.settings is None:
            return self.policy, ()
        wanted = self.settings.oslo_policy
        return wanted.policy_file, wanted.policy_dirs

    @cached_property
    def found(self) -> PolicyFiles:
        """What the policy files say."""
        return read_policy_files(*self.places)

    @property
    def texts(self) -> Mapping[Path, str]:
        """The policy files as they are."""
        return {path: path.read_text("utf-8-sig") for path in self.found.files}

    @property
    def last_entries(self) -> Mapping[str, Entry]:
        """What is in force of the files, in their order."""
        return {entry.name: entry for entry in self.found.entries}

    def check(self) -> None:
        """Raise `ConfigurationError` with all that is wrong with the policy files."""
        self.rules  # noqa: B018 - compiling them finds the faults

    @cached_property
    def rules(self) -> RuleSet:
        """The rules in force; unknown names are told with the nearest known one."""
        enforce = (
            self.settings is None or self.settings.oslo_policy.enforce_new_defaults
        )
        try:
            return load_rule_set(*self.places, enforce_new_defaults=enforce)
        except ConfigurationError as error:
            known = {*REGISTERED, *BUILT_IN, *self.last_entries}
            faults = [hint(fault, known) for fault in error.faults]
            raise ConfigurationError(faults) from error

    @cached_property
    def protections_place(self) -> tuple[Path | None, str]:
        """The protection file, if any, and its format."""
        path, rule_format = self.protection_file, self.rule_format
        if self.settings is not None:
            path = path or self.settings.default.property_protection_file
            rule_format = (
                rule_format or self.settings.default.property_protection_rule_format
            )
        return path, rule_format or FORMATS[0]

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """The gate that these files make."""
        return load_rehearsal(self.rules, *self.protections_place)

    @property
    def protections(self) -> Protections | None:
        """The protections in force."""
        return self.rehearsal.gate.guard.protections


_POLICY = click.option("--policy", type=FILE, help="The policy file, JSON or YAML.")
_CONFIG = takes_config_files(
    "The configuration that names the files, where --policy is not given."
)
_PROTECTIONS = click.option(
    "--protections",
    "protection_file",
    type=FILE,
    help="The property-protection file.",
)
_FORMAT = click.option(
    "--format",
    "rule_format",
    type=click.Choice(FORMATS),
    help="The value of property_protection_rule_format.",
)
#: Options of the reference's commands that mean nothing here.
_NAMESPACE = click.option(
    "--namespace", multiple=True, expose_value=False, help="Accepted and ignored."
)


def take_policy(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name the policy, as the first parameter ``source``."""

    @_NAMESPACE
    @_CONFIG
    @_POLICY
    @wraps(command)
    def run(
        policy: Path | None, config_files: tuple[Path, ...], **rest: object
    ) -> None:
        command(Source(policy, config_files), **rest)

    return run


def take_all(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name policy and protections, likewise."""

    @_FORMAT
    @_PROTECTIONS
    @_CONFIG
    @_POLICY
    @wraps(command)
    def run(
        policy: Path | None,
        config_files: tuple[Path, ...],
        protection_file: Path | None,
        rule_format: str | None,
        **rest: object,
    ) -> None:
        command(Source(policy, config_files, protection_file, rule_format), **rest)

    return run
