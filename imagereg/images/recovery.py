"""Clear away what processes left behind that are no more.

Each upload's journal entry names the process that runs it (see `processes.py`), and
is renewed while data flows.  Whoever clears an entry claims it first, so two workers
never clear the same one, and none clears an upload that began since.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count

from imagereg.db.staged import NOBODY
from imagereg.db.staged_parts import PartUnderWay
from imagereg.db.uploads import Upload, UploadRepository
from imagereg.errors import ImageRegError
from imagereg.images.data import BEAT_S
from imagereg.images.processes import is_gone
from imagereg.images.removal import Removal
from imagereg.images.staged import StagedData
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.store import Store

log = logging.getLogger(__name__)

#: An upload of another machine that was silent for so long is over, in seconds.
SILENCE_S = 20 * BEAT_S

#: How often each process looks for what crashed ones left, in seconds.
HOUSEKEEPING_S = 60

#: After how many such looks it sweeps the stores, which some charge for.
SWEEP_ROUNDS = 60

#: Temporary files that nobody holds open go after so long, in seconds.
LEFTOVER_S = 24 * 3600


def is_dead(upload: Upload) -> bool:
    """Return whether the process that ran the upload can no longer finish it."""
    return is_gone(upload.worker, upload.beat_at_us, SILENCE_S)


def is_over(part: PartUnderWay) -> bool:
    """Return whether the process that took in the part can no longer finish it."""
    return part.worker == NOBODY or is_gone(part.worker, part.beat_at_us, SILENCE_S)


@dataclass(frozen=True, slots=True)
class Recovery:
    """Clears away, at start and now and then."""

    uploads: UploadRepository
    stores: StoreCatalog
    removal: Removal
    staged: StagedData
    worker: Callable[[], str]

    def run(self) -> None:
        """Return dead uploads' images to ``queued``, remove what nobody refers to.

        What else was staged of an image is kept: its client may go on.
        """
        for upload in self.uploads.under_way():
            if is_dead(upload):
                self.clear(upload)
        for part in self.staged.rows.under_way():
            if is_over(part):
                self.clear_part(part)
        self.staged.rows.discard_forgotten()
        self.removal.sweep()

    def sweep(self) -> None:
        """Remove beginnings of uploads that no journal knows; for now and then.

        Asks every store for all that lie there, so it belongs into no tight loop.
        """
        for store in (*self.stores, *self.stores.reserved.values()):
            if store.writable:
                self._sweep(store)

    def clear_part(self, part: PartUnderWay) -> bool:
        """Clear one dead part away; return whether it is gone."""
        rows, me = self.staged.rows, self.worker()
        if not rows.hand_over(part.number, part.worker, me):
            return False
        try:
            self.staged.clear(part)
        except ImageRegError as error:
            log.warning("image %s: a part not cleared yet: %s", part.image_id, error)
            rows.hand_over(part.number, me, NOBODY)
            return False
        log.warning("image %s: a part was cut off by a crash", part.image_id)
        return True

    def start(self) -> Callable[[], None]:
        """Run now and then in a thread; return what ends it."""
        stopped = threading.Event()
        threading.Thread(
            target=self._keep, args=(stopped,), name="housekeeping", daemon=True
        ).start()
        return stopped.set

    def _keep(self, stopped: threading.Event) -> None:
        # Whoever started this process has just swept.
        for round_number in count(1):
            try:
                self.run()
                if round_number % SWEEP_ROUNDS == 0:
                    self.sweep()
            except Exception:
                log.exception("housekeeping failed; it will try again")
            if stopped.wait(HOUSEKEEPING_S):
                return

    def _sweep(self, store: Store) -> None:
        try:
            store.sweep(LEFTOVER_S)
        except ImageRegError as error:
            log.warning("store %s: leftovers stay: %s", store.id, error)

    def clear(self, upload: Upload) -> bool:
        """Clear one dead upload away; return whether it is gone."""
        if not self.uploads.claim(upload, self.worker()):
            return False
        try:
            self.stores[upload.store].discard(upload.image_id)
        except (KeyError, ImageRegError) as error:
            log.warning("image %s: remains not cleared yet: %s", upload.image_id, error)
            # Handed back to the dead process, so that the next run tries again.
            self.uploads.claim(replace(upload, worker=self.worker()), upload.worker)
            return False
        self.uploads.abandon(upload.image_id)
        log.warning(
            "image %s: its upload was cut off by a crash; nothing was kept",
            upload.image_id,
        )
        return True
