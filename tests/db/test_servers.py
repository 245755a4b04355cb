"""PostgreSQL and MariaDB keep the contract that SQLite keeps."""

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from imagereg.db.agreement import find_disagreements
from imagereg.db.dialects.server import PLACES
from imagereg.db.drift import find_drift
from imagereg.db.engine import Engine
from imagereg.db.pool import PoolLimits
from imagereg.db.schema import prepare
from imagereg.errors import Invalid, StoreUnavailable
from tests import databases
from tests.db.conformance import Connect, EngineConformance
from tests.server import eventually

pytestmark = pytest.mark.skipif(
    databases.NAME == "sqlite",
    reason="`.ci/run` runs it with IMAGEREG_TEST_DATABASE=postgresql, then mariadb",
)


class TestServer(EngineConformance):
    @pytest.fixture
    def connect(self) -> Iterator[Connect]:
        url = databases.connection(f"/{uuid4()}")
        yield lambda: Engine.connect(url)


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Yield a database with its tables."""
    engine = Engine.connect(databases.connection(f"/{uuid4()}"))
    prepare(engine)
    yield engine
    engine.close()


def test_a_fresh_database_has_all_its_parts(engine: Engine) -> None:
    assert list(find_drift(engine)) == []
    assert list(find_disagreements(engine)) == []


def test_an_index_that_is_missing_is_made_anew(engine: Engine) -> None:
    on = " ON images" if databases.NAME == "mariadb" else ""
    with engine.transaction():
        engine.execute(f"DROP INDEX images_visibility_name{on}")

    (flaw,) = find_drift(engine, fix=True)

    assert flaw.fixed
    assert "images_visibility_name" in flaw.what
    assert list(find_drift(engine)) == []


def test_a_tables_text_is_told_apart_by_case_and_blanks(engine: Engine) -> None:
    names = ("a", "A", "a ", "\u00e4", "a\u0308", "\U0001f600", "\U0001f601")
    rows = [
        {"image_id": "x", "name": name, "value": "v", "typed": False} for name in names
    ]
    with engine.transaction():
        engine.insert("image_properties", rows)

    found = engine.rows("SELECT name FROM image_properties ORDER BY name")

    assert [name for (name,) in found] == sorted(names)
    for name in names:
        sql = "SELECT name FROM image_properties WHERE name = ?"
        assert engine.rows(sql, (name,)) == [(name,)]


def test_what_is_too_long_is_refused_as_the_callers_fault(engine: Engine) -> None:
    with pytest.raises(Invalid), engine.transaction():
        engine.insert("image_tags", [{"image_id": "x" * 37, "tag": "t"}])

    assert engine.rows("SELECT * FROM image_tags") == []


def test_a_connection_that_was_cut_is_replaced_unnoticed(engine: Engine) -> None:
    engine.rows("SELECT 1")
    cut_others(engine)

    assert engine.rows("SELECT 1") == [(1,)]

    cut_others(engine)
    with engine.transaction():
        engine.insert("image_tags", [{"image_id": "x", "tag": "t"}])

    assert engine.rows("SELECT tag FROM image_tags") == [("t",)]


def marked(engine: Engine, tag: str) -> object:
    """Write something, and return the mark of that transaction."""
    with engine.transaction():
        engine.insert("image_tags", [{"image_id": "x", "tag": tag}])
        return engine.dialect.mark


def was_committed(engine: Engine, mark: object) -> bool:
    with engine._borrowed():
        return engine.dialect.was_committed(mark)


def test_a_transaction_is_known_after_its_end(engine: Engine) -> None:
    marks = [marked(engine, str(number)) for number in range(PLACES // 2)]
    undone: object = None
    with contextlib.suppress(LookupError), engine.transaction():
        undone = engine.dialect.mark
        raise LookupError

    assert not was_committed(engine, undone)
    assert all(was_committed(engine, mark) for mark in marks)


def test_many_that_write_at_once_are_all_known(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = range(PLACES // 2)
        marks = list(pool.map(lambda number: marked(engine, str(number)), numbers))

    assert all(was_committed(engine, mark) for mark in marks)


def test_whoever_asks_of_a_transaction_waits_for_its_end(engine: Engine) -> None:
    asked = Engine.connect(databases.service(databases.NAME).url_like(engine))
    with ThreadPoolExecutor(1) as pool:
        with engine.transaction():
            answer = pool.submit(was_committed, asked, engine.dialect.mark)
            with pytest.raises(TimeoutError):
                answer.result(0.5)

        assert answer.result(60)
    asked.close()


def cut_others(engine: Engine) -> None:
    """End all connections to a database but one, which ends itself.

    They are gone when this returns: the servers end them a moment after they say so,
    which may be in the middle of what somebody does with one of them.
    """
    other = Engine.connect(databases.service(databases.NAME).url_like(engine))
    if databases.NAME == "postgresql":
        other.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    else:
        own = other.rows(
            "SELECT id FROM information_schema.processlist"
            " WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for (number,) in own:
            other.rows(f"KILL CONNECTION {number}")
    assert eventually(lambda: databases.others(other) == 0, 60)
    other.close()


def test_no_more_connections_than_configured(engine: Engine) -> None:
    limits = PoolLimits(size=1, overflow=1, timeout_s=0.2)
    small = Engine.connect(
        databases.service(databases.NAME).url_like(engine), limits=limits
    )
    together, go_on = threading.Barrier(3), threading.Event()

    def hold() -> None:
        with small._borrowed():
            together.wait(120)
            go_on.wait(120)

    threads = [threading.Thread(target=hold) for _ in range(2)]
    for thread in threads:
        thread.start()
    together.wait(120)
    with pytest.raises(StoreUnavailable):
        small.rows("SELECT 1")
    go_on.set()
    for thread in threads:
        thread.join(120)

    assert small.rows("SELECT 1") == [(1,)]
    small.close()


RACER = """
import sys
from imagereg.approved import ApprovedImage
from imagereg.db.agreement import find_disagreements
from imagereg.db.drift import find_drift
from imagereg.db.engine import Engine
from imagereg.db.pool import PoolLimits
from imagereg.db.schema import prepare
from imagereg.errors import Invalid, StoreUnavailable
from imagereg.db.images import ImageRepository
from imagereg.db.usage import UsageRepository
from tests.db.conformance import an_image

class Full(Exception):
    pass

engine = Engine.connect(sys.argv[1])
images, usage = ImageRepository(engine), UsageRepository(engine)

def check():
    if usage.of("p").images >= int(sys.argv[2]):
        raise Full

made = 0
for _ in range(int(sys.argv[2])):
    try:
        images.add(ApprovedImage(an_image(owner="p")), check)
    except Full:
        break
    made += 1
print(made)
"""


def test_processes_that_race_never_exceed_a_quota_together(engine: Engine) -> None:
    url = databases.service(databases.NAME).url_like(engine)
    quota = 40
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, url, str(quota)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]

    made = [int(racer.communicate(timeout=300)[0]) for racer in racers]

    assert sum(made) == quota
    assert engine.rows("SELECT COUNT(*) FROM images") == [(quota,)]


def test_a_database_that_somebody_has_open_is_given_to_nobody_else() -> None:
    server = databases.service(databases.NAME)
    first, second = f"/{uuid4()}", f"/{uuid4()}"
    url = databases.connection(first)
    with databases.opened(url) as engine:
        engine.check()
        server.give_back([first])

        assert databases.connection(second) != url

    def is_free() -> bool:
        server.look_again()
        return databases.connection(f"/{uuid4()}") == url

    assert eventually(is_free)
