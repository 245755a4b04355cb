"""Upgrades on a database server: once for all nodes, and through interruptions."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest

from imagereg.db.engine import Engine
from imagereg.db.live import parts
from imagereg.db.schema import latest, missing, prepare, upgrade, version
from imagereg.db.steps import FIRST, STEPS, Change, Step, index_of_text
from imagereg.errors import ConfigurationError
from tests import databases

pytestmark = pytest.mark.skipif(
    databases.NAME == "sqlite",
    reason="`.ci/run` runs it with IMAGEREG_TEST_DATABASE=postgresql, then mariadb",
)

#: A step of two indexes, and of rows that are filled in between.
SAMPLE = Step(
    "a sample",
    (
        index_of_text("image_locations", "locations_metadata", "metadata"),
        Change(lambda engine: engine.execute("UPDATE images SET min_disk = 7")),
        index_of_text("image_locations", "locations_again", "url"),
    ),
)


@pytest.fixture
def url() -> str:
    """Return the URL of a database without tables."""
    return databases.service(databases.NAME).empty(f"upgrade_{uuid4().hex[:12]}")


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    engine = Engine.connect(url)
    yield engine
    engine.close()


def make_old(engine: Engine) -> None:
    """Turn a fresh database to one of the first version."""
    with engine.schema_turn():
        engine.execute("DROP TABLE events")
        drop = engine.dialect.drop("index", "image_locations", "image_locations_url")
        engine.execute(drop)
        engine.execute("DELETE FROM schema_versions")
        engine.insert("schema_versions", [{"version": FIRST, "applied_at_us": 0}])


class Killed(BaseException):
    """The process dies here."""


def let_die(engine: Engine, left: int) -> None:
    """Let an engine die after so many statements that change something."""
    alive = iter(range(left))
    run: Callable[..., object] = engine.peewee.execute_sql

    def execute_sql(sql: str, *rest: object) -> object:
        words = ("CREATE INDEX", "CREATE TABLE", "ALTER TABLE", "UPDATE images")
        if (
            sql.startswith(words)
            and "write_turn" not in sql
            and next(alive, None) is None
        ):
            raise Killed
        return run(sql, *rest)

    engine.peewee.execute_sql = execute_sql  # type: ignore[method-assign] # below all that writes


def test_nodes_that_start_at_once_upgrade_once(url: str) -> None:
    with connected(url) as engine:
        prepare(engine)
        expected = parts(engine)
        make_old(engine)
    together = threading.Barrier(4)
    told: list[int] = []

    def start(_: int) -> int:
        with connected(url) as engine:
            together.wait(60)
            upgrade(engine, lambda number, _: told.append(number))
            return version(engine)

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(start, range(4))) == {latest()}

    assert told == [number for number, _ in missing(FIRST)]
    with connected(url) as engine:
        assert parts(engine) == expected


def test_an_upgrade_that_was_cut_off_anywhere_goes_on(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagereg.db.schema.STEPS", (*STEPS, SAMPLE))
    with connected(url) as engine:
        prepare(engine)
        make_old(engine)
        upgrade(engine)
        expected = parts(engine)
    cuts = 0
    while True:
        with connected(url) as engine:
            make_old(engine)
            with engine.schema_turn():
                for name in ("locations_metadata", "locations_again"):
                    drop = engine.dialect.drop("index", "image_locations", name)
                    engine.execute(drop)
        engine = Engine.connect(url)
        let_die(engine, cuts)
        try:
            upgrade(engine)
        except Killed:
            cuts += 1
        else:
            break
        finally:
            engine.close()
        with connected(url) as again:
            upgrade(again)
            assert version(again) == latest()
            assert parts(again) == expected

    assert cuts >= 4


def test_without_leave_nothing_is_made(url: str) -> None:
    with (
        connected(url) as engine,
        pytest.raises(ConfigurationError, match="run `imagereg db upgrade`"),
    ):
        prepare(engine, upgrades=False)

    with connected(url) as engine:
        assert parts(engine) == {}
