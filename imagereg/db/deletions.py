"""The list of condemned bytes: entered with the deletion, worked off afterwards.

Source: contract stores 6 and S-10.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imagereg.db.engine import Engine
from imagereg.db.models import CondemnedRow
from imagereg.model import Location, now_us


@dataclass(frozen=True, slots=True)
class Condemned:
    """Bytes that a store has yet to give up.

    Attributes:
        image_id: whose they were; empty if they never were an image's.
        since_us: when they lost their location.
        worker: the process that removes them just now, if they are claimed.
        claimed_at_us: since when.
    """

    image_id: str
    location: Location
    since_us: int
    worker: str | None = None
    claimed_at_us: int = 0


class DeletionRepository:
    """What is to be removed, and who is at it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def condemned(self) -> Sequence[Condemned]:
        """Return all bytes that stores have yet to give up, oldest first."""
        rows = self._engine.rows(
            "SELECT image_id, url, store, since_us, worker, claimed_at_us"
            " FROM condemned_locations ORDER BY since_us, url"
        )
        return [
            Condemned(
                str(image_id),
                Location(url=str(url), store=None if store is None else str(store)),
                int(str(since)),
                None if worker is None else str(worker),
                int(str(claimed or 0)),
            )
            for image_id, url, store, since, worker, claimed in rows
        ]

    def claim(self, image_id: str, url: str, worker: str) -> bool:
        """Return whether the bytes may be removed now.

        The id of a deleted image never comes back, so nobody can write to the same
        place.  Any other entry is claimed, and until `release` or `forget` no upload
        and no task begins on an image of that id.

        False if one is under way, if somebody else removes the bytes, or if they are
        in use again.
        """
        if self._engine.rows(
            "SELECT 1 FROM image_tombstones WHERE id = ?", (image_id,)
        ):
            return True
        with self._engine.transaction():
            if self._is_busy(image_id) or self._is_in_use(url):
                return False
            claimed: int = (
                CondemnedRow.update(worker=worker, claimed_at_us=now_us())
                .where(
                    CondemnedRow.image_id == image_id,
                    CondemnedRow.url == url,
                    CondemnedRow.worker.is_null(),
                )
                .execute(self._engine.peewee)
            )
        return bool(claimed)

    def release(self, image_id: str, url: str, worker: str) -> None:
        """Give the claim of ``worker`` back, with the bytes still there."""
        with self._engine.transaction():
            CondemnedRow.update(worker=None, claimed_at_us=None).where(
                CondemnedRow.image_id == image_id,
                CondemnedRow.url == url,
                CondemnedRow.worker == worker,
            ).execute(self._engine.peewee)

    def forget(self, image_id: str, url: str) -> None:
        """Note that condemned bytes are gone from their store."""
        with self._engine.transaction():
            self._engine.delete(
                CondemnedRow, CondemnedRow.image_id == image_id, CondemnedRow.url == url
            )

    def _is_busy(self, image_id: str) -> bool:
        return bool(
            self._engine.rows("SELECT 1 FROM uploads WHERE image_id = ?", (image_id,))
            or self._engine.rows(
                "SELECT 1 FROM jobs j JOIN tasks t ON t.id = j.task_id"
                " WHERE t.image_id = ?",
                (image_id,),
            )
        )

    def _is_in_use(self, url: str) -> bool:
        return bool(
            self._engine.rows("SELECT 1 FROM image_locations WHERE url = ?", (url,))
        )
