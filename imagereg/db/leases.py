"""Leases: work that one process at a time does for all of them."""

from collections.abc import Callable

from imagereg.db.engine import Engine
from imagereg.db.models import LeaseRow
from imagereg.model import now_us

#: Whether a process, which was last heard of then, is no more.
IsGone = Callable[[str, int], bool]


class LeaseRepository:
    """Who holds which lease.

    Args:
        is_gone: tells whether the holder of a lease is no more.
    """

    def __init__(self, engine: Engine, is_gone: IsGone) -> None:
        self._engine = engine
        self._is_gone = is_gone

    def take(self, name: str, worker: str) -> bool:
        """Take or renew a lease; return False if a process that lives holds it."""
        with self._engine.transaction():
            if self.holder(name) not in (None, worker):
                return False
            self._engine.delete(LeaseRow, LeaseRow.name == name)
            LeaseRow.insert(name=name, worker=worker, beat_at_us=now_us()).execute(
                self._engine.peewee
            )
        return True

    def give_back(self, name: str, worker: str) -> None:
        """Give a lease back."""
        with self._engine.transaction():
            self._engine.delete(
                LeaseRow, LeaseRow.name == name, LeaseRow.worker == worker
            )

    def holder(self, name: str) -> str | None:
        """Return the process that holds a lease, None if none does that lives."""
        rows = self._engine.rows(
            "SELECT worker, beat_at_us FROM leases WHERE name = ?", (name,)
        )
        for worker, beat in rows:
            if not self._is_gone(str(worker), int(str(beat))):
                return str(worker)
        return None
