"""Clear away what processes left behind that are no more.

Each upload's journal entry names the process that runs it.  A process of this
machine is dead when the kernel says so; one of another machine when its entry was
not renewed for a while.  Whoever clears an entry claims it first, so two workers
never clear the same one, and none clears an upload that began since.
"""

import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from imagereg.db.uploads import Upload, UploadRepository
from imagereg.errors import ImageRegError
from imagereg.images.data import BEAT_S
from imagereg.images.removal import Removal
from imagereg.model import now_us
from imagereg.stores.catalog import StoreCatalog

log = logging.getLogger(__name__)

#: An upload of another machine that was silent for so long is over, in seconds.
SILENCE_S = 20 * BEAT_S

#: Temporary files that nobody holds open go after so long, in seconds.
LEFTOVER_S = 24 * 3600


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


def is_dead(upload: Upload) -> bool:
    """Return whether the process that ran the upload can no longer finish it."""
    return is_gone(upload.worker, upload.beat_at_us, SILENCE_S)


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


@dataclass(frozen=True, slots=True)
class Recovery:
    """Clears away, at start and now and then."""

    uploads: UploadRepository
    stores: StoreCatalog
    removal: Removal
    worker: Callable[[], str]

    def run(self) -> None:
        """Return dead uploads' images to ``queued``, remove what nobody refers to."""
        for upload in self.uploads.under_way():
            if is_dead(upload) and self.uploads.claim(upload, self.worker()):
                self._clear(upload)
        self.removal.sweep()
        for store in self.stores:
            if store.writable:
                store.sweep(LEFTOVER_S)

    def _clear(self, upload: Upload) -> None:
        try:
            self.stores[upload.store].discard(upload.image_id)
        except (KeyError, ImageRegError) as error:
            log.warning("image %s: remains not cleared yet: %s", upload.image_id, error)
            # Handed back to the dead process, so that the next run tries again.
            self.uploads.claim(replace(upload, worker=self.worker()), upload.worker)
            return
        self.uploads.abandon(upload.image_id)
        log.warning(
            "image %s: its upload was cut off by a crash; nothing was kept",
            upload.image_id,
        )
