"""The unmodified clients, in an environment of their own, and a server for them.

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
from pathlib import Path

import pytest

from tests.server import Server

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


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


def environment_folder() -> Path:
    """Return where the clients belong, which changes with what they consist of."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    contents = REQUIREMENTS.read_bytes() + sys.version.encode()
    name = f"clients-{hashlib.sha256(contents).hexdigest()[:12]}"
    return cache / "imagereg-tests" / name


@pytest.fixture(scope="session")
def programs() -> Path:
    """Return the folder of the clients' programs, installed on first use."""
    folder = environment_folder()
    complete = folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two test runs that start together must not build one environment at once.
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run(sys.executable, "-m", "venv", folder)
            pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
            run(*pip, "--upgrade", "pip")
            run(*pip, "--requirement", REQUIREMENTS)
            complete.touch()
    return folder / "bin"


@pytest.fixture(scope="session")
def qemu_img() -> str:
    """Return the path of `qemu-img`, installed on first use where root may."""
    apt_get = shutil.which("apt-get")
    if shutil.which("qemu-img") is None and os.geteuid() == 0 and apt_get:
        run(apt_get, "update", "-q")
        run(apt_get, "install", "-q", "-y", "--no-install-recommends", "qemu-utils")
    found = shutil.which("qemu-img")
    assert found, "qemu-img is missing: apt-get install qemu-utils"
    return found


@pytest.fixture
def qcow2(qemu_img: str, tmp_path: Path) -> Path:
    """Return a real, empty disk of 20 MiB."""
    path = tmp_path / "disk.qcow2"
    run(qemu_img, "create", "-q", "-f", "qcow2", path, "20M")
    return path


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """Return a file of random bytes, of a size that fits no block."""
    path = tmp_path / "noise.raw"
    path.write_bytes(os.urandom(3 * 1024 * 1024 + 17))
    return path


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that asks nobody who he is, as the clients meet it at first."""
    running = Server(
        tmp_path_factory.mktemp("registry"), {"paste_deploy": {"flavor": None}}
    ).start()
    yield running
    running.stop()
