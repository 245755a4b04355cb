"""Staged parts: bytes that wait for the import, and those on their way in.

A row is written before the first byte of a part is stored, and tells then which
process stores it and under which key; it becomes the record of the part when the
bytes are durable.  So a crash at any instant leaves no bytes without a row.

Source: contract api-images 8, 17 and 23, stores S-14.
"""

from collections.abc import Callable, Sequence

from imagereg.db.engine import PATIENCE_S, Engine, Row
from imagereg.db.locks import check_unlocked
from imagereg.db.models import ImageRow, StagedPartRow
from imagereg.db.outbox import EventType, note
from imagereg.db.places import condemn
from imagereg.db.staged_parts import NewPart, PartUnderWay, StagedPart, Unfinished
from imagereg.errors import Gone, PartConflict, TooLarge
from imagereg.model import Location, Status, now_us

#: Ranges of one image at most; each costs a row and an object.
MAX_PARTS = 10_000

#: The worker of a part whose bytes could not be removed: recovery tries again.
NOBODY = ""

#: For whom bytes are condemned that no image ever had.  Their key never comes back,
#: so they may go while the image receives other data, or is being imported.
NO_IMAGE = ""

_SELECT = (
    "SELECT id, image_id, start, size, total, digest, url, store "
    "FROM staged_parts WHERE worker IS NULL"
)

#: An import may discard what it read after it has made the image ``active``.
_FORGOTTEN = (
    "SELECT DISTINCT p.image_id FROM staged_parts p WHERE p.worker IS NULL"
    " AND NOT EXISTS (SELECT 1 FROM images i WHERE i.id = p.image_id"
    " AND i.status IN ('uploading', 'importing'))"
    " AND NOT EXISTS (SELECT 1 FROM jobs j JOIN tasks t ON t.id = j.task_id"
    " WHERE t.image_id = p.image_id)"
)

#: A client says so now and then that it still sends; with all bytes an image has a
#: size, and waits for its import as long as it likes.
_ABANDONED = (
    "SELECT i.id, SUM(CASE WHEN p.worker IS NULL THEN p.size ELSE 0 END),"
    " MAX(p.beat_at_us) FROM images i JOIN staged_parts p ON p.image_id = i.id"
    " WHERE i.status = 'uploading' AND i.size IS NULL AND NOT EXISTS"
    " (SELECT 1 FROM jobs j JOIN tasks t ON t.id = j.task_id WHERE t.image_id = i.id)"
    " GROUP BY i.id HAVING MAX(p.beat_at_us) < ? ORDER BY i.id"
)

#: Something to do inside a transaction; raising undoes it.
Step = Callable[[], None]


def nothing() -> None:
    """Do nothing."""


