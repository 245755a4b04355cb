"""Events: told about a change if, and only if, the change is committed.

`note` writes an event in the transaction of the change that it tells of, once for
each sink; `imagereg/events/` delivers what stands there and takes it out.  Without
sinks `note` does nothing at all.

An event shows what the operator may see anyway: core fields and tags, never a
location, and of the custom properties those that the operator named.

Source: contract config 9; CloudEvents 1.0; the names of events are Glance's.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

import orjson

from imagereg.db.engine import Engine
from imagereg.db.models import EventRow
from imagereg.db.rows import build, select
from imagereg.model import (
    Caller,
    Image,
    Member,
    Status,
    Task,
    format_exact_time,
    format_time,
    now_us,
)


class EventType(StrEnum):
    """What happened, in Glance's words."""

    CREATE = "image.create"
    UPDATE = "image.update"
    PREPARE = "image.prepare"
    UPLOAD = "image.upload"
    ACTIVATE = "image.activate"
    SEND = "image.send"
    DELETE = "image.delete"
    MEMBER_CREATE = "image.member.create"
    MEMBER_UPDATE = "image.member.update"
    MEMBER_DELETE = "image.member.delete"


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose request, or task, a change is made for."""

    request_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True)
class PendingEvent:
    """An event that one sink has yet to be told of.

    Attributes:
        number: events of one image are told in the order of their numbers.
        document: the event as JSON.
        attempts: how often it was tried.
    """

    number: int
    image_id: str
    document: bytes
    attempts: int


_origin: ContextVar[Origin] = ContextVar("origin", default=Origin())  # noqa: B039 - it is frozen


def speak_for(caller: Caller) -> None:
    """Let events of this thread name the caller, until another one comes."""
    _origin.set(Origin(caller.request_id or None, caller.user_id, caller.project_id))


def origin_of(task: Task) -> Origin:
    """Return whose task it is."""
    return Origin(task.request_id, task.user_id, task.owner)


def note(
    engine: Engine,
    image_id: str,
    *types: EventType,
    origin: Origin | None = None,
    **more: object,
) -> None:
    """Tell of an image as it is now, inside the transaction that changed it.

    ``more`` is added to what is told.
    """
    if not engine.events.sinks:
        return
    whole = select(engine.dialect.words)
    rows = engine.rows(f"{whole} FROM images AS i WHERE i.id = ?", ("", image_id))
    if rows:
        data = {**_image(build(rows[0])[0], engine.events.properties), **more}
        _write(engine, image_id, types, data, origin)


def note_member(engine: Engine, member: Member, kind: EventType) -> None:
    """Tell of a member, inside the transaction that changed it."""
    if not engine.events.sinks:
        return
    data = {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": str(member.status),
        "created_at": format_time(member.created_at_us),
        "updated_at": format_time(member.updated_at_us),
    }
    _write(engine, member.image_id, (kind,), data, None)


def _write(
    engine: Engine,
    image_id: str,
    types: Sequence[EventType],
    data: Mapping[str, object],
    origin: Origin | None,
) -> None:
    now, whose = now_us(), origin or _origin.get()
    told = {
        "requestid": whose.request_id,
        "userid": whose.user_id,
        "projectid": whose.project_id,
    }
    rows: list[dict[str, object]] = []
    for kind in types:
        document = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": engine.events.source,
            "type": str(kind),
            "subject": image_id,
            "time": format_exact_time(now) + "Z",
            "datacontenttype": "application/json",
            **{name: value for name, value in told.items() if value},
            "data": data,
        }
        text = orjson.dumps(document).decode()
        rows += [
            {
                "sink": sink,
                "image_id": image_id,
                "document": text,
                "at_us": now,
                "due_at_us": now,
                "attempts": 0,
            }
            for sink in engine.events.sinks
        ]
    engine.insert("events", rows)


def _image(image: Image, properties: Sequence[str]) -> dict[str, object]:
    shown = (
        image.properties
        if "*" in properties
        else {n: v for n, v in image.properties.items() if n in properties}
    )
    return {
        "id": image.id,
        "name": image.name,
        "status": str(image.status),
        "visibility": str(image.visibility),
        "owner": image.owner,
        "protected": image.protected,
        "os_hidden": image.os_hidden,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "size": image.size,
        "virtual_size": image.virtual_size,
        "checksum": image.checksum,
        "os_hash_algo": image.os_hash_algo,
        "os_hash_value": image.os_hash_value,
        "created_at": format_time(image.created_at_us),
        "updated_at": format_time(image.updated_at_us),
        "deleted": image.status in (Status.DELETED, Status.PENDING_DELETE),
        "tags": list(image.tags),
        "properties": dict(shown),
    }


class EventRepository:
    """What stands in the outbox."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sent(self, image_id: str, size: int | None) -> None:
        """Note that an image's data, so many bytes of them, go to the caller."""
        with self._engine.transaction():
            note(self._engine, image_id, EventType.SEND, bytes_sent=size)

    def pending(self, sink: str, limit: int) -> Sequence[PendingEvent]:
        """Return what a sink is to be told now, in order.

        What waits for another attempt holds up later events of the same image.
        """
        rows = self._engine.rows(
            "SELECT id, image_id, document, attempts FROM events AS e WHERE sink = ?"
            " AND NOT EXISTS (SELECT 1 FROM events AS f WHERE f.sink = e.sink"
            " AND f.image_id = e.image_id AND f.id <= e.id AND f.due_at_us > ?)"
            " ORDER BY id LIMIT ?",
            (sink, now_us(), limit),
        )
        return [
            PendingEvent(
                int(str(number)),
                str(image_id),
                str(document).encode(),
                int(str(attempts)),
            )
            for number, image_id, document, attempts in rows
        ]

    def remove(self, *numbers: int) -> None:
        """Take out events that were told, or given up."""
        with self._engine.transaction():
            self._engine.delete(EventRow, EventRow.id.in_(list(numbers)))

    def postpone(self, event: PendingEvent, pause_us: int) -> None:
        """Note that an attempt failed, and let the next one wait."""
        changed = {"attempts": event.attempts + 1, "due_at_us": now_us() + pause_us}
        with self._engine.transaction():
            self._engine.update("events", changed, {"id": event.number})

    def drop(self, sink: str, age_us: int, most: int) -> tuple[int, int]:
        """Drop events that are too old, and the oldest of too many; count both."""
        waiting = self._engine.rows(
            "SELECT COUNT(*), MIN(at_us) FROM events WHERE sink = ?", (sink,)
        )
        count, oldest = (int(str(value or 0)) for value in waiting[0])
        latest = now_us() - age_us
        if count <= most and oldest >= latest:
            return 0, 0
        with self._engine.transaction():
            old = self._engine.delete(
                EventRow, EventRow.sink == sink, EventRow.at_us < latest
            )
            first = self._engine.rows(
                "SELECT id FROM events WHERE sink = ? ORDER BY id DESC LIMIT 1"
                " OFFSET ?",
                (sink, most),
            )
            surplus = 0
            if first:
                surplus = self._engine.delete(
                    EventRow, EventRow.sink == sink, EventRow.id <= first[0][0]
                )
        return old, surplus

    def backlog(self) -> Mapping[str, int]:
        """Return how many events wait, by sink."""
        rows = self._engine.rows("SELECT sink, COUNT(*) FROM events GROUP BY sink")
        return {str(sink): int(str(count)) for sink, count in rows}

    def close(self) -> None:
        """Close this thread's connection."""
        self._engine.close()
