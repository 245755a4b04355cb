"""Look now and then whether work that goes on is still wanted.

Source: contract api-images 13 and 18.4.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from imagereg.db.images import ImageRepository
from imagereg.db.jobs import Job, JobRepository
from imagereg.errors import LeaseLost

#: How often long work looks, in seconds.
LOOK_S = 2.0

MiB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Watch:
    """Watches over one job.

    Attributes:
        stopped: set when the work of all threads of the job is in vain.
    """

    jobs: JobRepository
    images: ImageRepository
    job: Job
    stopped: threading.Event = field(default_factory=threading.Event)

    def over(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass chunks on as long as they are wanted, and tell how many came.

        Looks once more after the last one, before whoever takes them counts them as
        his: a process that was given up meanwhile must not replace what others store.

        Raises:
            ImageNotFound: the image was deleted.
            LeaseLost: the job is somebody else's by now.
        """
        copied, looked = 0, time.monotonic()
        for chunk in chunks:
            yield chunk
            copied += len(chunk)
            if time.monotonic() - looked > LOOK_S:
                self.look(copied)
                looked = time.monotonic()
        self.look(copied)

    def look(self, copied: int | None = None) -> None:
        """Look once.  Raises as `over` does."""
        if self.stopped.is_set():
            raise LeaseLost(f"task {self.job.task.id} was stopped")
        self.images.get(self.job.task.image_id or "", None)
        message = "" if copied is None else f"Copied {copied // MiB} MiB"
        self.jobs.tell(self.job, message)