class StagedRepository:
    """The parts of all images."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(
        self, new: NewPart, enter: Step = nothing, check: Step = nothing
    ) -> int | StagedPart:
        """Enter a part in the journal and return its number.

        A part of the very same range that is there already is returned instead.
        ``enter`` comes first in the same transaction, and ``check`` before a part is
        entered.

        Raises:
            Gone: there is no such image.
            PartConflict: the range does not fit those that are there.
            TooLarge: the image has as many parts as it may.
        """
        with self._engine.transaction():
            enter()
            owner = self._engine.rows(
                "SELECT owner FROM images WHERE id = ?", (new.image_id,)
            )
            if not owner:
                raise Gone(f"image {new.image_id} was deleted")
            if not new.replaces:
                same = self._same(new.image_id, new.start, new.size)
                self._check_fits(new, new.size)
                if same is not None:
                    return same
            check()
            self._check_count(new.image_id)
            number: int = StagedPartRow.insert(
                image_id=new.image_id,
                start=new.start,
                size=new.size or 0,
                total=new.total,
                whole=new.whole,
                object_key=new.key,
                store=new.store,
                owner=owner[0][0],
                worker=new.worker,
                beat_at_us=now_us(),
            ).execute(self._engine.peewee)
        return number

    def beat(self, number: int) -> bool:
        """Note that data still flows; return False if nobody wants them any more."""
        with self._engine.transaction():
            alive: int = (
                StagedPartRow.update(beat_at_us=now_us())
                .where(StagedPartRow.id == number, StagedPartRow.void == False)  # noqa: E712 - an expression of SQL
                .execute(self._engine.peewee)
            )
        return bool(alive)

    def keep(
        self,
        number: int,
        new: NewPart,
        size: int,
        digest: str,
        location: Location,
        leave: Step = nothing,
    ) -> StagedPart | None:
        """Record that the bytes of a part are durable, and return it.

        Returns None, with nothing written, if nobody wants them any more; and the
        other one, if a part of the same range came in meanwhile.  ``leave`` comes
        last, in the same transaction.

        Raises:
            PartConflict: the range does not fit those that came in meanwhile.
        """
        with self._engine.transaction(PATIENCE_S):
            if not self._engine.rows(
                "SELECT 1 FROM staged_parts WHERE id = ? AND worker = ? AND void = ?",
                (number, new.worker, False),
            ):
                return None
            if new.replaces:
                _drop(self._engine, new.image_id, NO_IMAGE)
            same = self._same(new.image_id, new.start, size)
            self._check_fits(new, size)
            if same is not None:
                return same
            total = new.start + size if new.whole else new.total
            StagedPartRow.update(
                size=size,
                total=total,
                digest=digest,
                url=location.url,
                worker=None,
            ).where(StagedPartRow.id == number).execute(self._engine.peewee)
            leave()
        return StagedPart(
            number, new.image_id, new.start, size, total, digest, location
        )

    def abandon(self, number: int, image_id: str, left: Location | None = None) -> None:
        """Drop a part on its way; the bytes are gone, or ``left`` for the stores.

        An image of which nothing is staged then waits for its data again.
        """
        with self._engine.transaction(PATIENCE_S):
            self._engine.delete(StagedPartRow, StagedPartRow.id == number)
            if left is not None:
                condemn(self._engine, NO_IMAGE, (left,))
            if not self._engine.rows(
                "SELECT 1 FROM staged_parts WHERE image_id = ? AND void = ?",
                (image_id, False),
            ):
                back: int = (
                    ImageRow.update(
                        status=Status.QUEUED.value, size=None, updated_at_us=now_us()
                    )
                    .where(
                        ImageRow.id == image_id,
                        ImageRow.status == Status.UPLOADING.value,
                    )
                    .execute(self._engine.peewee)
                )
                if back:
                    note(self._engine, image_id, EventType.UPDATE)

    def under_way(self) -> Sequence[PartUnderWay]:
        """Return every part of the journal."""
        rows = self._engine.rows(
            "SELECT id, image_id, store, object_key, worker, beat_at_us "
            "FROM staged_parts WHERE worker IS NOT NULL"
        )
        return [
            PartUnderWay(
                int(str(number)),
                str(image_id),
                str(store),
                str(key),
                str(worker),
                int(str(beat)),
            )
            for number, image_id, store, key, worker, beat in rows
        ]

    def hand_over(self, number: int, before: str, after: str) -> bool:
        """Change the process that answers for a part; False if it was another one."""
        with self._engine.transaction():
            changed: int = (
                StagedPartRow.update(worker=after, beat_at_us=now_us())
                .where(StagedPartRow.id == number, StagedPartRow.worker == before)
                .execute(self._engine.peewee)
            )
        return bool(changed)

    def parts(self, image_id: str) -> Sequence[StagedPart]:
        """Return what is there of an image, in the order of the bytes."""
        return self._read("image_id = ?", (image_id,))

    def size(self, image_id: str) -> int | None:
        """Return the size of an image whose bytes are all there, else None."""
        rows = self._engine.rows(
            "SELECT SUM(size), MAX(total) FROM staged_parts "
            "WHERE image_id = ? AND worker IS NULL",
            (image_id,),
        )
        held, total = rows[0]
        # No two parts overlap and none goes beyond the total.
        return int(str(total)) if total is not None and held == total else None

    def settle(self, image_id: str) -> None:
        """Give an image whose bytes are all there its size, inside a transaction."""
        size = self.size(image_id)
        if size is not None:
            ImageRow.update(size=size, updated_at_us=now_us()).where(
                ImageRow.id == image_id, ImageRow.status == Status.UPLOADING.value
            ).execute(self._engine.peewee)
            note(self._engine, image_id, EventType.UPDATE)

    def enter(self, image_id: str, *, whole: bool) -> Status | None:
        """Move ``queued`` to ``uploading`` inside a transaction.

        Returns None if that is so now, else the status that forbids it.  A part may
        also join an image that comes in parts already.  What was staged before an
        image was ``queued`` again is nobody's.

        Raises:
            Conflict: a task works on the image, or will.
        """
        rows = self._engine.rows("SELECT status FROM images WHERE id = ?", (image_id,))
        status = Status(str(rows[0][0])) if rows else Status.DELETED
        if status == Status.UPLOADING and not whole:
            alone = self._engine.rows(
                "SELECT 1 FROM staged_parts WHERE image_id = ? AND whole = ?",
                (image_id, True),
            )
            return status if alone else None
        if status != Status.QUEUED:
            return status
        # A task that waits for its turn has been promised this image.
        check_unlocked(self._engine, image_id)
        release(self._engine, image_id, NO_IMAGE)
        ImageRow.update(status=Status.UPLOADING.value, updated_at_us=now_us()).where(
            ImageRow.id == image_id
        ).execute(self._engine.peewee)
        note(self._engine, image_id, EventType.UPDATE)
        return None

    def discard(self, image_id: str) -> tuple[Location, ...]:
        """Drop all parts of an image; their bytes are condemned, and returned."""
        with self._engine.transaction():
            return release(self._engine, image_id, NO_IMAGE)

    def discard_forgotten(self) -> None:
        """Condemn parts of images that neither wait for an import nor are in one."""
        with self._engine.transaction():
            for image_id in self.forgotten():
                release(self._engine, image_id, NO_IMAGE)

    def forgotten(self) -> Sequence[str]:
        """Return images whose parts wait for no import, and are in none."""
        return [str(image_id) for (image_id,) in self._engine.rows(_FORGOTTEN)]

    def abandoned(self, before_us: int) -> Sequence[Unfinished]:
        """Return unfinished images whose client was not heard of since a time."""
        return [
            Unfinished(str(image_id), int(str(size)), int(str(since)))
            for image_id, size, since in self._engine.rows(_ABANDONED, (before_us,))
        ]

    def give_up(self, image_id: str, before_us: int) -> tuple[Location, ...] | None:
        """Return an abandoned image to ``queued``; its bytes are condemned.

        Returns them, or None with nothing changed if its client came back.
        """
        with self._engine.transaction():
            if image_id not in {each.image_id for each in self.abandoned(before_us)}:
                return None
            ImageRow.update(
                status=Status.QUEUED.value, size=None, updated_at_us=now_us()
            ).where(ImageRow.id == image_id).execute(self._engine.peewee)
            return release(self._engine, image_id, NO_IMAGE)

    def _same(self, image_id: str, start: int, size: int | None) -> StagedPart | None:
        parts = self._read(
            "image_id = ? AND start = ? AND size = ?", (image_id, start, size)
        )
        return parts[0] if parts else None

    def _check_fits(self, new: NewPart, size: int | None) -> None:
        """Refuse a range that overlaps another, or contradicts the known total."""
        end = None if size is None else new.start + size
        known = self._engine.rows(
            "SELECT MAX(total), MAX(start + size) FROM staged_parts "
            "WHERE image_id = ? AND worker IS NULL",
            (new.image_id,),
        )
        told, reached = (None if n is None else int(str(n)) for n in known[0])
        total = new.total if told is None else told
        if new.total not in (None, total):
            message = f"the data have {told} bytes in all by what was said before"
            raise PartConflict(message)
        if total is not None and max(end or 0, reached or 0) > total:
            raise PartConflict(f"a part ends beyond the total of {total} bytes")
        clash = self._engine.rows(
            "SELECT start, size FROM staged_parts WHERE image_id = ? "
            "AND worker IS NULL AND start < ? AND start + size > ? "
            "AND NOT (start = ? AND size = ?) LIMIT 1",
            (
                new.image_id,
                *((1 << 63) - 1 if end is None else end, new.start),
                *(new.start, -1 if size is None else size),
            ),
        )
        if clash:
            first, length = (int(str(n)) for n in clash[0])
            message = f"bytes {first}-{first + length - 1} are there already"
            raise PartConflict(message)

    def _check_count(self, image_id: str) -> None:
        rows = self._engine.rows(
            "SELECT COUNT(*) FROM staged_parts WHERE image_id = ?", (image_id,)
        )
        if int(str(rows[0][0])) >= MAX_PARTS:
            raise TooLarge(f"an image may come in {MAX_PARTS} parts at most")

    def _read(self, where: str, parameters: Sequence[object]) -> list[StagedPart]:
        sql = f"{_SELECT} AND {where} ORDER BY start"
        return [_build(row) for row in self._engine.rows(sql, parameters)]


def release(engine: Engine, image_id: str, entered_for: str) -> tuple[Location, ...]:
    """Drop an image's parts inside somebody's transaction; return where they lie.

    The bytes are condemned, in the name of ``entered_for``.  Whoever is taking in a
    part finds it void, and removes its bytes.
    """
    places = _drop(engine, image_id, entered_for)
    StagedPartRow.update(void=True).where(StagedPartRow.image_id == image_id).execute(
        engine.peewee
    )
    return places


def _drop(engine: Engine, image_id: str, entered_for: str) -> tuple[Location, ...]:
    """Drop the parts of an image that are there, and condemn their bytes."""
    rows = engine.rows(
        "SELECT url, store FROM staged_parts WHERE image_id = ? AND worker IS NULL",
        (image_id,),
    )
    places = tuple(Location(url=str(url), store=str(store)) for url, store in rows)
    engine.delete(
        StagedPartRow,
        StagedPartRow.image_id == image_id,
        StagedPartRow.worker.is_null(),
    )
    condemn(engine, entered_for, places)
    return places


def _build(row: Row) -> StagedPart:
    number, image_id, start, size, total, digest, url, store = row
    return StagedPart(
        int(str(number)),
        str(image_id),
        int(str(start)),
        int(str(size)),
        None if total is None else int(str(total)),
        str(digest),
        Location(url=str(url), store=str(store)),
    )
