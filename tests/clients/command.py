"""One call of a client's program, as a user makes it at a prompt."""

import json
import os
import pty
import subprocess
from dataclasses import dataclass
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
