"""`imagereg db check`: flaws are found, told, and mended where that loses nothing."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.approved import ApprovedImage
from imagereg.db.agreement import BATCH, RULES, find_disagreements
from imagereg.db.drift import find_drift
from imagereg.db.engine import Engine
from imagereg.db.flaws import Advice
from imagereg.db.images import ImageRepository
from imagereg.db.live import PartKind, parts
from imagereg.db.schema import latest, prepare, upgrade
from tests import databases
from tests.db.conformance import an_image, free
from tests.db.released import VERSIONS, change, filled, insert, restored


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Yield a database of the present with rows in every table."""
    with filled(tmp_path) as engine:
        yield engine


def rows_of(engine: Engine) -> dict[str, list[str]]:
    """Return all rows of all tables."""
    tables = {each.name for each in parts(engine) if each.kind is PartKind.TABLE}
    # How often somebody wrote is no content.
    tables -= {"write_turn"}
    return {
        table: sorted(repr(row) for row in engine.rows(f"SELECT * FROM {table}"))
        for table in tables
    }


# The schema.


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Engine]:
    """Yield such a database whose tables no other test has."""
    with filled(tmp_path, own=True) as engine:
        yield engine


def test_a_database_in_order_has_no_flaws(own: Engine) -> None:
    assert list(find_drift(own)) == []
    assert list(find_disagreements(own)) == []


@pytest.mark.parametrize("kind", [PartKind.INDEX, PartKind.TRIGGER])
def test_what_is_made_from_other_things_is_made_anew(
    own: Engine, kind: PartKind
) -> None:
    before = parts(own)
    gone = sorted(part for part in before if part.kind is kind)
    for part in gone:
        change(own, own.dialect.drop(kind, part.table, part.name))

    found = list(find_drift(own))
    still = parts(own)
    fixed = list(find_drift(own, fix=True))

    assert [flaw.what for flaw in found] == [f"{part} is missing" for part in gone]
    assert {flaw.advice for flaw in found} == {Advice.FIX}
    assert len(still) == len(before) - len(gone)
    assert all(flaw.fixed for flaw in fixed)
    assert parts(own) == before


def test_an_index_of_something_else_is_made_anew(own: Engine) -> None:
    before = parts(own)
    drop = own.dialect.drop("index", "images", "images_owner_name")
    change(own, drop)
    change(own, "CREATE INDEX images_owner_name ON images (name)")

    (found,) = find_drift(own, fix=True)

    assert found.fixed
    assert found.what.startswith("index images_owner_name of table images is `")
    assert "name" in found.what.partition("` and should be `")[0]
    assert parts(own) == before


@pytest.mark.parametrize(
    ("damage", "told", "advice"),
    [
        ("DROP TABLE leases", "table leases is missing", Advice.RESTORE),
        (
            "ALTER TABLE leases DROP COLUMN worker",
            "column worker of table leases is missing",
            Advice.RESTORE,
        ),
        (
            "ALTER TABLE leases ADD COLUMN extra TEXT NOT NULL DEFAULT ''",
            "column extra of table leases is not of this program",
            Advice.REMOVE,
        ),
        pytest.param(
            "CREATE TRIGGER odd AFTER DELETE ON leases BEGIN SELECT 1; END",
            "trigger odd of table leases is not of this program",
            Advice.REMOVE,
            id="trigger",
        ),
    ],
)
def test_what_only_a_person_can_judge_is_told(
    own: Engine, damage: str, told: str, advice: Advice
) -> None:
    change(own, damage)
    damaged = parts(own)

    found = list(find_drift(own, fix=True))

    assert [(flaw.what, flaw.advice) for flaw in found] == [(told, advice)]
    assert not found[0].fixed
    assert parts(own) == damaged


def test_a_column_of_another_sort_is_told(own: Engine) -> None:
    change(own, "DROP TABLE leases")
    change(
        own,
        "CREATE TABLE leases (name VARCHAR(64) NOT NULL PRIMARY KEY,"
        " worker VARCHAR(255), beat_at_us INTEGER NOT NULL)",
    )

    (found,) = find_drift(own)

    assert found.what == (
        "column worker of table leases is `VARCHAR(255)` and should be"
        " `VARCHAR(255) NOT NULL`"
    )


