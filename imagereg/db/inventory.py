"""What the rows say about bytes, for whoever compares them with the stores.

Nothing here is one big snapshot: stores and database change while they are compared.
What keeps an upload under way from looking like an orphan is the order.  A blob is
listed first; then the journal and the queue are read, then the locations.  An upload
that ended in between has moved from the journal to the locations, in one transaction,
and is met there; one that began since wrote nothing of what was listed.

Source: contract stores S-15; SECURITY on orphaned bytes.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from imagereg.db.engine import Engine
from imagereg.db.jobs import NO_DATA
from imagereg.db.models import ImageRow, LocationRow
from imagereg.db.outbox import EventType, note
from imagereg.db.places import condemn
from imagereg.db.task_models import TaskRow
from imagereg.model import Location, Status, TaskStatus, now_us

#: How many rows are asked for at a time.
BATCH = 300

#: How long the id of an image is.
ID_LENGTH = 36

#: How long the record of a task is kept that was lost, in microseconds.
KEPT_US = 48 * 3600 * 1_000_000

#: Whether two URLs are spellings of one place.
IsSame = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Claims:
    """What the rows say about one key.

    Attributes:
        known: it is the id of an image, or was once.
        busy: somebody uploads to that image or stages data, or a task works on it.
        urls: where its bytes lie, staged ones too.
        condemned: where bytes lie that are about to be removed.
    """

    known: bool = False
    busy: bool = False
    urls: frozenset[str] = frozenset()
    condemned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Recorded:
    """One location, with what is known of the bytes there.

    Attributes:
        others: how many further locations the image has.
        verified_at_us: when they were last found good; None is never.
        fault: what was wrong the last time somebody looked.
    """

    image_id: str
    location: Location
    status: Status
    size: int | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    others: int = 0
    checked_at_us: int | None = None
    verified_at_us: int | None = None
    fault: str | None = None

    @property
    def facts(self) -> tuple[object, ...]:
        """What must not have changed for a finding about it to hold."""
        place = (self.image_id, self.location.url)
        return (*place, self.size, self.checksum, self.os_hash_value)


@dataclass(frozen=True, slots=True)
class Health:
    """How far the objects of one store were verified.

    Attributes:
        verified: how many were ever found good.
        oldest_us: when the one was that was found good longest ago.
        faults: how many were not good the last time somebody looked.
    """

    store: str | None
    objects: int
    verified: int
    oldest_us: int | None
    faults: int


_RECORDED = (
    "SELECT i.id, l.id, l.url, l.store, i.status, i.size, i.checksum,"
    " i.os_hash_algo, i.os_hash_value,"
    " (SELECT COUNT(*) FROM image_locations o WHERE o.image_id = i.id) - 1,"
    " l.checked_at_us, l.verified_at_us, l.fault"
    " FROM image_locations l JOIN images i ON i.id = l.image_id"
    " WHERE i.status IN ('active', 'deactivated', 'pending_delete')"
)

_IDLE = (
    "NOT EXISTS (SELECT 1 FROM uploads u WHERE u.image_id = i.id)"
    " AND NOT EXISTS (SELECT 1 FROM jobs j JOIN tasks t ON t.id = j.task_id"
    " WHERE t.image_id = i.id)"
)

#: What somebody's work must bring to an end: ``uploading`` lasts as long as data wait.
_STUCK = (
    f"SELECT i.id, i.status FROM images i WHERE {_IDLE} AND"  # noqa: S608 - written here
    " (i.status IN ('saving', 'importing') OR i.status = 'uploading' AND NOT EXISTS"
    " (SELECT 1 FROM staged_parts s WHERE s.image_id = i.id AND NOT s.void))"
    " ORDER BY i.id"
)

#: How staged parts are named (see `images/staged.py`).
_STAGED = re.compile(r"(?P<id>[0-9a-f-]{36})\.[0-9]+\.[0-9a-f]{16}")


class Inventory:
    """Questions about bytes, and the few changes that follow from the answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claims(self, keys: Sequence[str]) -> dict[str, Claims]:
        """Return what the rows say about each key; at most `BATCH` of them."""
        owners = {key: _owner_of(key) for key in keys}
        ids = tuple(set(owners.values()))
        busy = self._among("SELECT image_id FROM uploads WHERE image_id IN {}", ids)
        busy |= self._among(
            "SELECT t.image_id FROM jobs j JOIN tasks t ON t.id = j.task_id"
            " WHERE t.image_id IN {}",
            ids,
        )
        coming = self._among(
            "SELECT object_key FROM staged_parts"
            " WHERE worker IS NOT NULL AND object_key IN {}",
            keys,
        )
        staged = self._urls("SELECT object_key, url FROM staged_parts", keys)
        known = self._among("SELECT id FROM images WHERE id IN {}", ids)
        known |= self._among("SELECT id FROM image_tombstones WHERE id IN {}", ids)
        urls = self._urls("SELECT image_id, url FROM image_locations", ids)
        doomed = self._urls("SELECT image_id, url FROM condemned_locations", ("", *ids))
        return {
            key: Claims(
                known=owner in known,
                busy=owner in busy or key in coming,
                urls=frozenset(urls.get(owner, []) + staged.get(key, [])),
                condemned=frozenset(doomed.get(owner, []) + doomed.get("", [])),
            )
            for key, owner in owners.items()
        }

    def is_referred_to(self, key: str, is_same: IsSame) -> bool:
        """Return whether any location, of whatever image, is this blob's.

        ``is_same`` compares URLs, of which those that end in the key are tried.
        """
        pattern = key.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        rows = self._engine.rows(
            "SELECT url FROM image_locations WHERE url LIKE ? ESCAPE '!'",
            (f"%/{pattern}",),
        )
        return any(is_same(str(url)) for (url,) in rows)

    def condemn(self, key: str, url: str, store: str, is_same: IsSame) -> bool:
        """Condemn a blob that nothing refers to, or return False if something does.

        From here on no location can be made of it, and whoever works off the list
        of condemned bytes will remove it.
        """
        with self._engine.transaction():
            claims = self.claims([key])[key]
            if claims.busy or self.is_referred_to(key, is_same):
                return False
            if url not in claims.condemned:
                place = Location(url, store=store)
                condemn(self._engine, image_id_of(key), [place])
        return True

    def recorded(self) -> Iterator[Recorded]:
        """Yield every location whose bytes must be there, page by page."""
        last = 0
        while True:
            page = self._records(f"{_RECORDED} AND l.id > ? ORDER BY l.id", last)
            yield from page
            if len(page) < BATCH:
                return
            last = page[-1].location.id or 0

    def find_recorded(self, location_id: int) -> Recorded | None:
        """Return one location as it is now, or None if it went away."""
        found = self._records(f"{_RECORDED} AND l.id = ?", location_id)
        return found[0] if found else None

    def find_due(self, before_us: int) -> Recorded | None:
        """Return the location that was not looked at for longest, if since then."""
        found = self._records(
            f"{_RECORDED} AND COALESCE(l.checked_at_us, 0) < ?"
            " ORDER BY COALESCE(l.checked_at_us, 0), l.id",
            before_us,
            limit=1,
        )
        return found[0] if found else None

    def health(self) -> Sequence[Health]:
        """Return for each store when its objects were last found good."""
        rows = self._engine.rows(
            "SELECT l.store, COUNT(*), COUNT(l.verified_at_us),"
            " MIN(l.verified_at_us), COUNT(l.fault)"
            " FROM image_locations l JOIN images i ON i.id = l.image_id"
            " WHERE i.status IN ('active', 'deactivated', 'pending_delete')"
            " GROUP BY l.store ORDER BY l.store"
        )
        return [
            Health(
                _text(store),
                int(str(count)),
                int(str(verified)),
                _number(oldest),
                int(str(faults)),
            )
            for store, count, verified, oldest, faults in rows
        ]

    def of_image(self, image_id: str) -> Sequence[Recorded]:
        """Return the locations of one image."""
        return self._records(f"{_RECORDED} AND i.id = ? ORDER BY l.id", image_id)

    def has_changed(self, seen: Recorded) -> bool:
        """Return whether a location went away, or its image has other data by now."""
        now = self.find_recorded(seen.location.id or 0)
        return now is None or now.facts != seen.facts

    def drop(self, faulty: Recorded, good: Recorded) -> bool:
        """Take a faulty location away, as long as the image keeps the good one.

        Its bytes are condemned.  Returns False if either changed.
        """
        with self._engine.transaction():
            if self.has_changed(faulty) or self.has_changed(good):
                return False
            self._engine.delete(LocationRow, LocationRow.id == faulty.location.id)
            condemn(self._engine, faulty.image_id, [faulty.location])
        return True

    def note(self, location_id: int, fault: str | None) -> None:
        """Record that a location was looked at just now, and what was wrong."""
        now = now_us()
        values: dict[str, object] = {"checked_at_us": now, "fault": fault}
        if fault is None:
            values["verified_at_us"] = now
        with self._engine.transaction():
            LocationRow.update(**values).where(LocationRow.id == location_id).execute(
                self._engine.peewee
            )

    def stuck(self) -> Sequence[tuple[str, Status]]:
        """Return images in a passing status that nobody will bring to an end."""
        rows = self._engine.rows(_STUCK)
        return [(str(image_id), Status(str(status))) for image_id, status in rows]

    def unstick(self, image_id: str) -> bool:
        """Return a stuck image to ``queued``; False if it is none any more."""
        with self._engine.transaction():
            if image_id not in {found for found, _ in self.stuck()}:
                return False
            self._engine.delete(LocationRow, LocationRow.image_id == image_id)
            ImageRow.update(
                status=Status.QUEUED.value, updated_at_us=now_us(), **NO_DATA
            ).where(ImageRow.id == image_id).execute(self._engine.peewee)
            note(self._engine, image_id, EventType.UPDATE)
        return True

    def lost_tasks(self) -> Sequence[str]:
        """Return tasks that have not ended and that no queue knows."""
        rows = self._engine.rows(
            "SELECT id FROM tasks WHERE status IN ('pending', 'processing')"
            " AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.task_id = tasks.id)"
            " ORDER BY id"
        )
        return [str(task_id) for (task_id,) in rows]

    def end_task(self, task_id: str) -> bool:
        """Let a lost task fail; False if it is none any more."""
        with self._engine.transaction():
            if task_id not in self.lost_tasks():
                return False
            now = now_us()
            TaskRow.update(
                status=TaskStatus.FAILURE.value,
                message="given up: the service lost sight of it",
                updated_at_us=now,
                expires_at_us=now + KEPT_US,
            ).where(TaskRow.id == task_id).execute(self._engine.peewee)
        return True

    def _among(self, sql: str, keys: Sequence[str]) -> set[str]:
        marks = f"({', '.join('?' * len(keys))})"
        return {str(key) for (key,) in self._engine.rows(sql.format(marks), keys)}

    def _urls(self, select: str, keys: Sequence[str]) -> dict[str, list[str]]:
        """Return URLs by the first column of ``select``, for these values of it."""
        column = select.split(" ")[1].removesuffix(",")
        marks = ", ".join("?" * len(keys))
        found: dict[str, list[str]] = {}
        for key, url in self._engine.rows(
            f"{select} WHERE {column} IN ({marks}) AND url IS NOT NULL", keys
        ):
            found.setdefault(str(key), []).append(str(url))
        return found

    def _records(
        self, sql: str, parameter: int | str, limit: int = BATCH
    ) -> list[Recorded]:
        rows = self._engine.rows(f"{sql} LIMIT {limit}", (parameter,))
        return [_recorded(*row) for row in rows]


def _owner_of(key: str) -> str:
    """Return the id of the image whose data, or staged data, have this name."""
    staged = _STAGED.fullmatch(key)
    return staged["id"] if staged else key


def image_id_of(key: str) -> str:
    """Return the id of the image a blob is named for, empty if it cannot be one."""
    return key if len(key) <= ID_LENGTH else ""


def _recorded(*row: object) -> Recorded:
    image_id, number, url, store, status, size, *digests, others, checked, good, bad = (
        row
    )
    checksum, algorithm, value = (_text(each) for each in digests)
    return Recorded(
        image_id=str(image_id),
        location=Location(str(url), store=_text(store), id=int(str(number))),
        status=Status(str(status)),
        size=_number(size),
        checksum=checksum,
        os_hash_algo=algorithm,
        os_hash_value=value,
        others=int(str(others)),
        checked_at_us=_number(checked),
        verified_at_us=_number(good),
        fault=_text(bad),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _number(value: object) -> int | None:
    return None if value is None else int(str(value))
