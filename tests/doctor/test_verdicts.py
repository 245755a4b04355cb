"""Any state of rows and objects leads to the right verdict.

The oracle says for each life an image may have had what should become of an object
under its id; the doctor sees rows and listings alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagereg.db.deletions import DeletionRepository
from imagereg.db.engine import Engine
from imagereg.db.inventory import Claims, Inventory
from imagereg.db.models import ImageRow
from imagereg.db.places import add_place, condemn
from imagereg.db.schema import prepare
from imagereg.db.staged import StagedRepository
from imagereg.db.uploads import UploadRepository
from imagereg.doctor.collection import Collection, Wanted
from imagereg.doctor.findings import Kind
from imagereg.doctor.verdicts import judge
from imagereg.images.processes import worker_name
from imagereg.images.recovery import Recovery
from imagereg.images.removal import Removal
from imagereg.images.staged import StagedData
from imagereg.model import Location, now_us
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.driver import ListedBlob
from imagereg.stores.memory import MemoryDriver
from imagereg.stores.store import Store, StoreTraits
from tests import databases

LIVES = (
    "unknown",
    "deleted",
    "queued",
    "active",
    "pending_delete",
    "active elsewhere",
    "saving",
    "saving, dead",
    "saving, nobody",
    "importing",
    "importing, nobody",
    "condemned",
)
DEAD = f"{worker_name().split(':')[0]}:other:1:1"

#: The life of an image -> what an old object under its id is; None may stay.
OBJECT = {
    "unknown": Kind.FOREIGN,
    "deleted": Kind.ORPHAN,
    "queued": Kind.ORPHAN,
    "active elsewhere": Kind.ORPHAN,
    "importing, nobody": Kind.ORPHAN,
    "saving, nobody": Kind.ORPHAN,
}

#: The life of an image -> what is wrong with its rows, with or without an object.
ROWS = {
    "saving, dead": Kind.STALE_UPLOAD,
    "saving, nobody": Kind.STUCK,
    "importing, nobody": Kind.STUCK,
    "condemned": Kind.CONDEMNED,
}


@dataclass(frozen=True)
class Case:
    """One image: how it lived, and whether there is an object of its id."""

    life: str
    has_object: bool


@dataclass
class World:
    """A database and two stores in memory."""

    engine: Engine
    here: MemoryDriver
    there: MemoryDriver

    def collection(self) -> Collection:
        traits = StoreTraits(type="memory")
        stores = StoreCatalog(
            [Store("here", self.here, traits), Store("there", self.there, traits)],
            "here",
        )
        deletions = DeletionRepository(self.engine)
        uploads = UploadRepository(self.engine)
        removal = Removal(deletions, stores, worker_name)
        staged = StagedData(StagedRepository(self.engine), stores, removal, worker_name)
        recovery = Recovery(uploads, stores, removal, staged, worker_name)
        return Collection(
            Inventory(self.engine), deletions, uploads, stores, removal, recovery
        )

    def wipe(self) -> None:
        """Begin anew."""
        with self.engine.transaction():
            for table in (
                *("images", "image_tombstones", "image_locations", "uploads"),
                *("condemned_locations", "jobs", "tasks"),
            ):
                self.engine.execute(f"DELETE FROM {table}")
        self.here, self.there = MemoryDriver("here"), MemoryDriver("there")

    def live(self, image_id: str, case: Case) -> None:
        """Write the rows and objects of one life."""
        if case.has_object:
            self.here.put(image_id, b"bytes", replace=False)
        status = case.life.split(",")[0].split(" ")[0]
        with self.engine.transaction():
            match status:
                case "unknown":
                    return
                case "deleted":
                    self.engine.execute(
                        "INSERT INTO image_tombstones VALUES (?, NULL, 1)", (image_id,)
                    )
                    return
                case "condemned":
                    place = Location(f"memory://here/{image_id}", store="here")
                    condemn(self.engine, image_id, [place])
                    status = "queued"
            ImageRow.insert(
                id=image_id,
                status=status,
                visibility="private",
                size=5,
                created_at_us=1,
                updated_at_us=1,
            ).execute(self.engine.peewee)
            self._work(image_id, case.life)

    def _work(self, image_id: str, life: str) -> None:
        if life in ("active", "pending_delete"):
            place = Location(f"memory://here/{image_id}", store="here")
            add_place(self.engine, image_id, place)
        elif life == "active elsewhere":
            place = self.there.put(image_id, b"bytes", replace=False)
            add_place(self.engine, image_id, place)
        elif life in ("saving", "saving, dead"):
            worker = worker_name() if life == "saving" else DEAD
            self.engine.execute(
                "INSERT INTO uploads (image_id, worker, store, reserved, beat_at_us)"
                " VALUES (?, ?, 'here', 0, ?)",
                (image_id, worker, now_us()),
            )
        elif life == "importing":
            self.engine.execute(
                "INSERT INTO tasks (id, type, status, image_id, input, result,"
                " message, created_at_us, updated_at_us)"
                " VALUES (?, 'x', 'processing', ?, '{}', 'null', '', 1, 1)",
                (image_id, image_id),
            )
            self.engine.execute(
                "INSERT INTO jobs (task_id, beat_at_us, attempts, payload)"
                " VALUES (?, 1, 0, '{}')",
                (image_id,),
            )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    path = tmp_path_factory.mktemp("world") / "r.sqlite"
    engine = Engine.connect(databases.connection(path), synchronous=False)
    prepare(engine)
    yield World(engine, MemoryDriver("here"), MemoryDriver("there"))
    engine.close()


def expected(cases: dict[str, Case]) -> set[tuple[str, Kind]]:
    """Return what must be found, going by the lives."""
    found = set()
    for image_id, case in cases.items():
        if case.life in ROWS:
            found.add((image_id, ROWS[case.life]))
        if case.has_object and case.life in OBJECT:
            found.add((image_id, OBJECT[case.life]))
        if not case.has_object and case.life in ("active", "pending_delete"):
            found.add((image_id, Kind.MISSING))
    return found


#: What a second look still finds, because a person must decide.
FOR_PEOPLE = {Kind.FOREIGN, Kind.MISSING}

cases = st.lists(st.builds(Case, st.sampled_from(LIVES), st.booleans()), max_size=8)


@settings(
    deadline=None,
    max_examples=databases.examples(150),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(found=cases)
def test_every_life_is_judged_rightly_and_mended_once(
    world: World, found: list[Case]
) -> None:
    world.wipe()
    lives = {str(UUID(int=number)): case for number, case in enumerate(found, 1)}
    for image_id, case in lives.items():
        world.live(image_id, case)
    gc = partial(world.collection().run, Wanted(settled_s=0))
    mend = partial(world.collection().run, Wanted(settled_s=0, fix=True))

    looked = {(each.subject, each.kind) for each in gc()}
    mended = {(each.subject, each.kind): each.fixed for each in mend()}
    again = {(each.subject, each.kind) for each in mend()}

    wanted = expected(lives)
    assert looked == wanted
    # The remains of a dead upload go with it.
    assert mended.keys() == wanted
    assert {each for each, fixed in mended.items() if not fixed} == again
    assert again == {each for each in wanted if each[1] in FOR_PEOPLE}
    kept = {blob.key for blob in world.here.list_blobs()}
    assert kept == {
        image_id
        for image_id, case in lives.items()
        if case.has_object
        and case.life in ("active", "pending_delete", "saving", "importing", "unknown")
    }


urls = st.frozensets(st.sampled_from(["memory://here/k", "memory://here/other", "x"]))


@given(
    claims=st.builds(Claims, st.booleans(), st.booleans(), urls, urls),
    age_s=st.integers(-10, 10),
)
def test_nothing_is_loose_that_anybody_may_need(claims: Claims, age_s: int) -> None:
    blob = ListedBlob("k", "memory://here/k", 5, 1000.0 - age_s)

    verdict = judge(blob, claims, str, 1000.0)

    needed = blob.url in claims.urls | claims.condemned or claims.busy
    assert (verdict is None) == (needed or age_s < 0)
    if verdict is not None:
        assert verdict is (Kind.ORPHAN if claims.known else Kind.FOREIGN)
