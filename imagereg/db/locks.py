"""The lock that a task holds on its image.

Called inside a transaction of somebody else, so that nothing begins on an image
between the look and the write.

Source: contract api-images 7 and 18.4.
"""

from collections.abc import Sequence

from imagereg.db.engine import Engine
from imagereg.db.task_models import JobRow, TaskRow
from imagereg.errors import Conflict
from imagereg.model import TaskStatus, now_us

#: The property that says which task works on an image.
LOCK = "os_glance_import_task"

#: A task that was silent for so long has lost its image, in microseconds.
SILENT_US = 60 * 60 * 1_000_000

#: The same for one that nobody has begun yet.
PENDING_US = 2 * SILENT_US

#: How long the record of such a task is kept.
GIVEN_UP_US = 48 * SILENT_US

#: What the owner of such a task is told.
GIVEN_UP = "given up: nothing was heard of the work for too long"


def check_unlocked(engine: Engine, image_id: str) -> None:
    """Refuse an image that a task works on.

    Raises:
        Conflict: one does.
    """
    for _, status, updated_at_us in _holders(engine, image_id):
        longest = PENDING_US if status == TaskStatus.PENDING else SILENT_US
        if now_us() - updated_at_us <= longest:
            raise Conflict(f"a task works on image {image_id} already")


def break_lock(engine: Engine, image_id: str) -> None:
    """Fail the task that holds an image, if `check_unlocked` let its silence pass.

    Its job goes with it, so whoever works on it can change nothing any more.
    """
    now = now_us()
    for task_id, _, _ in _holders(engine, image_id):
        TaskRow.update(
            status=TaskStatus.FAILURE.value,
            message=GIVEN_UP,
            updated_at_us=now,
            expires_at_us=now + GIVEN_UP_US,
        ).where(TaskRow.id == task_id).execute(engine.peewee)
        engine.delete(JobRow, JobRow.task_id == task_id)


def _holders(engine: Engine, image_id: str) -> Sequence[tuple[str, str, int]]:
    """Return id, status and time of the unfinished task that holds the lock."""
    rows = engine.rows(
        "SELECT t.id, t.status, t.updated_at_us FROM image_properties p "
        "JOIN jobs j ON j.task_id = p.value JOIN tasks t ON t.id = p.value "
        "WHERE p.image_id = ? AND p.name = ?",
        (image_id, LOCK),
    )
    return [(str(a), str(b), int(str(c))) for a, b, c in rows]
