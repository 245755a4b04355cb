"""The durable queue: which process works on which task, and what it has achieved.

A process claims a job by compare-and-set and renews its claim while it works.  Every
write of a job happens in a transaction that finds the claim still its own, so a
process that was given up, and comes back, changes nothing any more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import orjson

from imagereg.db.engine import Engine
from imagereg.db.locks import LOCK
from imagereg.db.models import HEAD, ImageRow, LocationRow, PropertyRow
from imagereg.db.outbox import EventType, note, origin_of
from imagereg.db.places import add_place, condemn
from imagereg.db.task_models import JobRow, TaskRow
from imagereg.db.tasks import SELECT, build
from imagereg.errors import ImageNotFound, ImageRegError, LeaseLost, StatusConflict
from imagereg.model import Location, Status, Task, TaskStatus, now_us


@dataclass(frozen=True, slots=True)
class Job:
    """One unfinished task, as its worker holds it.

    Attributes:
        worker: whose claim this is; None while it waits.
        beat_at_us: when the claim was last renewed.
        attempts: how often it was claimed.
        payload: what the work needs beside the task's input.
    """

    task: Task
    worker: str | None
    beat_at_us: int
    attempts: int
    payload: Mapping[str, object] = field(default_factory=dict)


#: Data fields of an image that has no data.
NO_DATA: Mapping[str, object] = MappingProxyType(
    {
        "size": None,
        "virtual_size": None,
        "checksum": None,
        "os_hash_algo": None,
        "os_hash_value": None,
    }
)


#: What a step to a status is told as; any other is an update.
_TOLD: Mapping[Status | None, EventType] = MappingProxyType(
    {Status.IMPORTING: EventType.PREPARE, Status.ACTIVE: EventType.ACTIVATE}
)


@dataclass(frozen=True, slots=True)
class ImageStep:
    """One change that a job makes to its image.

    Attributes:
        before: the statuses in which it may be made.
        after: the status that follows; None leaves it.
        facts: core fields to set.
        properties: properties to set; None takes one away.
        added: a location to add.
        clears: take the locations away first; their bytes stay.
        dropped: locations to take away together with their bytes, which stores give
            up once nothing refers to them.
        check: refuses the step inside its transaction, by raising.
    """

    before: tuple[Status, ...]
    after: Status | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, str | None] = field(default_factory=dict)
    added: Location | None = None
    clears: bool = False
    dropped: tuple[Location, ...] = ()
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended.

    Attributes:
        message: for the owner; says why it failed.
        step: the last change to the image, made together with the end.
    """

    status: TaskStatus
    message: str = ""
    result: Mapping[str, object] | None = None
    step: ImageStep | None = None


