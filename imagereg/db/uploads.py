"""Uploads under way: the journal that makes a crash harmless.

A row is written in the transaction that moves an image to ``saving``, and goes in
the one that makes it ``active`` or ``queued`` again.  As long as it stands, bytes
may lie in the store that no location knows of; it outlives even the image, so a
DELETE during an upload leaks nothing.

Source: contract api-images 8 and 15, stores S-1; SECURITY on orphaned bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagereg.db.engine import PATIENCE_S, Engine
from imagereg.db.locks import check_unlocked
from imagereg.db.models import ImageRow, LocationRow, UploadRow
from imagereg.db.outbox import EventType, note
from imagereg.db.places import add_place, is_being_cleared
from imagereg.model import Blob, Image, Location, Status, now_us

#: A last look inside a transaction; raising undoes it.
Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload under way.

    Attributes:
        worker: the process that runs it, see `images/recovery.py`.
        store: where the bytes go.
        beat_at_us: when data last flowed.
    """

    image_id: str
    worker: str
    store: str
    beat_at_us: int


class UploadRepository:
    """The journal of uploads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(
        self, image: Image, worker: str, store: str, reserved: int, check: Check
    ) -> bool:
        """Move ``queued`` to ``saving`` and enter the upload, or return False.

        False also when the journal still knows an upload of this id, because then
        its bytes are not cleared away yet, and while others of it are being removed.
        ``check`` runs in the same transaction, which it ends by raising.

        Raises:
            Conflict: a task works on the image, or will.
        """
        with self._engine.transaction():
            check()
            database = self._engine.peewee
            if self._engine.rows(
                "SELECT 1 FROM uploads WHERE image_id = ?", (image.id,)
            ) or is_being_cleared(self._engine, image.id):
                return False
            moved: int = (
                ImageRow.update(status=Status.SAVING.value, updated_at_us=now_us())
                .where(ImageRow.id == image.id, ImageRow.status == Status.QUEUED.value)
                .execute(database)
            )
            if moved:
                # A task that waits for its turn has been promised this image.
                check_unlocked(self._engine, image.id)
                # A location that failed to verify may still stand there; whatever
                # comes in now takes its place.
                self._engine.delete(LocationRow, LocationRow.image_id == image.id)
                UploadRow.insert(
                    image_id=image.id,
                    worker=worker,
                    store=store,
                    owner=image.owner,
                    reserved=reserved,
                    beat_at_us=now_us(),
                ).execute(database)
                note(self._engine, image.id, EventType.PREPARE)
        return bool(moved)

    def beat(self, image_id: str) -> None:
        """Note that data still flows."""
        with self._engine.transaction():
            UploadRow.update(beat_at_us=now_us()).where(
                UploadRow.image_id == image_id
            ).execute(self._engine.peewee)

    def claim(self, upload: Upload, worker: str) -> bool:
        """Take over a dead upload in order to clear it; False if somebody else did."""
        with self._engine.transaction():
            claimed: int = (
                UploadRow.update(worker=worker, beat_at_us=now_us())
                .where(
                    UploadRow.image_id == upload.image_id,
                    UploadRow.worker == upload.worker,
                )
                .execute(self._engine.peewee)
            )
        return bool(claimed)

    def activate(
        self, image_id: str, blob: Blob, location: Location, check: Check
    ) -> bool:
        """Record durable bytes and make the image ``active``, all in one transaction.

        Returns False, with nothing written, if the image is no longer ``saving``.
        ``check`` runs in the same transaction, which it ends by raising.
        """
        with self._engine.transaction(PATIENCE_S):
            check()
            database = self._engine.peewee
            moved: int = (
                ImageRow.update(
                    status=Status.ACTIVE.value,
                    size=blob.size,
                    virtual_size=blob.virtual_size,
                    checksum=blob.checksum,
                    os_hash_algo=blob.os_hash_algo,
                    os_hash_value=blob.os_hash_value,
                    updated_at_us=now_us(),
                )
                .where(ImageRow.id == image_id, ImageRow.status == Status.SAVING.value)
                .execute(database)
            )
            if moved:
                add_place(self._engine, image_id, location)
                self._forget(image_id)
                note(self._engine, image_id, EventType.UPLOAD, EventType.ACTIVATE)
        return bool(moved)

    def abandon(self, image_id: str) -> bool:
        """Return the image to ``queued``; its bytes must be gone from the store.

        Returns False if the image itself is gone.
        """
        with self._engine.transaction(PATIENCE_S):
            moved: int = (
                ImageRow.update(
                    status=Status.QUEUED.value,
                    size=None,
                    virtual_size=None,
                    updated_at_us=now_us(),
                )
                .where(ImageRow.id == image_id, ImageRow.status == Status.SAVING.value)
                .execute(self._engine.peewee)
            )
            self._forget(image_id)
            if moved:
                note(self._engine, image_id, EventType.UPDATE)
        return bool(moved)

    def under_way(self) -> Sequence[Upload]:
        """Return every upload of the journal."""
        rows = self._engine.rows(
            "SELECT image_id, worker, store, beat_at_us FROM uploads"
        )
        return [
            Upload(str(image_id), str(worker), str(store), int(str(beat)))
            for image_id, worker, store, beat in rows
        ]

    def _forget(self, image_id: str) -> None:
        self._engine.delete(UploadRow, UploadRow.image_id == image_id)
