"""What lets a shell complete commands and options: `completion` of both programs."""

import os
from collections.abc import Mapping

import click
from click.shell_completion import get_completion_class, shell_complete

SHELLS = click.Choice(["bash", "zsh", "fish"])

#: What the shell's script asks the programs by.
_VARIABLES = {
    "imagereg": "_IMAGEREG_COMPLETE",
    "imagereg-fetch": "_IMAGEREG_FETCH_COMPLETE",
}


@click.command()
@click.argument("shell", type=SHELLS)
def completion(shell: str) -> None:
    """Print a script that completes commands and options in SHELL.

    \b
    bash: eval "$(imagereg completion bash)"             in ~/.bashrc
    zsh:  eval "$(imagereg completion zsh)"              in ~/.zshrc
    fish: imagereg completion fish | source              in config.fish

    The shell then asks the program itself, so what it offers is never out of date.
    """  # noqa: D301 - click minds the character
    click.echo(_script(shell, "imagereg"))


@click.command("completion")
@click.argument("shell", type=SHELLS)
def fetch_completion(shell: str) -> None:
    """Print a script that completes commands and options in SHELL.

    \b
    bash: eval "$(imagereg-fetch completion bash)"       in ~/.bashrc
    zsh:  eval "$(imagereg-fetch completion zsh)"        in ~/.zshrc
    fish: imagereg-fetch completion fish | source        in config.fish

    The shell then asks the program itself, so what it offers is never out of date.
    """  # noqa: D301 - click minds the character
    click.echo(_script(shell, "imagereg-fetch"))


def answer_shell(command: click.Command, below: Mapping[str, click.Command]) -> bool:
    """Answer what a shell asks `imagereg-fetch`; return whether one does.

    To click the program is no group, since images stand where names of commands do.
    For completion alone it is one, with the options that the command itself has.
    """
    program = "imagereg-fetch"
    variable = _VARIABLES[program]
    asked = os.environ.get(variable)
    if not asked:
        return False
    options = [each for each in command.params if isinstance(each, click.Option)]
    group = click.Group(program, commands=dict(below), params=list(options))
    shell_complete(group, {}, program, variable, asked)
    return True


def _script(shell: str, program: str) -> str:
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    return kind(click.Command(program), {}, program, _VARIABLES[program]).source()