def test_tables_and_indexes_of_the_operator_are_no_flaws(own: Engine) -> None:
    change(own, "CREATE TABLE reports (day TEXT)")
    change(own, "CREATE INDEX by_size ON images (size)")

    assert list(find_drift(own)) == []


@pytest.mark.parametrize(
    ("number", "advice"), [(latest() + 1, Advice.NEWER), (None, Advice.UPGRADE)]
)
def test_another_version_is_not_compared(
    own: Engine, number: int | None, advice: Advice
) -> None:
    if number is None:
        change(own, "DELETE FROM schema_versions WHERE version > 1")
    else:
        insert(own, "schema_versions", [{"version": number, "applied_at_us": 0}])
    change(own, "DROP TABLE leases")

    (found,) = find_drift(own, fix=True)

    assert found.advice is advice


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "state" / "registry.sqlite"
    own = restored(VERSIONS[-1], tmp_path)
    upgrade(own)
    own.close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # An index that lost its rows behind the back of the database.
    database.execute("PRAGMA writable_schema = ON")
    database.execute(
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master"
        " WHERE name = 'image_locations_url') WHERE name = 'images_owner_name'"
    )
    database.commit()
    database.close()
    own = Engine.connect(f"sqlite:///{path}", synchronous=False)

    found = list(find_drift(own))

    assert found
    assert {flaw.advice for flaw in found} == {Advice.RESTORE}
    assert "the file is damaged" in found[0].what
    own.close()


# The rows.

#: There a trigger puts it right with each write.
without_mariadb = pytest.mark.skipif(
    databases.NAME == "mariadb", reason="no statement can make a shelf wrong"
)

#: What damages rows, and words of what is told about it.
DAMAGES = {
    "shelf": ("UPDATE images SET shelf = 1 WHERE name = 'public'", "1 images on a"),
    "share lost": ("DELETE FROM image_shares", "3 memberships that lists do not know"),
    "share differs": (
        "UPDATE image_shares SET name = NULL WHERE member_id = 'project-c'",
        "1 memberships that lists do not know",
    ),
    "share status": (
        "UPDATE image_shares SET member_status = 'x' WHERE member_id = 'project-c'",
        "1 memberships that lists do not know",
    ),
    "property age": (
        "UPDATE image_properties SET created_at_us = 5 WHERE name = 'os_distro'",
        "1 rows of image_properties with another age",
    ),
    "tag age": (
        "UPDATE image_tags SET created_at_us = 5 WHERE tag = 't2'",
        "2 rows of image_tags with another age",
    ),
    "head": (
        "UPDATE image_properties SET head = NULL WHERE name = 'long'",
        "8 properties that filters look for",
    ),
}

#: What is left behind, and the same.
LEFT_BEHIND = {
    "share": (
        "INSERT INTO image_shares (id, member_id, member_status, name, status,"
        " visibility, owner, shelf, container_format, disk_format, size,"
        " created_at_us, updated_at_us) SELECT 'no', member_id, member_status, name,"
        " status,"
        " visibility, owner, shelf, container_format, disk_format, size,"
        " created_at_us, updated_at_us FROM image_shares LIMIT 1",
        "1 memberships that only lists know: no project-",
    ),
    "property": (
        "INSERT INTO image_properties (image_id, name, value, head, typed,"
        " created_at_us) VALUES ('no', 'a', 'b', 'b', FALSE, 1)",
        "1 rows of image_properties that hang on nothing in images: no a",
    ),
    "tag": (
        "INSERT INTO image_tags (image_id, tag, created_at_us) VALUES ('no', 'a', 1)",
        "1 rows of image_tags that hang on nothing in images",
    ),
    "member": (
        "INSERT INTO image_members (image_id, member_id, status, created_at_us,"
        " updated_at_us) VALUES ('no', 'm', 'pending', 1, 1)",
        "1 rows of image_members that hang on nothing in images",
    ),
    "deletion": (
        "INSERT INTO pending_deletes VALUES ('no', 'active', 1)",
        "1 rows of pending_deletes that hang on nothing in images",
    ),
    "deletion of an image in use": (
        "INSERT INTO pending_deletes SELECT id, 'active', 1 FROM images"
        " WHERE name = 'public'",
        "1 images that wait for their deletion and are in use",
    ),
    "job": (
        "INSERT INTO jobs VALUES ('no', NULL, 1, 0, '{}')",
        "1 rows of jobs that hang on nothing in tasks: no",
    ),
    "definition": (
        "INSERT INTO metadef_tags (namespace_id, name, created_at_us, updated_at_us)"
        " VALUES ('no', 'a', 1, 1)",
        "1 rows of metadef_tags that hang on nothing in metadef_namespaces",
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("shelf", marks=without_mariadb),
        *(each for each in DAMAGES if each != "shelf"),
        *LEFT_BEHIND,
    ],
)
def test_rows_that_disagree_are_found_and_mended(engine: Engine, name: str) -> None:
    damage, told = (DAMAGES | LEFT_BEHIND)[name]
    before = rows_of(engine)
    change(engine, damage)
    damaged = rows_of(engine)

    (found,) = find_disagreements(engine)
    looked_at = rows_of(engine)
    (fixed,) = find_disagreements(engine, fix=True)

    assert damaged != before
    assert found.what.startswith(told)
    assert (found.advice, found.fixed, fixed.fixed) == (Advice.FIX, False, True)
    assert looked_at == damaged
    assert rows_of(engine) == before


