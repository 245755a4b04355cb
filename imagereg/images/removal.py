"""Remove bytes that no image refers to any more.

Rows go first, bytes second (ruling S-10): a store that is down leaves an entry in
the list of condemned bytes, never an active image without data.  A store that hangs
is not waited for: what takes too long goes on in a thread of its own, and the request
that began it is answered.
"""

import logging
import threading
from collections.abc import Callable
from enum import Enum

from imagereg.db.deletions import Condemned, DeletionRepository
from imagereg.errors import BlobNotFound, ImageRegError, StoreUnavailable
from imagereg.images.processes import is_gone
from imagereg.model import Location
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.store import Store

log = logging.getLogger(__name__)

#: How long a request waits for a store to remove an object, in seconds.
PATIENCE_S = 5.0

#: A removal of another machine that takes so long is over, in seconds.
SILENCE_S = 600.0


class Removal:
    """Removes condemned bytes, now or later.

    Args:
        worker: names this process, for claims.
        patience_s: how long a store may take before it is no longer waited for.
    """

    def __init__(
        self,
        deletions: DeletionRepository,
        stores: StoreCatalog,
        worker: Callable[[], str],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._deletions = deletions
        self._stores = stores
        self._worker = worker
        self._patience_s = patience_s
        self._under_way = _UnderWay()

    def remove(self, image_id: str, location: Location) -> bool:
        """Remove the bytes at one condemned location; return whether they are gone.

        A failure is logged, and the entry kept.  Bytes that wait for the scrubber
        are left to it.
        """
        return self._try(image_id, location) is _Outcome.GONE

    def remove_all(self, image_id: str) -> None:
        """Try to remove whatever is condemned of one image."""
        for each in self._deletions.condemned():
            if each.image_id == image_id and each.worker is None:
                self._try(image_id, each.location)

    def retry(self, each: Condemned) -> bool:
        """Remove bytes that others may have died over; return whether they are gone."""
        self._unclaim(each)
        return self.remove(each.image_id, each.location)

    def sweep(self) -> int:
        """Try again whatever could not be removed before; say how much is left.

        Of a store that cannot be reached, one object is tried and no more.  Bytes
        that wait for the scrubber are not counted.
        """
        down: set[str | None] = set()
        left = 0
        for each in self._deletions.condemned():
            if each.kept:
                continue
            self._unclaim(each)
            if each.location.store in down:
                left += 1
                continue
            outcome = self._try(each.image_id, each.location)
            left += outcome is not _Outcome.GONE
            if outcome is _Outcome.FAILED:
                down.add(each.location.store)
        return left

    def _try(self, image_id: str, location: Location) -> "_Outcome":
        url = location.url
        if not self._under_way.enter(url):
            return _Outcome.NOT_NOW
        hangs = False
        try:
            if not self._deletions.claim(image_id, url, self._worker()):
                return _Outcome.NOT_NOW
            self._delete(self._stores.find_for(location, reserved=True), location)
        except BlobNotFound:
            log.info("image %s: its bytes were gone from the store already", image_id)
        except ImageRegError as error:
            hangs = isinstance(error, _Hanging)
            log.warning("image %s: bytes not removed yet: %s", image_id, error)
            if not hangs:
                self._deletions.release(image_id, url, self._worker())
            return _Outcome.FAILED
        finally:
            if not hangs:
                self._under_way.leave(url)
        self._deletions.forget(image_id, url)
        return _Outcome.GONE

    def _unclaim(self, each: Condemned) -> None:
        """Take back a claim whose process, or whose thread, is no more."""
        if each.worker is None:
            return
        if each.worker == self._worker():
            is_over = each.location.url not in self._under_way
        else:
            is_over = is_gone(each.worker, each.claimed_at_us, SILENCE_S)
        if is_over:
            self._deletions.release(each.image_id, each.location.url, each.worker)

    def _delete(self, store: Store, location: Location) -> None:
        """Delete an object, or leave a thread behind that will.

        Raises:
            _Hanging: it takes too long; the entry stays claimed while it does.
            ImageRegError: what the store says.
        """
        attempt = _Attempt(store, location, self._under_way)
        attempt.start()
        attempt.done.wait(self._patience_s)
        if not self._under_way.settle(attempt):
            raise _Hanging("the store does not answer")
        if attempt.failure is not None:
            raise attempt.failure


class _Outcome(Enum):
    """What became of a removal: the bytes are gone, others are at it, or it failed."""

    GONE = 1
    NOT_NOW = 2
    FAILED = 3


class _Hanging(StoreUnavailable):
    """The store neither removes an object nor says why."""


class _UnderWay:
    """The URLs at which this process removes bytes just now."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urls: set[str] = set()

    def __contains__(self, url: object) -> bool:
        return url in self._urls

    def enter(self, url: str) -> bool:
        """Begin, or return False: another thread did."""
        with self._lock:
            if url in self._urls:
                return False
            self._urls.add(url)
            return True

    def leave(self, url: str) -> None:
        """End."""
        with self._lock:
            self._urls.discard(url)

    def settle(self, attempt: "_Attempt") -> bool:
        """Return whether the attempt ended; if not, it will leave by itself."""
        with self._lock:
            attempt.is_left_alone = not attempt.done.is_set()
            return not attempt.is_left_alone

    def finish(self, attempt: "_Attempt") -> None:
        """Note that the attempt ended."""
        with self._lock:
            attempt.done.set()
            if attempt.is_left_alone:
                self._urls.discard(attempt.location.url)


class _Attempt:
    """One deletion in a thread of its own, which a hanging store may keep for ever."""

    def __init__(self, store: Store, location: Location, under_way: _UnderWay) -> None:
        self._store = store
        self.location = location
        self._under_way = under_way
        self.done = threading.Event()
        self.failure: ImageRegError | None = None
        self.is_left_alone = False

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="removal", daemon=True).start()

    def _run(self) -> None:
        try:
            self._store.delete(self.location)
        except ImageRegError as error:
            self.failure = error
        finally:
            self._under_way.finish(self)
