"""Keep the cache in order: fill it from the queue, bring it below its limit, clean.

Each process of a node counts the uses that it served; all else is done by one of them
at a time, whichever comes first.

Source: contract stores 8, api-images 25.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from imagereg.cache.copies import ImageCache
from imagereg.errors import ImageRegError
from imagereg.model import Image
from imagereg.stores.driver import BlobReader

log = logging.getLogger(__name__)

#: How often the uses that were counted are written down, in seconds.
BOOKS_S = 5.0

#: How often the cache is looked through, in seconds.
ROUND_S = 60.0

#: A file that no book speaks of goes after so long, in seconds: until then the
#: process that made it may only be waiting for the database.
UNKNOWN_S = 600.0

#: Opens an image's data in the stores, from an offset; None when there are none.
ImageSource = Callable[[Image, int], BlobReader | None]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune removed."""

    files: int
    bytes: int


class Upkeep:
    """The work on one node's cache that no request waits for.

    Args:
        interval_s: how often the queue is looked at, should nobody ask for it.
    """

    def __init__(
        self, cache: ImageCache, source: ImageSource, interval_s: float
    ) -> None:
        self.cache = cache
        self._source = source
        self._interval_s = interval_s
        # Both are due at once, also where the machine itself just started.
        self._rounded = self._fetched = -math.inf
        self._fault = ""

    def start(self) -> Callable[[], None]:
        """Keep order from now on; called in each process after it forked.

        Returns what ends it.
        """
        stopped = threading.Event()
        threading.Thread(
            target=self._keep, args=(stopped,), name="cache", daemon=True
        ).start()

        def stop() -> None:
            stopped.set()
            self.cache.changed.set()

        return stop

    def prune(self) -> Pruned:
        """Remove copies, those first that were used least recently, down to the limit.

        Source: contract stores 8.
        """
        self.cache.write_books()
        limit = self.cache.rules.max_bytes
        copies = self.cache.books.held()
        total = sum(copy.size for copy in copies)
        files = freed = 0
        for copy in copies:
            if total <= limit:
                break
            total -= copy.size
            freed += self.cache.remove(copy.image_id)
            files += 1
        if files:
            log.info("pruned %d images, %d bytes, from the cache", files, freed)
        return Pruned(files, freed)

    def clean(self, *, pretend: bool = False) -> int:
        """Remove failed and stalled copies, and those whose image is gone.

        Returns how many files went, or would go.
        """
        directory, books = self.cache.directory, self.cache.books
        removed = directory.clean(self.cache.rules.stall_s, pretend=pretend)
        for image_id in books.orphans():
            if not pretend:
                self.cache.forget(image_id)
            removed += 1
        known = {copy.image_id for copy in books.held()}
        held = directory.held()
        for file in held:
            if file.image_id not in known and file.age_s > UNKNOWN_S:
                if not pretend:
                    self.cache.remove(file.image_id)
                removed += 1
        if pretend:
            return removed
        for image_id in known - {file.image_id for file in held}:
            directory.settle(image_id, partial(books.delete, image_id))
        return removed

    def prefetch(self) -> int:
        """Fetch what is queued, those first that waited longest; say how many came.

        What cannot be read just now stays in the queue.
        """
        return sum(self._fetch(each) for each in self.cache.directory.queued())

    def _fetch(self, image_id: str) -> bool:
        """Fetch one image of the queue."""
        cache, directory = self.cache, self.cache.directory
        found = cache.images.find(image_id, None)
        if found is None or not cache.may_hold(found[0]):
            log.warning("image %s: in the queue, and cannot be cached", image_id)
            directory.dequeue(image_id)
            return False
        image, _ = found
        try:
            if not cache.holds(image) and not cache.fetch(
                image, lambda offset: self._source(image, offset)
            ):
                return False
        except (ImageRegError, OSError) as error:
            log.warning("image %s: not fetched yet: %s", image_id, error)
            return False
        return directory.dequeue(image_id)

    def _keep(self, stopped: threading.Event) -> None:
        while True:
            self.cache.changed.wait(BOOKS_S)
            if stopped.is_set():
                return
            is_wanted = self.cache.changed.is_set()
            self.cache.changed.clear()
            self.try_run(is_wanted=is_wanted)

    def try_run(self, *, is_wanted: bool) -> None:
        """Do what is due; the border at which nothing may escape.

        A directory that is gone fails every few seconds, for days: the same failure
        is told once, and again when it was over in between.
        """
        try:
            is_done = self.run(is_wanted=is_wanted)
        except Exception as error:
            if repr(error) != self._fault:
                self._fault = repr(error)
                log.exception("the cache could not be kept in order; it will be again")
            return
        if is_done and self._fault:
            self._fault = ""
            log.info("the cache is kept in order again")

    def run(self, *, is_wanted: bool) -> bool:
        """Do what is due; a copy that was added or asked for makes most of it due.

        Returns whether anything was.
        """
        self.cache.write_books()
        now = time.monotonic()
        round_due = now - self._rounded >= ROUND_S
        fetch_due = is_wanted or now - self._fetched >= self._interval_s
        if not (round_due or fetch_due):
            return False
        with self.cache.directory.alone("upkeep") as is_alone:
            if not is_alone:
                # Somebody else is at it; what was asked of us is not forgotten.
                self._fetched = -math.inf if is_wanted else self._fetched
                return False
            if fetch_due:
                self._fetched = now
                self.prefetch()
                self.prune()
            if round_due:
                self._rounded = now
                self.clean()
                self.prune()
        return True
