"""How much work waits in the queue."""

from imagereg.db.engine import Engine
from imagereg.errors import DatabaseUnavailable
from imagereg.meters import Backlog
from imagereg.model import now_us


def find_backlog(engine: Engine) -> Backlog | None:
    """Return what the queue holds, or None when the database does not tell."""
    try:
        rows = engine.rows(
            "SELECT j.worker IS NULL, COUNT(*), MIN(t.created_at_us) "
            "FROM jobs AS j JOIN tasks AS t ON t.id = j.task_id "
            "GROUP BY j.worker IS NULL"
        )
    except DatabaseUnavailable:
        return None
    found = {bool(row[0]): (int(str(row[1])), int(str(row[2]))) for row in rows}
    waiting, oldest_us = found.get(True, (0, 0))
    running, _ = found.get(False, (0, 0))
    oldest_s = max(0.0, (now_us() - oldest_us) / 1e6) if waiting else 0.0
    return Backlog(waiting, running, oldest_s)
