"""The command `imagereg`: one module per command group, imported when asked for.

Importing every group would make `imagereg serve` slower to start than the server
itself, so the table below holds names and not functions.
"""

from importlib import import_module

import click

from imagereg.cli.examples import explain
from imagereg.errors import ConfigurationError, ImageRegError

# Command name -> (module of this package, attribute, one line of help).
COMMANDS = {
    "serve": ("serve", "serve", "Run the server."),
    "upload": ("upload", "upload", "Upload a file, from where it stopped."),
    "worker": ("worker", "worker", "Work off the queue of imports and the like."),
    "config": ("config", "config", "Show and check the configuration."),
    "policy": ("policy", "policy", "Check, explain, compare and test policy files."),
    "protection": (
        "protection",
        "protection",
        "Check, explain and lint property-protection files.",
    ),
    "store": ("store", "store", "Compare stores and database; find what is left over."),
    "db": ("db", "db", "Upgrade, check and tidy the database."),
    "scrub": ("scrub", "scrub", "Delete for good, or bring back, deleted images."),
    "metadefs": ("metadefs", "metadefs", "Load and export metadata definitions."),
    "cache": ("cache", "cache", "Look after the image cache of this node."),
    "user": ("user", "user", "Look after the users of flavor http_basic."),
    "completion": ("completion", "completion", "Complete commands in a shell."),
    "props": ("props", "props", "Look for mistakes in images' properties."),
}


class _LazyGroup(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(
            import_module(f"imagereg.cli.{module}"), attribute
        )
        explain(command, cmd_name)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; an expected failure becomes one line and exit status 1."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            for fault in error.faults:
                click.echo(f"imagereg: {fault}", err=True)
            ctx.exit(1)
        except ImageRegError as error:
            click.echo(f"imagereg: {error.message}", err=True)
            ctx.exit(1)


@click.command(cls=_LazyGroup)
@click.version_option(package_name="imagereg")
def main() -> None:
    """Run and look after an image registry (OpenStack Image API v2)."""
