"""Python environments of their own, for programs that tests run and do not import.

They are kept out of the project's environment so that their dependencies can
neither hold back nor prop up those of imagereg.  Whatever cannot be had fails the
tests: a client that was not run has not been served.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Has the helpers of `services/` wait for what they start as long as it may take on a
#: busy machine, in seconds.
PATIENT = ("--timeout", "240")


def run(*command: str | Path) -> None:
    """Run a step of the set-up, and fail with everything it wrote."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"


def programs_of(requirements: Path) -> Path:
    """Return the folder of the programs that a file names, installed on first use."""
    folder = _folder(requirements)
    complete = folder / "complete"
    with installing(folder.name):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run(sys.executable, "-m", "venv", folder)
            pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
            run(*pip, "--upgrade", "pip")
            run(*pip, "--requirement", requirements)
            complete.touch()
    return folder / "bin"


@contextmanager
def installing(name: str) -> Iterator[None]:
    """Let one process at a time build what has this name below `cache`.

    Two test runs, or two processes of one, may want it first at the same moment.
    """
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _folder(requirements: Path) -> Path:
    """Return where the programs belong, which changes with what they consist of."""
    contents = requirements.read_bytes() + sys.version.encode()
    name = f"{requirements.parent.name}-{hashlib.sha256(contents).hexdigest()[:12]}"
    return cache() / name


def cache() -> Path:
    """Return the folder that keeps what tests install, from one run to the next."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "imagereg-tests"
