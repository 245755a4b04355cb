"""Bytes that nothing refers to any more go, whatever their store does meanwhile.

Source: contract stores S-10, issue 6 on what a crash leaves.
"""

import threading
import time
from collections.abc import Iterator

import pytest

from imagereg.db.deletions import DeletionRepository
from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.db.places import add_place, condemn
from imagereg.db.uploads import UploadRepository
from imagereg.errors import StaleImage, StoreUnavailable
from imagereg.images.processes import worker_name
from imagereg.images.removal import Removal
from imagereg.model import Location
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.memory import MemoryDriver
from imagereg.stores.store import Store, StoreTraits, UploadPlan
from tests.registry import LocalRegistry
from tests.server import eventually


class Stubborn(MemoryDriver):
    """A backend that hangs or fails when it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.go_on = threading.Event()
        self.go_on.set()
        self.is_down = False
        self.asked = 0

    def delete(self, url: str) -> None:
        self.asked += 1
        self.go_on.wait(60)
        if self.is_down:
            raise StoreUnavailable("down")
        super().delete(url)


@pytest.fixture
def engine(registry: LocalRegistry) -> Engine:
    return registry.registry.engine


@pytest.fixture
def deletions(engine: Engine) -> DeletionRepository:
    return DeletionRepository(engine)


@pytest.fixture
def drivers() -> Iterator[tuple[Stubborn, Stubborn]]:
    made = Stubborn("one"), Stubborn("two")
    yield made
    for driver in made:
        driver.go_on.set()


@pytest.fixture
def stores(drivers: tuple[Stubborn, Stubborn]) -> StoreCatalog:
    names = ("one", "two")
    traits = StoreTraits(type="memory")
    made = [Store(name, drivers[n], traits) for n, name in enumerate(names)]
    return StoreCatalog(made, "one")


@pytest.fixture
def removal(deletions: DeletionRepository, stores: StoreCatalog) -> Removal:
    return Removal(deletions, stores, worker_name, patience_s=60)


@pytest.fixture
def hasty(deletions: DeletionRepository, stores: StoreCatalog) -> Removal:
    """Return what does not wait for a store that hangs, nor for a busy machine."""
    return Removal(deletions, stores, worker_name, patience_s=0.05)


def doomed(engine: Engine, stores: StoreCatalog, store: str, image_id: str) -> Location:
    """Store bytes that are condemned already, and return where they lie."""
    plan = UploadPlan(hash_algorithm="sha512")
    place = stores[store].add(image_id, [b"data"], plan).location
    with engine.transaction():
        condemn(engine, image_id, [place])
    return place


def test_a_store_that_hangs_is_not_waited_for(
    engine: Engine,
    stores: StoreCatalog,
    hasty: Removal,
    deletions: DeletionRepository,
    drivers: tuple[Stubborn, Stubborn],
) -> None:
    place = doomed(engine, stores, "one", "gone")
    drivers[0].go_on.clear()

    begun = time.monotonic()
    removed = hasty.remove("gone", place)
    took_s = time.monotonic() - begun
    again = hasty.remove("gone", place)
    drivers[0].go_on.set()

    assert not removed
    assert took_s < 30
    # The thread that hangs is not joined by a second one.
    assert not again
    assert drivers[0].asked == 1
    assert eventually(lambda: not stores["one"].has("gone"))
    assert eventually(lambda: hasty.sweep() == 0)
    assert list(deletions.condemned()) == []


def test_a_store_that_is_down_is_asked_once_a_run_and_others_are_worked_off(
    engine: Engine,
    stores: StoreCatalog,
    removal: Removal,
    drivers: tuple[Stubborn, Stubborn],
) -> None:
    for number in range(3):
        doomed(engine, stores, "one", f"a{number}")
        doomed(engine, stores, "two", f"b{number}")
    drivers[0].is_down = True

    left = removal.sweep()

    assert left == 3
    assert drivers[0].asked == 1
    assert not any(stores["two"].has(f"b{number}") for number in range(3))
    drivers[0].is_down = False
    assert removal.sweep() == 0


def test_no_upload_begins_where_bytes_are_being_removed(
    registry: LocalRegistry,
    engine: Engine,
    stores: StoreCatalog,
    hasty: Removal,
    drivers: tuple[Stubborn, Stubborn],
) -> None:
    image_id = str(registry.admin.create()["id"])
    place = doomed(engine, stores, "one", image_id)
    image, _ = ImageRepository(engine).get(image_id, None)
    uploads = UploadRepository(engine)
    drivers[0].go_on.clear()

    hasty.remove(image_id, place)
    during = uploads.begin(image, worker_name(), "one", 0, lambda: None)
    answer = registry.admin.upload(image_id, b"new")
    drivers[0].go_on.set()

    assert not during
    assert answer.status == 409
    assert eventually(lambda: hasty.sweep() == 0)
    assert registry.admin.upload(image_id, b"new").status == 204


def test_bytes_under_an_upload_are_left_alone(
    registry: LocalRegistry,
    engine: Engine,
    stores: StoreCatalog,
    removal: Removal,
    deletions: DeletionRepository,
) -> None:
    image_id = str(registry.admin.create()["id"])
    place = doomed(engine, stores, "one", image_id)
    image, _ = ImageRepository(engine).get(image_id, None)
    UploadRepository(engine).begin(image, worker_name(), "one", 0, lambda: None)

    removed = removal.remove(image_id, place)

    assert not removed
    assert stores["one"].has(image_id)
    assert [each.worker for each in deletions.condemned()] == [None]


@pytest.mark.parametrize(
    ("worker", "freed"),
    [("here:gone:1:1", True), (worker_name(), True), ("elsewhere:b:1:1", False)],
    ids=["before a restart", "this one", "another machine"],
)
def test_the_claim_of_a_process_that_is_no_more_is_taken_back(
    registry: LocalRegistry,
    engine: Engine,
    stores: StoreCatalog,
    removal: Removal,
    deletions: DeletionRepository,
    worker: str,
    freed: bool,
) -> None:
    image_id = str(registry.admin.create()["id"])
    place = doomed(engine, stores, "one", image_id)
    here = worker_name().split(":")[0]
    assert deletions.claim(image_id, place.url, worker.replace("here", here))

    left = removal.sweep()

    assert (left == 0) is freed
    assert stores["one"].has(image_id) is not freed


def test_condemned_bytes_that_came_into_use_again_are_kept(
    registry: LocalRegistry, engine: Engine, deletions: DeletionRepository
) -> None:
    image_id = str(registry.admin.create()["id"])
    url = f"file://{registry.where}/images/{image_id}"
    with engine.transaction():
        condemn(engine, image_id, [Location(url, store="file")])

    uploaded = registry.admin.upload(image_id, b"new")
    registry.registry.recovery.run()

    assert uploaded.status == 204
    assert list(deletions.condemned()) == []
    assert registry.admin.download(image_id).body == b"new"


def test_bytes_that_are_just_being_removed_cannot_become_a_location(
    registry: LocalRegistry, engine: Engine, deletions: DeletionRepository
) -> None:
    image_id = str(registry.admin.create()["id"])
    place = Location("memory://one/x", store="one")
    with engine.transaction():
        condemn(engine, image_id, [place])
    assert deletions.claim(image_id, place.url, worker_name())

    with pytest.raises(StaleImage), engine.transaction():
        add_place(engine, image_id, place)

    assert registry.everything().rows["image_locations"] == []
