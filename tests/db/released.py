"""Databases as released versions made them, with rows in every table.

`schema-N.sqlite.sql` is a dump, and `schema-N.answers.json` what the program of that
time answered from it, both with ``{dir}`` for the directory of the registry.  Neither
ever changes.
"""

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from imagereg.db.engine import Engine
from imagereg.db.schema import prepare
from tests import databases

HERE = Path(__file__).with_name("released")

#: Versions of which there is a dump.
VERSIONS = tuple(
    sorted(int(path.name.split("-")[1].split(".")[0]) for path in HERE.glob("*.sql"))
)


@dataclass(frozen=True)
class Recorded:
    """One answer of a released version.

    Attributes:
        caller: ``admin``, ``alice`` of ``project-a`` or ``bob`` of ``project-b``.
        document: the body, None if it was not JSON.
    """

    caller: str
    path: str
    status: int
    document: Mapping[str, Any] | None


def restore(number: int, where: Path) -> Path:
    """Write the database of a version below ``where``, and return its file."""
    path = where / "state" / "registry.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (HERE / f"schema-{number}.sqlite.sql").read_text()
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = off")
    database.executescript(text.replace("{dir}", str(where)))
    database.close()
    return path


def restored(number: int, where: Path) -> Engine:
    """Return an engine for the database of a version, written below ``where``."""
    return Engine.connect(f"sqlite:///{restore(number, where)}", synchronous=False)


def answers(number: int, where: Path) -> Sequence[Recorded]:
    """Return what a version answered from its database."""
    text = (HERE / f"schema-{number}.answers.json").read_text()
    found = json.loads(text.replace("{dir}", str(where)))
    return [Recorded(**each) for each in found]


#: Columns that hold truth values, which not every engine takes for numbers.
_TRUTHS = frozenset({"protected", "os_hidden", "typed", "kept", "whole", "void"})

#: Tables that the engine fills itself.
_FILLED = frozenset({"image_shares", "schema_versions"})


@contextlib.contextmanager
def filled(where: Path, *, own: bool = False) -> Iterator[Engine]:
    """Yield a database of the present, on the engine under test, full of rows.

    On a server it has the rows of the newest dump; its tables serve other tests
    again, unless one wants its ``own``.
    """
    number = VERSIONS[-1]
    if databases.NAME == "sqlite":
        engine = restored(number, where)
        prepare(engine)
    else:
        engine = Engine.connect(_empty() if own else _shared())
        prepare(engine)
        with tempfile.TemporaryDirectory() as folder:
            _copy(restore(number, Path(folder)), engine)
    yield engine
    engine.close()


def _empty() -> str:
    service = databases.service(databases.NAME)
    return service.empty(f"filled_{uuid4().hex[:12]}")


@cache
def _shared() -> str:
    return _empty()


def _copy(path: Path, engine: Engine) -> None:
    database = sqlite3.connect(path)
    tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    with engine.transaction():
        names_of = {name for (name,) in tables} - _FILLED
        for table in names_of:
            engine.execute(f"DELETE FROM {table}")
        engine.execute("DELETE FROM image_shares")
        # Images come first: triggers of what hangs on them look for them.
        for table in sorted(names_of, key=lambda name: (name != "images", name)):
            if table.startswith("sqlite_"):
                continue
            cursor = database.execute(f"SELECT * FROM {table}")
            names = [each[0] for each in cursor.description]
            rows = [dict(zip(names, row, strict=True)) for row in cursor]
            for row in rows:
                row |= {name: bool(row[name]) for name in _TRUTHS & row.keys()}
                if isinstance(row.get("id"), int):
                    # Numbers of rows are the engine's to give.
                    del row["id"]
            engine.insert(table, rows)
    database.close()


def change(engine: Engine, sql: str, *parameters: object) -> None:
    """Run one statement behind the back of the program."""
    with engine.transaction():
        engine.execute(sql, parameters)


def insert(engine: Engine, table: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows behind the back of the program."""
    with engine.transaction():
        engine.insert(table, rows)
