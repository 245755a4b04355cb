"""Any order of ranges, repetitions, overlaps, breaks and clean-ups gives the file.

Source: ruling S-14.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from imagereg.db.deletions import DeletionRepository
from imagereg.db.staged import StagedRepository
from imagereg.errors import TransferBroken
from imagereg.images.processes import worker_name
from imagereg.images.removal import Removal
from imagereg.images.staged import StagedData
from imagereg.stores.catalog import StoreCatalog
from tests import databases
from tests.registry import LocalRegistry

SIZE = 24
DATA = bytes(range(SIZE))

BOUNDS = st.tuples(st.integers(0, SIZE - 1), st.integers(1, SIZE)).map(
    lambda pair: (min(pair), max(pair[1], pair[0] + 1))
)


class Ranges(RuleBasedStateMachine):
    """One image after the other, staged by a client without any plan."""

    def __init__(self) -> None:
        super().__init__()
        self._undo = contextlib.ExitStack()
        where = Path(self._undo.enter_context(tempfile.TemporaryDirectory()))
        self.registry = LocalRegistry(where)
        self._undo.callback(self.registry.close)
        engine = self.registry.registry.engine
        stores = StoreCatalog.from_settings(self.registry.settings)
        self.staged = StagedData(
            StagedRepository(engine),
            stores,
            Removal(DeletionRepository(engine), stores, worker_name),
            worker_name,
        )
        self.image_id = ""
        self.parts: set[tuple[int, int]] = set()
        self.total_known = False

    @initialize()
    def create(self) -> None:
        """Begin with a record."""
        self.image_id = str(self.registry.admin.create()["id"])

    def put(
        self,
        start: int,
        stop: int,
        body: bytes | Iterator[bytes],
        *,
        tells: bool = True,
    ) -> int:
        """Send a range and return the status of the answer."""
        total = str(SIZE) if tells else "*"
        return self.registry.admin.request(
            "PUT",
            f"/v2/images/{self.image_id}/stage",
            body=body,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Range": f"bytes {start}-{stop - 1}/{total}",
            },
        ).status

    def overlaps(self, start: int, stop: int) -> bool:
        """Return whether the range has bytes in common with another one."""
        return any(
            a < stop and start < b and (a, b) != (start, stop) for a, b in self.parts
        )

    @rule(bounds=BOUNDS, tells=st.booleans())
    def stage(self, bounds: tuple[int, int], tells: bool) -> None:
        """Send the right bytes of any range."""
        start, stop = bounds

        status = self.put(start, stop, DATA[start:stop], tells=tells)

        assert status == (409 if self.overlaps(start, stop) else 204)
        if status == 204 and bounds not in self.parts:
            self.parts.add(bounds)
            self.total_known |= tells

    @precondition(lambda self: self.gaps())
    @rule(choice=st.integers(0, SIZE))
    def fill(self, choice: int) -> None:
        """Send one of the ranges that are missing."""
        gaps = self.gaps()
        start, stop = gaps[choice % len(gaps)]
        assert self.put(start, stop, DATA[start:stop]) == 204
        self.parts.add((start, stop))
        self.total_known = True

    @rule(bounds=BOUNDS)
    def repeat_otherwise(self, bounds: tuple[int, int]) -> None:
        """Send other bytes where some are; nothing changes."""
        start, stop = bounds
        if bounds in self.parts or self.overlaps(start, stop):
            assert self.put(start, stop, bytes(stop - start - 1) + b"!") == 409

    @rule(bounds=BOUNDS, sent=st.integers(0, SIZE))
    def break_off(self, bounds: tuple[int, int], sent: int) -> None:
        """Lose the connection in the middle; nothing changes."""
        start, stop = bounds

        def body() -> Iterator[bytes]:
            yield DATA[start : min(start + sent, stop - 1)]
            raise TransferBroken("gone")

        assert self.put(start, stop, body()) in (400, 409)

    @rule()
    def recover(self) -> None:
        """Have leftovers cleared away."""
        self.registry.registry.recovery.run()

    @rule()
    def restart(self) -> None:
        """Delete the record and begin anew."""
        path = f"/v2/images/{self.image_id}"
        assert self.registry.admin.request("DELETE", path).status == 204
        self.parts, self.total_known = set(), False
        self.create()

    def gaps(self) -> list[tuple[int, int]]:
        """Return the ranges that are missing."""
        edges = sorted(self.parts)
        starts = [0, *(stop for _, stop in edges)]
        stops = [*(start for start, _ in edges), SIZE]
        return [(a, b) for a, b in zip(starts, stops, strict=True) if a < b]

    @invariant()
    def tells_what_is_there(self) -> None:
        """The server's account is the model's."""
        if not self.image_id:
            return
        state = self.registry.admin.get(f"/v2/images/{self.image_id}/stage").json()
        assert [tuple(part["range"]) for part in state["parts"]] == [
            (start, stop - 1) for start, stop in sorted(self.parts)
        ]
        assert state["total"] == (SIZE if self.total_known else None)

    @invariant()
    def keeps_nothing_else(self) -> None:
        """Each part is one file, and no other file is there."""
        kept = sorted(data for _, data in self.registry.blobs())
        assert kept == sorted(DATA[start:stop] for start, stop in self.parts)

    @invariant()
    def is_whole_when_all_is_there(self) -> None:
        """The image has its size and its bytes as soon as nothing is missing."""
        if not self.image_id:
            return
        whole = self.total_known and not self.gaps()
        image = self.registry.admin.show(self.image_id)
        assert image["status"] == ("uploading" if self.parts else "queued")
        assert image["size"] == (SIZE if whole else None)
        if whole:
            with self.staged.open(self.image_id) as reader:
                assert b"".join(reader) == DATA

    def teardown(self) -> None:
        """Close the registry."""
        self._undo.close()


TestRanges = Ranges.TestCase
TestRanges.settings = settings(
    max_examples=databases.examples(25),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
