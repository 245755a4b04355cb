"""The step that gives imported images properties of the operator's choice.

Source: contract config 6, ``[inject_metadata_properties]``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.jobs.plugins.step import ImportWork, PluginResult
from imagereg.settings import Settings


@dataclass(frozen=True, slots=True)
class Injection:
    """Sets properties, but for callers with certain roles.

    Attributes:
        spared: roles whose imports get none.
    """

    properties: Mapping[str, str]
    spared: frozenset[str]

    def run(self, work: ImportWork) -> PluginResult:
        """Say which properties to set."""
        if work.roles & self.spared:
            return PluginResult()
        return PluginResult(properties=dict(self.properties))


def make(settings: Settings) -> Injection:
    """Return the step as it is configured."""
    wanted = settings.inject_metadata_properties
    spared = frozenset(role.strip().lower() for role in wanted.ignore_user_roles)
    return Injection(wanted.inject, spared)
