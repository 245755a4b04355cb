"""Which process did something, and whether it is still there.

A process of this machine is dead when the kernel says so; one of another machine when
it was silent for a while.
"""

import os
import socket
from pathlib import Path

from imagereg.model import now_us


def is_gone(worker: str, beat_at_us: int, silence_s: float) -> bool:
    """Return whether a process is dead, going by the kernel or by its silence.

    Args:
        worker: its `worker_name`.
        beat_at_us: when it last said that it lives; counts for other machines alone.
        silence_s: how long one of those may be silent.
    """
    host, boot, pid, started = worker.rsplit(":", 3)
    here_host, here_boot = _machine().rsplit(":", 1)
    if host != here_host:
        return now_us() - beat_at_us > silence_s * 1_000_000
    return boot != here_boot or _started(int(pid)) != started


def worker_name() -> str:
    """Return ``host:boot:pid:start`` of this process, which no other ever has."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid)}"


def _started(pid: int) -> str | None:
    """Return when a process of this machine began, None if it is no more.

    A dead one whose parent has yet to collect it counts as no more.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is a file name in parentheses and may hold blanks itself.
    state, *values = stat.rpartition(")")[2].split()
    return None if state in "ZX" else values[18]


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}:{boot}"
