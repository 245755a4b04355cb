"""`imagereg completion`: what lets a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

_VARIABLE = "_IMAGEREG_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes commands and options in SHELL.

    \b
    bash: eval "$(imagereg completion bash)"             in ~/.bashrc
    zsh:  eval "$(imagereg completion zsh)"              in ~/.zshrc
    fish: imagereg completion fish | source              in config.fish

    The shell then asks the program itself, so what it offers is never out of date.
    """  # noqa: D301 - click minds the character
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    root = context.find_root()
    click.echo(kind(root.command, {}, "imagereg", _VARIABLE).source())
