"""The unmodified clients, in an environment of their own, and a server for them."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import databases
from tests.environments import programs_of, run
from tests.server import Server

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


@pytest.fixture(scope="session")
def programs() -> Path:
    """Return the folder of the clients' programs."""
    return programs_of(REQUIREMENTS)


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
    where = tmp_path_factory.mktemp("registry")
    databases.keep(where)
    running = Server(where, {"paste_deploy": {"flavor": None}}).start()
    yield running
    running.stop()
