"""Deletions: what is removed at once, what waits for the scrubber, what comes back.

Source: contract stores 6, S-9 and S-10; api-images 8 and 13.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imagereg.db.engine import Engine
from imagereg.db.models import (
    CondemnedRow,
    ImageRow,
    LocationRow,
    MemberRow,
    PendingDeleteRow,
    PropertyRow,
    TagRow,
    TombstoneRow,
)
from imagereg.db.outbox import EventType, note
from imagereg.db.places import condemn
from imagereg.db.rows import build, select
from imagereg.db.staged import release
from imagereg.errors import ImageNotFound, StatusConflict
from imagereg.model import Image, Location, Status, now_us

#: Images that are kept for a while; of any other there is nothing good to restore.
RESTORABLE = frozenset({Status.ACTIVE, Status.DEACTIVATED})


@dataclass(frozen=True, slots=True)
class Condemned:
    """Bytes that a store has yet to give up.

    Attributes:
        image_id: whose they were; empty if they never were an image's.
        since_us: when they lost their location.
        kept: they wait for the scrubber.
        worker: the process that removes them just now, if they are claimed.
        claimed_at_us: since when.
    """

    image_id: str
    location: Location
    since_us: int
    kept: bool = False
    worker: str | None = None
    claimed_at_us: int = 0


def erase(engine: Engine, image: Image) -> tuple[Location, ...]:
    """Delete a record for good, inside a transaction; return its condemned bytes."""
    for table in (PropertyRow, TagRow, MemberRow, LocationRow):
        engine.delete(table, table.image_id == image.id)
    staged = release(engine, image.id, image.id)
    condemn(engine, image.id, image.locations)
    engine.delete(ImageRow, ImageRow.id == image.id)
    TombstoneRow.insert(id=image.id, owner=image.owner, deleted_at_us=now_us()).execute(
        engine.peewee
    )
    return (*staged, *image.locations)


def postpone(engine: Engine, image: Image) -> tuple[Location, ...]:
    """Delete a record for everybody but the scrubber, inside a transaction.

    Properties, tags, members and locations stay.  Staged bytes do not: they are
    condemned, and returned.
    """
    now = now_us()
    ImageRow.update(status=Status.PENDING_DELETE.value, updated_at_us=now).where(
        ImageRow.id == image.id
    ).execute(engine.peewee)
    PendingDeleteRow.insert(
        image_id=image.id, status=image.status.value, deleted_at_us=now
    ).execute(engine.peewee)
    return release(engine, image.id, image.id)


class DeletionRepository:
    """What is to be removed, when, and who is at it.

    Args:
        keep_s: how long deleted data is kept at least (``scrub_time``).
    """

    def __init__(self, engine: Engine, keep_s: int = 0) -> None:
        self._engine = engine
        self._keep_us = keep_s * 1_000_000

    def condemned(self) -> Sequence[Condemned]:
        """Return all bytes that stores have yet to give up, oldest first."""
        rows = self._engine.rows(
            "SELECT image_id, url, store, since_us, kept, worker, claimed_at_us"
            " FROM condemned_locations ORDER BY since_us, url"
        )
        return [
            Condemned(
                str(image_id),
                Location(url=str(url), store=None if store is None else str(store)),
                int(str(since)),
                bool(kept),
                None if worker is None else str(worker),
                int(str(claimed or 0)),
            )
            for image_id, url, store, since, kept, worker, claimed in rows
        ]

    def claim(self, image_id: str, url: str, worker: str) -> bool:
        """Return whether the bytes may be removed now.

        The id of a deleted image never comes back, so nobody can write to the same
        place.  Any other entry is claimed, and until `release` or `forget` no upload
        and no task begins on an image of that id.

        False if one is under way, if somebody else removes the bytes, if they wait
        for the scrubber, or if they are in use again.
        """
        kept, tombstones = (
            "SELECT 1 FROM condemned_locations WHERE image_id = ? AND url = ? AND kept",
            "SELECT 1 FROM image_tombstones WHERE id = ?",
        )
        if self._engine.rows(kept, (image_id, url)):
            return False
        if self._engine.rows(tombstones, (image_id,)):
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

    def due(self, limit: int) -> Sequence[str]:
        """Return images whose time is over, the longest deleted first."""
        rows = self._engine.rows(
            "SELECT image_id FROM pending_deletes WHERE deleted_at_us <= ?"
            " ORDER BY deleted_at_us, image_id LIMIT ?",
            (now_us() - self._keep_us, limit),
        )
        return [str(image_id) for (image_id,) in rows]

    def free_due(self) -> int:
        """Give up bytes of single locations whose time is over; say how many.

        From here on they are like any others that are condemned.
        """
        with self._engine.transaction():
            freed: int = (
                CondemnedRow.update(kept=False)
                .where(
                    CondemnedRow.kept == True,  # noqa: E712 - an expression of SQL
                    CondemnedRow.since_us <= now_us() - self._keep_us,
                )
                .execute(self._engine.peewee)
            )
        return freed

    def purge(self, image_id: str) -> tuple[Location, ...]:
        """Delete for good an image whose time is over; return its condemned bytes.

        Nothing is left to do if somebody restored it, or deleted it first.
        """
        with self._engine.transaction():
            if not self._engine.delete(
                PendingDeleteRow,
                PendingDeleteRow.image_id == image_id,
                PendingDeleteRow.deleted_at_us <= now_us() - self._keep_us,
            ):
                return ()
            whole = select(self._engine.dialect.words)
            sql = f"{whole} FROM images AS i WHERE i.id = ?"
            image, _ = build(self._engine.rows(sql, ("", image_id))[0])
            return erase(self._engine, image)

    def restore(self, image_id: str) -> Status:
        """Bring back an image as it was when it was deleted; return its status.

        Raises:
            ImageNotFound: there never was one.
            StatusConflict: it is not ``pending_delete``.
        """
        with self._engine.transaction():
            found = self._engine.rows(
                "SELECT status FROM pending_deletes WHERE image_id = ?", (image_id,)
            )
            if not found:
                raise self._unrestorable(image_id)
            status = Status(str(found[0][0]))
            ImageRow.update(status=status.value, updated_at_us=now_us()).where(
                ImageRow.id == image_id
            ).execute(self._engine.peewee)
            self._engine.delete(PendingDeleteRow, PendingDeleteRow.image_id == image_id)
            note(self._engine, image_id, EventType.UPDATE)
        return status

    def close(self) -> None:
        """Close this thread's connection."""
        self._engine.close()

    def _unrestorable(self, image_id: str) -> ImageNotFound | StatusConflict:
        rows = self._engine.rows("SELECT status FROM images WHERE id = ?", (image_id,))
        rows = rows or self._engine.rows(
            "SELECT 'deleted' FROM image_tombstones WHERE id = ?", (image_id,)
        )
        if not rows:
            return ImageNotFound(image_id)
        message = f"image {image_id} is {rows[0][0]}, not pending_delete"
        return StatusConflict(message)

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
