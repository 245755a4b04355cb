"""`imagereg db purge`: what outlived its image goes, tombstones and the rest stay."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from imagereg.approved import ApprovedImage
from imagereg.db.agreement import BATCH
from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.db.purge import PAUSE_S, REMAINS, TOMBSTONES, Purge
from imagereg.db.schema import upgrade
from imagereg.errors import Duplicate
from imagereg.model import now_us
from tests.db.conformance import an_image, free
from tests.db.released import VERSIONS, filled, insert, restored
from tests.db.test_check import rows_of

OLD, NEW, CUT = 1_000, 3_000, 2_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Yield a database with rows in every table."""
    with filled(tmp_path) as engine:
        yield engine


def bury(engine: Engine, deleted_at_us: int, **rows: int) -> str:
    """Make a tombstone with remains; return the id."""
    image_id = str(uuid4())
    insert(
        engine, "image_tombstones", [{"id": image_id, "deleted_at_us": deleted_at_us}]
    )
    values: dict[str, dict[str, object]] = {
        "image_properties": {"typed": False, "created_at_us": 1},
        "image_tags": {"created_at_us": 1},
        "cached_images": {
            "size": 1,
            "digest": "",
            "hits": 0,
            "last_accessed_us": 1,
            "last_modified_us": 1,
        },
        "image_members": {"status": "pending", "created_at_us": 1, "updated_at_us": 1},
        "image_shares": {
            "member_status": "pending",
            "status": "active",
            "shelf": 0,
            "visibility": "shared",
            "created_at_us": 1,
            "updated_at_us": 1,
        },
        "tasks": {
            "type": "api_image_import",
            "status": "success",
            "input": "null",
            "result": "null",
            "message": "",
            "created_at_us": 1,
            "updated_at_us": 1,
        },
    }
    for table, count in rows.items():
        remains = REMAINS[table]
        (key,) = [each for each in remains.key if each != remains.column]
        insert(
            engine,
            table,
            [
                {
                    remains.column: image_id,
                    key: f"{number}-{image_id}"[:36],
                    **values[table],
                }
                for number in range(count)
            ],
        )
    return image_id


EACH = dict.fromkeys(REMAINS, 2)


def test_what_outlived_its_image_goes_and_nothing_else(engine: Engine) -> None:
    before = rows_of(engine)
    buried = bury(engine, OLD, **EACH)

    removed = Purge(engine, CUT).run()

    assert removed == EACH
    after = rows_of(engine)
    stones = after.pop("image_tombstones")
    assert len(stones) == len(before.pop("image_tombstones")) + 1
    assert any(buried in stone for stone in stones)
    assert after == before


def test_what_was_deleted_later_is_kept(engine: Engine) -> None:
    bury(engine, NEW, **EACH)
    before = rows_of(engine)

    assert Purge(engine, CUT).run() == {}

    assert rows_of(engine) == before


def test_an_id_is_never_used_again(engine: Engine) -> None:
    images = ImageRepository(engine)
    image = an_image()
    images.add(ApprovedImage(image), free)
    images.delete(image.id)

    Purge(engine, now_us() + 1).run()

    with pytest.raises(Duplicate):
        images.add(ApprovedImage(image), free)


def test_images_marked_as_deleted_become_tombstones(engine: Engine) -> None:
    images = ImageRepository(engine)
    kept, gone = an_image(tags=("t",)), an_image(tags=("t",), properties={"a": "b"})
    for image, updated_at_us in ((kept, NEW), (gone, OLD)):
        images.add(ApprovedImage(image), free)
        where = {"id": image.id}
        marked = {"status": "deleted", "updated_at_us": updated_at_us}
        with engine.transaction():
            engine.update("images", marked, where)

    removed = Purge(engine, CUT).run()

    assert removed == {"images": 1}
    found = engine.rows("SELECT id FROM images WHERE status = 'deleted'")
    assert found == [(kept.id,)]
    for table, column in (("image_tags", "image_id"), ("image_properties", "image_id")):
        assert not engine.rows(f"SELECT 1 FROM {table} WHERE {column} = ?", (gone.id,))
    assert engine.rows("SELECT 1 FROM image_tombstones WHERE id = ?", (gone.id,))


def test_work_that_is_to_be_done_is_kept(engine: Engine) -> None:
    image_id = bury(engine, OLD, tasks=2)
    first, second = engine.rows("SELECT id FROM tasks WHERE image_id = ?", (image_id,))
    with engine.transaction():
        engine.update("tasks", {"status": "processing"}, {"id": first[0]})
    job = {"task_id": second[0], "beat_at_us": 1, "attempts": 0, "payload": "{}"}
    insert(engine, "jobs", [job])

    assert Purge(engine, CUT).run() == {}


@pytest.mark.parametrize(
    ("limit", "removed"), [(0, 0), (1, 1), (7, 7), (None, 24), (1000, 24)]
)
def test_no_more_goes_than_was_allowed(
    engine: Engine, limit: int | None, removed: int
) -> None:
    bury(engine, OLD, **EACH)
    bury(engine, OLD, **EACH)

    run = Purge(engine, CUT, limit, sleep=lambda _: None)

    assert sum(run.run().values()) == removed


def test_one_run_after_another_comes_to_an_end(engine: Engine) -> None:
    bury(engine, OLD, **EACH)
    runs = []
    while removed := sum(Purge(engine, CUT, 5).run().values()):
        runs.append(removed)

    assert runs == [5, 5, 2]


def test_many_tombstones_are_walked_along(engine: Engine) -> None:
    insert(
        engine,
        "image_tombstones",
        [{"id": str(uuid4()), "deleted_at_us": OLD} for _ in range(2 * TOMBSTONES)],
    )
    for _ in range(3):
        bury(engine, OLD, image_tags=1)

    assert Purge(engine, CUT).run() == {"image_tags": 3}


def test_transactions_are_small_and_leave_room_for_others(tmp_path: Path) -> None:
    engine = restored(VERSIONS[-1], tmp_path)
    upgrade(engine)
    bury(engine, OLD, image_tags=3 * BATCH + 1)
    counts: list[int] = []
    other = Engine.connect(
        f"sqlite:///{tmp_path}/state/registry.sqlite", synchronous=False
    )

    def write_meanwhile(pause_s: float) -> None:
        """Write from another connection, which a long transaction would keep out."""
        assert pause_s == PAUSE_S
        other.rows("PRAGMA busy_timeout = 0")
        with other.transaction():
            other.update("leases", {"beat_at_us": len(counts)}, {"name": "rounds"})
        rows = other.rows("SELECT COUNT(*) FROM image_tags WHERE tag LIKE '%-%'")
        counts.append(int(str(rows[0][0])))

    Purge(engine, CUT, sleep=write_meanwhile).run()

    assert counts == [2 * BATCH + 1, BATCH + 1, 1, 0]
    other.close()
    engine.close()
