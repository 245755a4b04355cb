"""Examples of `--help`, and what shells complete."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from imagereg.cli import main
from imagereg.cli.examples import EXAMPLES, FETCH_EXAMPLES, explain_fetch
from imagereg.cli.fetch import EXIT_STATUS, fetch
from imagereg.cli.fetch_cache import COMMANDS
from tests.server import PROGRAM


def commands(command: click.Command, path: str = "") -> Iterator[str]:
    """Yield the names of all commands that do something."""
    if not isinstance(command, click.Group):
        yield path.strip()
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from commands(below, f"{path} {name}")


def parsed(words: list[str]) -> str:
    """Parse a line as the program does; return the command that it calls."""
    context = main.make_context(words[0], words[1:])
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, command, arguments = context.command.resolve_command(context, rest)
        assert command is not None
        context = command.make_context(name, arguments, parent=context)
    return context.command_path


def test_every_command_has_an_example_and_no_other() -> None:
    assert set(commands(main)) == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_shown_and_can_be_parsed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = CliRunner().invoke(main, [*name.split(), "--help"]).output
    # Whether files exist is not the question here.
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: value)

    path = parsed(shlex.split(EXAMPLES[name]))

    assert f"Example:\n    {EXAMPLES[name]}\n" in shown
    assert path == f"imagereg {name}"


def test_every_command_of_a_node_has_an_example_and_no_other() -> None:
    below = {
        name
        for word, command in COMMANDS.items()
        for name in commands(command, f"{word}")
    }

    assert {"", *below} == set(FETCH_EXAMPLES)


@pytest.mark.parametrize(
    ("name", "example"),
    [(name, line) for name, lines in FETCH_EXAMPLES.items() for line in lines],
)
def test_an_example_of_a_node_is_shown_and_can_be_parsed(
    name: str, example: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: value)
    monkeypatch.setattr(click.File, "convert", lambda self, value, param, ctx: value)
    first, *rest = name.split() or [""]
    command = COMMANDS.get(first, fetch)
    explain_fetch(command, first, EXIT_STATUS)

    shown = CliRunner().invoke(command, [*rest, "--help"]).output
    _, *words = shlex.split(example)
    assert words[: len(name.split())] == name.split()
    context = command.make_context(first, words[len(name.split()) - len(rest) :])
    while isinstance(context.command, click.Group):
        left = [*context._protected_args, *context.args]
        _, below, arguments = context.command.resolve_command(context, left)
        assert below is not None
        context = below.make_context(below.name, arguments, parent=context)

    assert f"\n    {example}\n" in shown
    assert "Exit status:\n    0  done" in shown
    assert context.command_path == name


def complete(*words: str) -> list[str]:
    """Return what a real bash offers for the last of these words."""
    script = subprocess.run(
        [PROGRAM.with_name(words[0]), "completion", "bash"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout
    function = re.search(r"^(\w+)\(\) ?\{", script, re.MULTILINE)
    assert function is not None
    quoted = " ".join(shlex.quote(word) for word in words)
    done = subprocess.run(
        [
            "bash",
            "--norc",
            "-c",
            f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
            f"{function[1]} {words[0]}\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={"PATH": f"{PROGRAM.parent}:/usr/bin:/bin"},
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["imagereg", "se"], ["serve"]),
        (["imagereg", "db", ""], ["check", "purge", "upgrade", "version"]),
        (["imagereg", "serve", "--wo"], ["--workers"]),
        (["imagereg", "completion", ""], ["bash", "zsh", "fish"]),
        (["imagereg-fetch", "c"], ["cache", "completion"]),
        (["imagereg-fetch", "--direct", ""], ["auto", "never", "only"]),
        (["imagereg-fetch", "an-image", "--dir"], ["--direct"]),
        (["imagereg-fetch", "cache", "p"], ["pin"]),
        (["imagereg-fetch", "cache", "gc", "--dr"], ["--dry-run"]),
    ],
)
def test_a_real_bash_completes(words: list[str], offered: list[str]) -> None:
    assert sorted(complete(*words)) == sorted(offered)


@pytest.mark.parametrize(
    ("shell", "mark"), [("zsh", "#compdef {}\n"), ("fish", "complete --no-files")]
)
@pytest.mark.parametrize(
    ("program", "command", "words", "variable"),
    [
        ("imagereg", main, ["completion"], "_IMAGEREG_COMPLETE"),
        ("imagereg-fetch", COMMANDS["completion"], [], "_IMAGEREG_FETCH_COMPLETE"),
    ],
    ids=["imagereg", "imagereg-fetch"],
)
def test_other_shells_get_their_scripts(
    program: str,
    command: click.Command,
    words: list[str],
    variable: str,
    shell: str,
    mark: str,
) -> None:
    script = CliRunner().invoke(command, [*words, shell])

    assert script.exit_code == 0
    assert mark.format(program) in script.output
    assert variable in script.output


def test_an_unknown_shell_is_refused() -> None:
    assert CliRunner().invoke(main, ["completion", "tcsh"]).exit_code == 2


def test_completion_needs_no_configuration(tmp_path: Path) -> None:
    done = subprocess.run(
        [PROGRAM, "completion", "fish"],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=True,
    )
    assert b"imagereg" in done.stdout
    assert list(tmp_path.iterdir()) == []
