"""SQLite keeps the contract; `test_list_plans.py` has how its lists find their way."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from sqlite3 import SQLITE_OK, Connection
from threading import Thread

import pytest

from imagereg.db.dialects.sqlite import CACHED_STATEMENTS
from imagereg.db.engine import Engine
from imagereg.db.schema import prepare
from imagereg.errors import StoreUnavailable
from tests.db.conformance import Connect, EngineConformance
from tests.server import eventually


class TestSQLite(EngineConformance):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Iterator[Connect]:
        url = f"sqlite:///{tmp_path}/registry.sqlite"
        yield lambda: Engine.connect(url, synchronous=False)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Yield a database with its tables."""
    path = tmp_path_factory.mktemp("plans") / "registry.sqlite"
    engine = Engine.connect(f"sqlite:///{path}")
    prepare(engine)
    # Tests have a connection that did not make the tables.
    engine.close()
    yield engine
    engine.close()


def test_what_is_acknowledged_survives_a_power_cut(engine: Engine) -> None:
    def pragma(name: str) -> object:
        return engine.rows(f"PRAGMA {name}")[0][0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2


def test_a_connection_keeps_few_statements(engine: Engine) -> None:
    prepared: list[object] = []

    def note(*said: object) -> int:
        prepared.append(said)
        return SQLITE_OK

    def is_prepared(number: int) -> bool:
        prepared.clear()
        engine.rows(f"SELECT {number}, id FROM images")
        return bool(prepared)

    engine.check()
    connection: Connection = engine.peewee.connection()  # type: ignore[no-untyped-call] # Peewee's stubs leave it untyped
    connection.set_authorizer(note)
    first = [is_prepared(number) for number in range(CACHED_STATEMENTS + 1)]
    last = is_prepared(CACHED_STATEMENTS)
    oldest = is_prepared(0)

    connection.set_authorizer(None)
    assert all(first)
    assert not last
    assert oldest


def temporary_files() -> list[str]:
    """Return the files of SQLite's that this process has open without a name."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(os.readlink(each))  # noqa: PTH115 - it tells more than `Path`
    return [name for name in found if "etilqs" in name]


def test_a_write_that_changes_many_pages_makes_no_file(engine: Engine) -> None:
    """What a statement may have to take back is more than SQLite keeps by itself."""

    row = {"value": "v" * 200, "typed": False, "created_at_us": 1}

    def insert(name: str) -> None:
        rows = [{**row, "image_id": f"{each:036}", "name": name} for each in range(400)]
        engine.insert("image_properties", rows)

    with engine.transaction():
        insert("before")
    with engine.transaction():
        insert("after")

        assert temporary_files() == []


def test_indexes_are_sorted_in_files(engine: Engine) -> None:
    """They are of any size, and what is in memory is not."""

    def stores() -> object:
        return engine.rows("PRAGMA temp_store")[0][0]

    before = stores()
    with engine.schema_turn():
        within = stores()

    assert (before, within, stores()) == (2, 1, 2)


def test_a_locked_database_is_told_apart_from_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagereg.db.dialects.sqlite.BUSY_TIMEOUT_S", 0.05)
    url = f"sqlite:///{tmp_path}/registry.sqlite"
    one, two = Engine.connect(url), Engine.connect(url)
    prepare(one)

    with (
        one.transaction(),
        pytest.raises(StoreUnavailable),
        two.transaction(),
    ):
        pass

    assert two.rows("SELECT * FROM images") == []
    one.close()
    two.close()


def test_it_is_known_who_waits_for_a_turn_to_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.sqlite"
    one, two = Engine.connect(url), Engine.connect(url)
    prepare(one)

    def write() -> None:
        with two.transaction():
            pass
        two.close()

    writer = Thread(target=write)
    with one.transaction():
        writer.start()
        assert eventually(lambda: list(two.waiting) == [writer.ident])
        assert one.waiting == {}

    writer.join()
    assert two.waiting == {}
    one.close()


def test_a_database_that_cannot_be_opened_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "registry.sqlite").mkdir()
    engine = Engine.connect(f"sqlite:///{tmp_path}/registry.sqlite")

    with pytest.raises(StoreUnavailable):
        engine.rows("SELECT 1")
    with pytest.raises(StoreUnavailable):
        prepare(engine)
