"""A virtual machine, emulated in software: what a compute service makes of an image."""

import os
import re
import select
import shutil
import subprocess
import time
import uuid
from pathlib import Path

PROGRAM = "qemu-system-x86_64"
MISSING = f"{PROGRAM} is missing: NO MACHINE IS BOOTED (Debian: qemu-system-x86)"

_LONGEST_BOOT_S = 300

#: How a screen is drawn on a serial line, which may be in the middle of a word.
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|c)")


class Machine:
    """An instance on a node, whose disk is a copy on write of an image.

    Attributes:
        uuid: of the instance.
        disk: of its own; what it writes goes there.
    """

    def __init__(self, instances: Path, base: Path, base_format: str) -> None:
        self.uuid = str(uuid.uuid4())
        self._folder = instances / self.uuid
        self._folder.mkdir(parents=True)
        self.disk = self._folder / "disk"
        qemu_img("create", "-f", "qcow2", "-F", base_format, "-b", base, self.disk)

    def boot(self, until: str, *, screen: bool = False) -> str:
        """Run until the console says ``until``, and return that line.

        The console is the first serial line, or with ``screen`` what the BIOS draws
        there of the screen.  A machine that switches itself off is waited for.
        """
        graphics = "off" if screen else "on"
        process = subprocess.Popen(
            [
                *(PROGRAM, "-machine", f"pc,accel=tcg,graphics={graphics}", "-m", "64"),
                *("-nodefaults", "-no-user-config", "-no-reboot", "-vga", "std"),
                *("-display", "none", "-serial", "stdio"),
                *("-drive", f"file={self.disk},format=qcow2,if=ide"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            shown = _read(process, until)
            assert until in shown, shown
            if screen:
                process.terminate()  # It waits for somebody at its keyboard.
            # What it wrote is on its disk when the program has ended by itself.
            process.wait(_LONGEST_BOOT_S)
            return shown[shown.index(until) :].splitlines()[0]
        finally:
            process.kill()
            process.communicate()

    def snapshot(self, path: Path) -> None:
        """Write the disk as it is now, with all that is below it."""
        qemu_img("convert", "-O", "qcow2", self.disk, path)

    def delete(self) -> None:
        """Remove the instance and its disk."""
        shutil.rmtree(self._folder)


def _read(process: "subprocess.Popen[bytes]", until: str) -> str:
    """Return what the console says, up to the end of the line with ``until``."""
    assert process.stdout is not None
    deadline, raw, shown = time.monotonic() + _LONGEST_BOOT_S, b"", ""
    while time.monotonic() < deadline:
        if until in shown and "\n" in shown[shown.index(until) :]:
            break
        if select.select([process.stdout], [], [], 1)[0]:
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                break
            raw += piece
            shown = _ESCAPES.sub("", raw.decode(errors="replace"))
    return shown


def qemu_img(*words: str | Path) -> None:
    """Run `qemu-img`."""
    command = ["qemu-img", words[0], "-q", *words[1:]]
    subprocess.run(command, check=True, capture_output=True)
