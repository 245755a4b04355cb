"""One call of a client's program, as a user makes it at a prompt."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory


@dataclass(frozen=True)
class Result:
    """What the user saw."""

    status: int
    shown: str
    errors: str

    def json(self) -> object:
        """Return what was shown with ``-f json``."""
        return json.loads(self.shown)

    def fields(self) -> dict[str, object]:
        """Return the one record that was shown with ``-f json``."""
        record = self.json()
        assert isinstance(record, dict), self
        return record


@dataclass(frozen=True)
class Command:
    """A program and the options that every call of it needs."""

    program: Path
    options: tuple[str, ...]

    def __call__(self, *arguments: str | Path) -> Result:
        """Run the program and insist that it succeeds."""
        result = self.attempt(*arguments)
        assert result.status == 0, (arguments, result)
        return result

    def watch(self, *arguments: str | Path) -> str:
        """Run the program at a terminal and return all that it showed there.

        Some things are shown to people alone, such as how far a transfer is.
        """
        controller, terminal = pty.openpty()
        with TemporaryDirectory() as home, os.fdopen(controller, "rb", 0) as seen:
            running = subprocess.Popen(
                [self.program, *self.options, *arguments],
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
                env=environment_of_nobody(home),
            )
            os.close(terminal)
            shown = b"".join(_pieces(seen)).decode()
            assert running.wait() == 0, (arguments, shown)
        return shown

    def attempt(self, *arguments: str | Path) -> Result:
        """Run the program.

        Standard input is a terminal: `glance image-create` would otherwise take
        whatever else it finds there for the image's data.
        """
        controller, terminal = pty.openpty()
        with TemporaryDirectory() as home:
            try:
                done = subprocess.run(
                    [self.program, *self.options, *arguments],
                    check=False,
                    capture_output=True,
                    stdin=terminal,
                    text=True,
                    env=environment_of_nobody(home),
                )
            finally:
                os.close(controller)
                os.close(terminal)
        return Result(done.returncode, done.stdout, done.stderr)


def _pieces(terminal: FileIO) -> Iterator[bytes]:
    """Yield what is shown at a terminal until everyone has left it."""
    # Linux tells that nobody writes any more by an error.
    with suppress(OSError):
        while piece := terminal.read(4096):
            yield piece


def environment_of_nobody(home: str) -> dict[str, str]:
    """Return the environment of a user without clouds, settings or caches.

    `glance` keeps the schemas of servers it has met, by address, in the home
    folder; a test run could otherwise read those of an earlier one.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OS_", "XDG_"))
    }
    return {**kept, "HOME": home}
