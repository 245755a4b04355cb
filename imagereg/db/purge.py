"""`imagereg db purge`: rows that outlived their image.

A deletion takes everything of an image along but for its tombstone, records of its
tasks, and rows that nodes keep for their caches.  Those, and whatever else names an
image that was deleted long ago, go here.  Tombstones stay for ever, so that no id is
used again; so does whatever a store or a worker still has to do.

It walks along the tombstones, a few at a time, and writes in small transactions with
a pause after each, so that servers go on working.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from imagereg.db.agreement import BATCH
from imagereg.db.deletions import erase
from imagereg.db.engine import Engine, Row
from imagereg.db.rows import build, select

#: How many tombstones are looked at in one statement.
TOMBSTONES = 500

#: How long others may write after each transaction, in seconds.
PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class _Remains:
    """Rows of one table that name an image.

    Attributes:
        column: where they name it.
        key: what tells one from the others.
        where: which of them may go.
    """

    column: str
    key: tuple[str, ...]
    where: str = ""


#: Table -> what remains in it.
REMAINS: Mapping[str, _Remains] = {
    "image_properties": _Remains("image_id", ("image_id", "name")),
    "image_tags": _Remains("image_id", ("image_id", "tag")),
    # Before members, which take their rows here along.
    "image_shares": _Remains("id", ("id", "member_id")),
    "image_members": _Remains("image_id", ("image_id", "member_id")),
    "cached_images": _Remains("image_id", ("node", "image_id")),
    "tasks": _Remains(
        "image_id",
        ("id",),
        " AND status IN ('success', 'failure')"
        " AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.task_id = tasks.id)",
    ),
}


@dataclass
class Purge:
    """One run.

    Attributes:
        before_us: images that were deleted before this time.
        max_rows: how many rows to remove at most; None is no limit.
        removed: rows by table.
    """

    engine: Engine
    before_us: int
    max_rows: int | None = None
    sleep: Callable[[float], object] = time.sleep
    removed: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """How many more rows the next transaction may remove."""
        if self.max_rows is None:
            return BATCH
        return max(min(BATCH, self.max_rows - self.removed.total()), 0)

    def run(self) -> Mapping[str, int]:
        """Remove what may go, and return how many rows of which tables."""
        self._bury()
        for ids in self._tombstones():
            for table, remains in REMAINS.items():
                while self._remove(table, remains, ids):
                    self.sleep(PAUSE_S)
            if not self.left:
                break
        return self.removed

    def _bury(self) -> None:
        """Leave of images that are marked as deleted their tombstones alone."""
        whole = select(self.engine.dialect.words)
        sql = f"{whole} FROM images AS i WHERE i.status = 'deleted'"
        sql += " AND NOT EXISTS (SELECT 1 FROM image_tombstones t WHERE t.id = i.id)"
        while self.left:
            with self.engine.transaction():
                found = self.engine.rows(
                    f"{sql} AND i.updated_at_us < ? LIMIT 1", ("", self.before_us)
                )
                if not found:
                    return
                erase(self.engine, build(found[0])[0])
            self.removed["images"] += 1
            self.sleep(PAUSE_S)

    def _tombstones(self) -> Iterator[Sequence[str]]:
        last = ""
        while True:
            rows = self.engine.rows(
                "SELECT id FROM image_tombstones WHERE id > ? AND deleted_at_us < ?"
                " ORDER BY id LIMIT ?",
                (last, self.before_us, TOMBSTONES),
            )
            if not rows:
                return
            yield [str(image_id) for (image_id,) in rows]
            last = str(rows[-1][0])

    def _remove(self, table: str, remains: _Remains, ids: Sequence[str]) -> int:
        """Remove one batch of rows; return how many there were."""
        keys = self._keys(table, remains, ids) if self.left else []
        if not keys:
            return 0
        where = " AND ".join(f"{column} = ?" for column in remains.key)
        sql = f"DELETE FROM {table} WHERE {where}{remains.where}"  # noqa: S608 - names are written above
        with self.engine.transaction():
            for key in keys:
                self.engine.execute(sql, key)
        self.removed[table] += len(keys)
        return len(keys)

    def _keys(self, table: str, remains: _Remains, ids: Sequence[str]) -> list[Row]:
        marks = ", ".join("?" * len(ids))
        return self.engine.rows(
            f"SELECT {', '.join(remains.key)} FROM {table}"  # noqa: S608 - as above
            f" WHERE {remains.column} IN ({marks}){remains.where}"
            # An image that is there is none of this one's business.
            f" AND NOT EXISTS (SELECT 1 FROM images i WHERE"
            f" i.id = {table}.{remains.column}) LIMIT ?",
            (*ids, self.left),
        )
