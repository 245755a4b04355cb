"""Ports for servers under test."""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

#: Where systems usually give no port away by themselves, neither to connections that
#: go out nor to whoever asks for any: one that was chosen here is still free when its
#: server begins to listen, and when that is started again.
FIRST, LAST = 10_000, 32_000

#: What was chosen last, by any run of this user's tests on this machine.
_NOTE = Path(tempfile.gettempdir()) / f"imagereg-test-ports-{os.getuid()}"


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and nobody else is given."""
    with os.fdopen(os.open(_NOTE, os.O_RDWR | os.O_CREAT, 0o600), "r+") as note:
        # Several processes of a run look for ports at the same time.
        fcntl.flock(note, fcntl.LOCK_EX)
        text = note.read()
        port = int(text) if text.isdigit() else random.randrange(FIRST, LAST)
        for _ in range(FIRST, LAST):
            port = port + 1 if FIRST <= port < LAST else FIRST
            if _is_free(port):
                break
        note.seek(0)
        note.write(f"{port}")
        note.truncate()
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
