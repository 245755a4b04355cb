"""Upgrades: from every released schema, all at once, and through every interruption."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copy

import pytest

from imagereg.db.engine import Engine
from imagereg.db.live import Part, PartKind, parts
from imagereg.db.schema import latest, missing, prepare, upgrade, version
from imagereg.db.steps import FIRST, STEPS, Change, Step, index_of_text
from imagereg.errors import ConfigurationError
from tests.db.released import VERSIONS, answers, restore, restored
from tests.registry import CACHE, SEVERAL_STORES, LocalRegistry, merged
from tests.wire import as_

#: The registry whose answers were recorded.
OF_THE_TIME = merged(
    SEVERAL_STORES,
    CACHE,
    {
        "DEFAULT": {
            "delayed_delete": "true",
            "enabled_import_methods": "[glance-direct,copy-image]",
        },
        "imagereg": {"run_jobs": "false"},
    },
)

DECLARED = {"schema-image.json": '{"hw_count": {"type": "integer"}}'}


def dumped(path: Path) -> list[str]:
    """Return all that is in a database, but for when its schema was upgraded."""
    database = sqlite3.connect(path)
    lines = [line for line in database.iterdump() if "schema_versions" not in line]
    database.close()
    return lines


def fresh(where: Path) -> Engine:
    """Return an engine for a database that the present program made."""
    engine = Engine.connect(f"sqlite:///{where}/fresh.sqlite", synchronous=False)
    prepare(engine)
    return engine


def test_there_is_a_dump_of_every_released_version() -> None:
    assert set(VERSIONS) >= set(range(FIRST, latest()))


@pytest.mark.parametrize("number", VERSIONS)
def test_an_upgraded_schema_is_that_of_a_fresh_database(
    number: int, tmp_path: Path
) -> None:
    old, new = restored(number, tmp_path), fresh(tmp_path)

    upgrade(old)

    assert version(old) == version(new) == latest()
    assert parts(old) == parts(new)
    old.close()
    new.close()


@pytest.mark.parametrize("number", VERSIONS)
def test_dumps_have_rows_in_every_table(number: int, tmp_path: Path) -> None:
    engine = restored(number, tmp_path)
    tables = [each.name for each in parts(engine) if each.kind is PartKind.TABLE]

    empty = [each for each in tables if not engine.rows(f"SELECT 1 FROM {each}")]

    assert len(tables) > 20
    assert empty == []
    engine.close()


@pytest.mark.parametrize("number", VERSIONS)
def test_an_upgraded_database_gives_the_same_answers(
    number: int, tmp_path: Path
) -> None:
    restore(number, tmp_path)
    registry = LocalRegistry(tmp_path, OF_THE_TIME, files=DECLARED)
    callers = {
        "admin": registry.admin,
        "alice": registry.client(as_()),
        "bob": registry.client(as_("bob", "project-b")),
    }

    for each in answers(number, tmp_path):
        answer = callers[each.caller].request("GET", each.path)
        assert (each.path, answer.status) == (each.path, each.status)
        if each.document is not None:
            assert answer.json() == each.document
    registry.close()


def test_what_is_to_be_done_is_told(tmp_path: Path) -> None:
    engine = restored(FIRST, tmp_path)
    expected = [*missing(FIRST)]
    told: list[tuple[int, str]] = []

    upgrade(engine, lambda *step: told.append(step))

    assert told == expected
    assert [number for number, _ in told] == list(range(FIRST + 1, latest() + 1))
    assert missing(latest()) == ()
    engine.close()


def test_an_empty_database_is_made_in_one_step(tmp_path: Path) -> None:
    engine = Engine.connect(f"sqlite:///{tmp_path}/new.sqlite", synchronous=False)
    told: list[int] = []

    upgrade(engine, lambda number, _: told.append(number))
    upgrade(engine, lambda number, _: told.append(number))

    assert told == [latest()]
    assert [number for number, _ in missing(0)] == [latest()]
    engine.close()


# Who may.


def test_without_leave_nothing_is_upgraded(tmp_path: Path) -> None:
    engine = restored(FIRST, tmp_path)
    before = parts(engine)

    with pytest.raises(ConfigurationError, match="run `imagereg db upgrade`"):
        prepare(engine, upgrades=False)

    assert parts(engine) == before
    upgrade(engine)
    prepare(engine, upgrades=False)
    engine.close()


def test_without_leave_nothing_is_made(tmp_path: Path) -> None:
    engine = Engine.connect(f"sqlite:///{tmp_path}/new.sqlite", synchronous=False)

    with pytest.raises(ConfigurationError, match="version 0"):
        prepare(engine, upgrades=False)

    assert parts(engine) == {}
    engine.close()


@pytest.mark.parametrize("upgrades", [True, False])
def test_a_database_of_the_future_is_refused(tmp_path: Path, upgrades: bool) -> None:
    engine = fresh(tmp_path)
    engine.insert("schema_versions", [{"version": latest() + 1, "applied_at_us": 0}])

    with pytest.raises(ConfigurationError, match="a newer version of it was here"):
        prepare(engine, upgrades=upgrades)
    engine.close()


def test_tables_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    engine = Engine.connect(f"sqlite:///{tmp_path}/theirs.sqlite", synchronous=False)
    engine.rows("SELECT 1")
    engine.execute("CREATE TABLE images (id INTEGER PRIMARY KEY)")
    before = parts(engine)

    with pytest.raises(ConfigurationError, match="did not make"):
        prepare(engine)

    assert parts(engine) == before
    engine.close()


# Interruptions.

#: Steps of every sort: a table, a column, what fills it in, an index, a trigger.
SAMPLE = (
    Step(
        "notes",
        (
            Change(
                lambda engine: engine.execute(
                    "CREATE TABLE notes (image_id VARCHAR(36) PRIMARY KEY, text TEXT)"
                ),
                Part(PartKind.TABLE, "notes", "notes"),
            ),
            index_of_text("notes", "notes_text", "text"),
            Change(
                lambda engine: engine.execute(
                    "INSERT INTO notes SELECT id, name FROM images i"
                    " WHERE NOT EXISTS (SELECT 1 FROM notes n WHERE n.image_id = i.id)"
                )
            ),
        ),
    ),
    Step(
        "tags by name alone",
        (
            index_of_text("image_tags", "image_tags_alone", "tag"),
            Change(
                lambda engine: engine.execute(
                    "CREATE TRIGGER notes_gone AFTER DELETE ON images BEGIN"
                    " DELETE FROM notes WHERE image_id = OLD.id; END"
                ),
                Part(PartKind.TRIGGER, "images", "notes_gone"),
            ),
        ),
    ),
)


class Killed(BaseException):
    """The process dies here."""


class Mortal(Engine):
    """An engine that dies at one of the writing statements, for tests.

    Attributes:
        keeps: whether what was done before stays, as where changes of tables cannot
            be taken back.
    """

    keeps = False

    @classmethod
    def of(cls, path: Path, left: int, *, keeps: bool) -> "Mortal":
        """Return an engine that dies after ``left`` such statements.

        What a crash would leave then is beside ``path``, with the ending `.crashed`.
        """
        engine = cls.connect(f"sqlite:///{path}", synchronous=False)
        assert isinstance(engine, cls)
        engine.keeps = keeps
        alive = iter(range(left))
        run: Callable[..., object] = engine.peewee.execute_sql

        def execute_sql(sql: str, *rest: object) -> object:
            writes = sql.startswith(("CREATE", "INSERT", "UPDATE", "DELETE", "DROP"))
            if writes and next(alive, None) is None:
                for ending in ("", "-wal"):
                    copy(f"{path}{ending}", f"{path}.crashed{ending}")
                raise Killed
            return run(sql, *rest)

        engine.peewee.execute_sql = execute_sql  # type: ignore[method-assign] # below all that writes
        return engine

    @contextmanager
    def schema_turn(self) -> Iterator[None]:
        if not self.keeps:
            with super().schema_turn():
                yield
            return
        self.rows("SELECT 1")
        yield


@pytest.mark.parametrize("keeps", [False, True])
def test_an_upgrade_that_was_cut_off_anywhere_goes_on(
    keeps: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = (*STEPS, *SAMPLE)
    monkeypatch.setattr("imagereg.db.schema.STEPS", steps)
    whole = tmp_path / "whole"
    engine = restored(FIRST, whole)
    upgrade(engine)
    engine.close()
    expected = dumped(whole / "state" / "registry.sqlite")
    expected = [line.replace(str(whole), "") for line in expected]

    for number in range(100):
        where = tmp_path / f"cut-{number}"
        path = restore(FIRST, where)
        mortal = Mortal.of(path, number, keeps=keeps)
        try:
            upgrade(mortal)
        except Killed:
            mortal.close()
        else:
            break
        path = path.with_name(f"{path.name}.crashed")
        again = Engine.connect(f"sqlite:///{path}", synchronous=False)
        upgrade(again)
        again.close()
        found = [line.replace(str(where), "") for line in dumped(path)]
        assert found == expected
    assert number >= sum(len(step.changes) for step in steps)
    mortal.close()


def test_tables_that_were_never_finished_are_made_anew(tmp_path: Path) -> None:
    whole = fresh(tmp_path)
    expected = parts(whole)
    whole.close()

    for number in range(0, 80, 7):
        path = tmp_path / f"cut-{number}.sqlite"
        mortal = Mortal.of(path, number, keeps=True)
        with pytest.raises(Killed):
            prepare(mortal)
        mortal.close()
        again = Engine.connect(f"sqlite:///{path}.crashed", synchronous=False)
        assert version(again) == 0
        prepare(again)
        assert parts(again) == expected
        assert version(again) == latest()
        again.close()


# Several at once.

UPGRADER = """
import sys
from imagereg.db.engine import Engine
from imagereg.db.schema import upgrade
engine = Engine.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
upgrade(engine, lambda number, title: print(number))
"""


def test_processes_that_start_at_once_upgrade_once(tmp_path: Path) -> None:
    path = restore(FIRST, tmp_path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADER, f"sqlite:///{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for _ in range(4)
    ]
    for each in processes:
        assert each.stdout is not None
        assert each.stdout.readline() == "ready\n"

    for each in processes:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    printed = [each.communicate(timeout=300)[0].split() for each in processes]

    assert [each.returncode for each in processes] == [0] * 4
    steps = [int(step) for each in printed for step in each]
    assert sorted(steps) == [step for step, _ in missing(FIRST)]
    engine = Engine.connect(f"sqlite:///{path}")
    assert engine.rows("SELECT MAX(version) FROM schema_versions") == [(latest(),)]
    engine.close()