def test_bytes_of_a_location_without_image_are_given_to_the_stores(
    engine: Engine,
) -> None:
    used = engine.rows("SELECT url FROM image_locations LIMIT 1")[0][0]
    for url in ("file:///alone", used):
        insert(
            engine,
            "image_locations",
            [{"image_id": "no", "url": url, "metadata": "{}", "store": "fast"}],
        )

    (found,) = find_disagreements(engine, fix=True)

    assert found.what.startswith("2 locations of no image")
    assert found.fixed
    condemned = engine.rows("SELECT url FROM condemned_locations WHERE image_id = 'no'")
    assert condemned == [("file:///alone",)]
    assert engine.rows("SELECT 1 FROM image_locations WHERE image_id = 'no'") == []


def test_a_deleted_image_comes_back_into_the_scrubbers_list(engine: Engine) -> None:
    before = engine.rows("SELECT image_id FROM pending_deletes")
    change(engine, "DELETE FROM pending_deletes")

    (found,) = find_disagreements(engine, fix=True)

    assert found.what.startswith("1 deleted images that the scrubber does not know")
    assert found.fixed
    assert engine.rows("SELECT image_id FROM pending_deletes") == before


def test_an_id_that_came_back_takes_a_person(engine: Engine) -> None:
    change(
        engine,
        "INSERT INTO image_tombstones SELECT id, owner, 1 FROM images"
        " WHERE name = 'public'",
    )
    before = rows_of(engine)

    (found,) = find_disagreements(engine, fix=True)

    assert found.what.startswith("1 images whose id belonged to one that was deleted")
    assert (found.advice, found.fixed) == (Advice.RESTORE, False)
    assert rows_of(engine) == before


def test_more_than_a_batch_is_mended(tmp_path: Path) -> None:
    engine = Engine.connect(f"sqlite:///{tmp_path}/many.sqlite", synchronous=False)
    prepare(engine)
    images = ImageRepository(engine)
    with engine.transaction():
        for _ in range(BATCH + 5):
            images.add(ApprovedImage(an_image(name="x")), free)
    change(engine, "UPDATE images SET shelf = 2")

    (found,) = find_disagreements(engine, fix=True)

    assert found.what.startswith(f"{BATCH + 5} images on a wrong shelf")
    assert found.what.endswith(", ...")
    assert found.fixed
    assert list(find_disagreements(engine)) == []
    engine.close()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ö" * 200,
        pytest.param("a\u0000b", id="nul"),
        "\U0001f600" * 130,
        None,
    ],
)
def test_no_value_that_clients_may_send_is_a_flaw(
    engine: Engine, value: str | None
) -> None:
    image = an_image(properties={"p": value}, tags=("t",), os_hidden=True)
    ImageRepository(engine).add(ApprovedImage(image), free)

    assert list(find_disagreements(engine)) == []


def test_each_rule_has_a_damage_above() -> None:
    # Hanging rows of the four kinds of definitions are one rule each.
    assert len(RULES) == len(DAMAGES) - 2 + len(LEFT_BEHIND) + 3 + 3
