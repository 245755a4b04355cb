"""Tasks in the database: started, found, listed.

Source: contract api-images 11.2, 18.4 and 24.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from peewee import ModelInsert

from imagereg.approved import ApprovedTask
from imagereg.db.engine import Engine, Row
from imagereg.db.locks import LOCK, break_lock, check_unlocked
from imagereg.db.models import PropertyRow
from imagereg.db.places import is_being_cleared
from imagereg.db.task_models import JobRow, TaskRow
from imagereg.errors import Conflict, ImageNotFound, StatusConflict
from imagereg.model import Status, Task, TaskStatus, TaskType, now_us

COLUMNS = (
    "id",
    "type",
    "status",
    "owner",
    "image_id",
    "request_id",
    "user_id",
    "input",
    "result",
    "message",
    "created_at_us",
    "updated_at_us",
    "expires_at_us",
)
SELECT = "SELECT " + ", ".join(f"t.{column}" for column in COLUMNS)


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks of a list, and in which order.

    Attributes:
        owner: only tasks of this project; None is all.
        filters: column -> exact value.
        after: the last task of the page before.
        sort_key: a column.
    """

    limit: int
    owner: str | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    after: Task | None = None
    sort_key: str = "created_at_us"
    descending: bool = True


class TaskRepository:
    """Rows in, frozen values out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(
        self,
        approved: ApprovedTask,
        status: Status,
        payload: Mapping[str, object] | None = None,
        worker: str | None = None,
    ) -> None:
        """Lock the image for a task and queue the work, all in one transaction.

        Work that one process alone can begin is claimed for that ``worker`` at once:
        others take it up only when that process is no more.

        A lock that no unfinished task holds is broken: unfinished work is always
        taken up by somebody, so such a lock is a leftover.  So is the lock of a task
        that nothing was heard of for long: it fails here, and whoever works on it
        can change nothing any more.

        Raises:
            ImageNotFound: the image went away.
            StatusConflict: it is not in ``status`` any more.
            Conflict: another task works on it.
        """
        task = approved.task
        image_id = task.image_id or ""
        with self._engine.transaction():
            self._check_image(image_id, status)
            break_lock(self._engine, image_id)
            self._engine.delete(
                PropertyRow, PropertyRow.image_id == image_id, PropertyRow.name == LOCK
            )
            lock = {"value": task.id, "head": task.id}
            self._insert(PropertyRow, image_id=image_id, name=LOCK, **lock)
            self._insert(TaskRow, **_columns(task))
            self._insert(
                JobRow,
                task_id=task.id,
                worker=worker,
                beat_at_us=task.created_at_us,
                payload=orjson.dumps(payload or {}).decode(),
            )

    def find(self, task_id: str) -> Task | None:
        """Return a task, or None."""
        rows = self._engine.rows(f"{SELECT} FROM tasks AS t WHERE t.id = ?", (task_id,))
        return build(rows[0]) if rows else None

    def of_image(self, image_id: str, owner: str | None) -> Sequence[Task]:
        """Return the tasks of an image, newest first; of one owner, or of all."""
        sql, parameters = f"{SELECT} FROM tasks AS t WHERE t.image_id = ?", [image_id]
        if owner is not None:
            sql, parameters = f"{sql} AND t.owner = ?", [image_id, owner]
        rows = self._engine.rows(
            f"{sql} ORDER BY t.created_at_us DESC, t.id DESC", parameters
        )
        return [build(row) for row in rows]

    def page(self, query: TaskQuery) -> Sequence[Task]:
        """Return one page of tasks."""
        where, parameters = ["1 = 1"], []
        if query.owner is not None:
            where.append("t.owner = ?")
            parameters.append(query.owner)
        for name, value in query.filters.items():
            where.append(f"t.{_column(name)} = ?")
            parameters.append(value)
        key = _column(query.sort_key)
        way, beyond = ("DESC", "<") if query.descending else ("ASC", ">")
        # Nulls come lowest on every engine (D-23); the id makes the order total.
        lowest = "0" if key.endswith("_us") else "''"
        order = (
            f"{{}}.{key} IS NOT NULL",
            f"COALESCE({{}}.{key}, {lowest})",
            "{}.id",
        )
        values: list[object] = list(parameters)
        if query.after is not None:
            here, there = (
                ", ".join(term.format(alias) for term in order) for alias in "tm"
            )
            where.append(
                f"({here}) {beyond} (SELECT {there} FROM tasks AS m WHERE m.id = ?)"  # noqa: S608 - names of columns
            )
            values.append(query.after.id)
        ranked = ", ".join(f"{term.format('t')} {way}" for term in order)
        rows = self._engine.rows(
            f"{SELECT} FROM tasks AS t WHERE {' AND '.join(where)} "
            f"ORDER BY {ranked} LIMIT ?",
            (*values, query.limit),
        )
        return [build(row) for row in rows]

    def purge(self) -> int:
        """Remove the records of tasks whose time is over; say how many."""
        with self._engine.transaction():
            return self._engine.delete(
                TaskRow,
                TaskRow.expires_at_us.is_null(False),
                TaskRow.expires_at_us < now_us(),
            )

    def check_unlocked(self, image_id: str) -> None:
        """Refuse an image that a task works on.

        Raises:
            Conflict: one does.
        """
        check_unlocked(self._engine, image_id)

    def _check_image(self, image_id: str, status: Status) -> None:
        rows = self._engine.rows("SELECT status FROM images WHERE id = ?", (image_id,))
        if not rows:
            raise ImageNotFound(image_id)
        if rows[0][0] != status.value:
            raise StatusConflict(f"image {image_id} is {rows[0][0]}, not {status}")
        check_unlocked(self._engine, image_id)
        if is_being_cleared(self._engine, image_id):
            raise Conflict(f"bytes of image {image_id} are just being removed")

    def _insert(self, table: type, **values: object) -> None:
        ModelInsert(table, values).execute(self._engine.peewee)


def build(row: Row) -> Task:
    """Return the task of one row of `COLUMNS`."""
    fields = dict(zip(COLUMNS, row, strict=True))
    fields["type"] = TaskType(str(fields["type"]))
    fields["status"] = TaskStatus(str(fields["status"]))
    for name in ("input", "result"):
        fields[name] = orjson.loads(str(fields[name]))
    return Task(**fields)  # type: ignore[arg-type] # columns are those of the class


def _columns(task: Task) -> dict[str, object]:
    values = {name: getattr(task, name) for name in COLUMNS}
    for name in ("input", "result"):
        values[name] = orjson.dumps(values[name]).decode()
    return values | {"type": task.type.value, "status": task.status.value}


def _column(name: str) -> str:
    """Return a column's name, which must be one: it becomes part of a statement."""
    if name not in COLUMNS:
        message = f"{name} is no column of tasks"
        raise ValueError(message)
    return name
