"""The scrubber: ends what ``delayed_delete`` began, or takes it back.

Source: contract stores 6, S-9 and S-10; config 2 on the scrubber's options.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from imagereg.db.deletions import DeletionRepository
from imagereg.db.leases import LeaseRepository
from imagereg.errors import Conflict
from imagereg.images.processes import is_gone
from imagereg.images.removal import Removal
from imagereg.model import Status

log = logging.getLogger(__name__)

#: How many images are looked for at a time.
PAGE = 1000

#: The lease of the process that scrubs, and how long it may be silent, in seconds.
LEASE = "scrubber"
SILENCE_S = 600.0


class ScrubberAtWork(Conflict):
    """Another scrubber runs."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What one run did.

    Attributes:
        images: how many images were deleted for good.
        locations: how many single locations, of images that live, were given up.
        left: how many objects could not be removed; the next run tries again.
    """

    images: int
    locations: int
    left: int


@dataclass(frozen=True, slots=True)
class Scrubber:
    """Deletes what has waited long enough.

    Attributes:
        threads: how many deletions run at a time (``scrub_pool_size``).
    """

    deletions: DeletionRepository
    removal: Removal
    leases: LeaseRepository
    worker: Callable[[], str]
    threads: int = 1

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run a block as the only scrubber.

        Raises:
            ScrubberAtWork: there is another one.
        """
        worker = self.worker()
        if not self.leases.take(LEASE, worker):
            raise ScrubberAtWork("another scrubber is at work just now")
        try:
            yield
        finally:
            self.leases.give_back(LEASE, worker)

    def start(self, wakeup_s: float) -> None:
        """Scrub every ``wakeup_s`` in a thread of this process."""
        threading.Thread(
            target=self._run_on, args=(wakeup_s,), name="scrubber", daemon=True
        ).start()

    def run(self) -> Scrubbed:
        """Delete all images whose time is over; the lease must be held.

        Rows go first: what a store does not give up now is condemned, and left.
        """
        images = 0
        while page := self.deletions.due(PAGE):
            images += self._purge(page)
            self.leases.take(LEASE, self.worker())
        locations = self.deletions.free_due()
        left = self.removal.sweep()
        if images or locations:
            log.info("scrubbed %d images and %d locations", images, locations)
        return Scrubbed(images, locations, left)

    def restore(self, image_id: str) -> Status:
        """Bring an image back as it was; return its status.

        Raises:
            ScrubberAtWork: a scrubber runs.
            StatusConflict, ImageNotFound: there is nothing to restore.
        """
        with self.alone():
            status = self.deletions.restore(image_id)
        log.info("image %s: restored, %s", image_id, status)
        return status

    def _run_on(self, wakeup_s: float) -> None:
        """Scrub for ever; the border at which nothing may escape."""
        pause = threading.Event()
        while not pause.wait(wakeup_s):
            try:
                with self.alone():
                    self.run()
            except ScrubberAtWork:
                log.debug("another process scrubs")
            except Exception:
                log.exception("scrubbing failed; it will be tried again")

    def _purge(self, image_ids: Sequence[str]) -> int:
        if self.threads == 1:
            return sum(map(self._purge_one, image_ids))
        with ThreadPoolExecutor(self.threads, "scrubber") as pool:
            return sum(pool.map(self._purge_apart, image_ids))

    def _purge_apart(self, image_id: str) -> bool:
        """Do it in a thread of the pool, whose connection ends with it."""
        try:
            return self._purge_one(image_id)
        finally:
            self.deletions.close()

    def _purge_one(self, image_id: str) -> bool:
        locations = self.deletions.purge(image_id)
        for location in locations:
            self.removal.remove(image_id, location)
        return bool(locations)


def is_scrubber_gone(worker: str, beat_at_us: int) -> bool:
    """Return whether the scrubber of a lease is no more."""
    return is_gone(worker, beat_at_us, SILENCE_S)
