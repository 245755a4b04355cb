"""File systems that tests mount, where this machine lets them.

They need root and loop devices; where that is not to be had the tests are skipped,
and say so.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.server import eventually

#: File systems whose files can share blocks, and how one is made.
SHARING = {
    "btrfs": ("mkfs.btrfs", "-q"),
    "xfs": ("mkfs.xfs", "-q", "-m", "reflink=1"),
}
_LEAST_BYTES = 320 << 20  # What XFS wants; the file is sparse.


@contextmanager
def sharing(kind: str, folder: Path, size: int = _LEAST_BYTES) -> Iterator[Path]:
    """Yield the root of a file system of its own whose files can share blocks."""
    make = SHARING[kind]
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    program = shutil.which(make[0], path=path)
    if program is None:
        pytest.skip(f"{make[0]} is missing: nothing is shown of {kind}")
    disk, root = folder / f"{kind}.disk", folder / kind
    disk.touch()
    os.truncate(disk, max(size, _LEAST_BYTES))
    subprocess.run([program, *make[1:], disk], check=True, capture_output=True)
    with mounted(["-o", "loop", str(disk)], root):
        yield root


@contextmanager
def mounted(what: Sequence[str], root: Path) -> Iterator[Path]:
    """Yield ``root`` with something mounted there, as `mount` takes it."""
    root.mkdir()
    done = subprocess.run(
        ["mount", *what, root], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"nothing can be mounted on this machine: {done.stderr.strip()}")
    try:
        yield root
    finally:
        # Whoever looks at all file systems may have this one open for a moment.
        umount = ["umount", str(root)]
        assert eventually(lambda: subprocess.run(umount, check=False).returncode == 0)
