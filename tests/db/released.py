"""Databases as released versions made them, with rows in every table.

`schema-N.sqlite.sql` is a dump, and `schema-N.answers.json` what the program of that
time answered from it, both with ``{dir}`` for the directory of the registry.  Neither
ever changes.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagereg.db.engine import Engine

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