class JobRepository:
    """The queue, and the writes of those who work it off.

    Args:
        time_to_live_s: how long the record of a finished task is kept.
    """

    def __init__(self, engine: Engine, time_to_live_s: int = 48 * 3600) -> None:
        self._engine = engine
        self._time_to_live_us = time_to_live_s * 1_000_000

    def unfinished(self) -> Sequence[Job]:
        """Return every job of the queue, oldest first."""
        rows = self._engine.rows(
            f"{SELECT}, j.worker, j.beat_at_us, j.attempts, j.payload "
            "FROM jobs AS j JOIN tasks AS t ON t.id = j.task_id "
            "ORDER BY t.created_at_us, t.id"
        )
        return [_build(*row) for row in rows]

    def claim(self, job: Job, worker: str) -> Job | None:
        """Take a job as it was seen; None if somebody else did, or renewed it."""
        now = now_us()
        same_worker = (
            JobRow.worker.is_null()
            if job.worker is None
            else JobRow.worker == job.worker
        )
        with self._engine.transaction():
            claimed = (
                JobRow.update(worker=worker, beat_at_us=now, attempts=job.attempts + 1)
                .where(
                    JobRow.task_id == job.task.id,
                    same_worker,
                    JobRow.beat_at_us == job.beat_at_us,
                )
                .execute(self._engine.peewee)
            )
            if not claimed:
                return None
            self._set_task(job.task.id, status=TaskStatus.PROCESSING.value)
        return Job(job.task, worker, now, job.attempts + 1, job.payload)

    def beat(self, worker: str, task_ids: Sequence[str]) -> None:
        """Renew the claims of a process to the jobs that it works on."""
        with self._engine.transaction():
            JobRow.update(beat_at_us=now_us()).where(
                JobRow.worker == worker, JobRow.task_id.in_(list(task_ids))
            ).execute(self._engine.peewee)

    def tell(self, job: Job, message: str) -> None:
        """Tell the owner how far the work is.  Raises `LeaseLost`."""
        with self._held(job):
            self._set_task(job.task.id, message=message)

    def advance(
        self, job: Job, step: ImageStep, notes: Mapping[str, object] | None = None
    ) -> Job:
        """Change the job's image, and note how far the work is, both or neither.

        Returns the job with ``notes`` in its payload, which a later attempt finds too.

        Raises:
            LeaseLost: the job is somebody else's by now.
            ImageNotFound, StatusConflict: the image is not as the step needs it.
        """
        with self._held(job):
            self._apply(job, step)
            return self._noted(job, notes or {})

    def note(self, job: Job, notes: Mapping[str, object]) -> Job:
        """Note how far the work is, as `advance` does.  Raises `LeaseLost`."""
        with self._held(job):
            return self._noted(job, notes)

    def renewed(self, job: Job) -> Job:
        """Return the job with all that was noted since it was claimed."""
        rows = self._engine.rows(
            "SELECT payload FROM jobs WHERE task_id = ?", (job.task.id,)
        )
        return replace(job, payload=orjson.loads(str(rows[0][0]))) if rows else job

    def finish(self, job: Job, outcome: Outcome) -> None:
        """End the task, make its last change, and unlock the image, all at once.

        Raises:
            LeaseLost, ImageNotFound, StatusConflict: as `advance`; nothing ended.
        """
        expires = now_us() + self._time_to_live_us
        with self._held(job):
            if outcome.step is not None:
                self._apply(job, outcome.step)
            self._set_task(
                job.task.id,
                status=outcome.status.value,
                message=outcome.message,
                result=orjson.dumps(outcome.result).decode(),
                expires_at_us=expires,
            )
            self._engine.delete(JobRow, JobRow.task_id == job.task.id)
            self._engine.delete(
                PropertyRow,
                PropertyRow.image_id == (job.task.image_id or ""),
                PropertyRow.name == LOCK,
                PropertyRow.value == job.task.id,
            )

    @contextmanager
    def _held(self, job: Job) -> Iterator[None]:
        """Run a transaction in which the claim is known to be the worker's."""
        with self._engine.transaction():
            if not self._engine.rows(
                "SELECT 1 FROM jobs WHERE task_id = ? AND worker = ?",
                (job.task.id, job.worker),
            ):
                raise LeaseLost(f"task {job.task.id} was taken over")
            yield

    def _noted(self, job: Job, notes: Mapping[str, object]) -> Job:
        if not notes:
            return job
        payload = {**job.payload, **notes}
        JobRow.update(payload=orjson.dumps(payload).decode()).where(
            JobRow.task_id == job.task.id
        ).execute(self._engine.peewee)
        return replace(job, payload=payload)

    def _apply(self, job: Job, step: ImageStep) -> None:
        image_id = job.task.image_id or ""
        step.check()
        values = dict(step.facts)
        if step.after is not None:
            values["status"] = step.after.value
        moved = (
            ImageRow.update(updated_at_us=now_us(), **values)
            .where(
                ImageRow.id == image_id,
                ImageRow.status.in_([status.value for status in step.before]),
            )
            .execute(self._engine.peewee)
        )
        if not moved:
            raise self._missed(image_id)
        if step.clears:
            self._engine.delete(LocationRow, LocationRow.image_id == image_id)
        if step.dropped:
            urls = [place.url for place in step.dropped]
            self._engine.delete(
                LocationRow, LocationRow.image_id == image_id, LocationRow.url.in_(urls)
            )
            condemn(self._engine, image_id, step.dropped)
        if step.added is not None:
            add_place(self._engine, image_id, step.added)
        for name, value in step.properties.items():
            self._set_property(image_id, name, value)
        kinds = [EventType.UPLOAD] if step.added is not None else []
        kinds.append(_TOLD.get(step.after, EventType.UPDATE))
        note(self._engine, image_id, *kinds, origin=origin_of(job.task))

    def _set_property(self, image_id: str, name: str, value: str | None) -> None:
        self._engine.delete(
            PropertyRow, PropertyRow.image_id == image_id, PropertyRow.name == name
        )
        if value is not None:
            PropertyRow.insert(
                image_id=image_id, name=name, value=value, head=value[:HEAD]
            ).execute(self._engine.peewee)

    def _missed(self, image_id: str) -> ImageRegError:
        rows = self._engine.rows("SELECT status FROM images WHERE id = ?", (image_id,))
        if not rows:
            return ImageNotFound(image_id)
        return StatusConflict(f"image {image_id} is {rows[0][0]} by now")

    def _set_task(self, task_id: str, **values: object) -> None:
        TaskRow.update(updated_at_us=now_us(), **values).where(
            TaskRow.id == task_id
        ).execute(self._engine.peewee)


def _build(*row: object) -> Job:
    *task, worker, beat, attempts, payload = row
    return Job(
        build(tuple(task)),
        None if worker is None else str(worker),
        int(str(beat)),
        int(str(attempts)),
        orjson.loads(str(payload)),
    )
