"""What the database really has: tables, columns, indexes, triggers, by name.

Source: the `sqlite_master` table and the pragmas about tables.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from imagereg.db.engine import Engine


class PartKind(StrEnum):
    """What a part of a schema is; the value is the word that is shown."""

    TABLE = "table"
    COLUMN = "column"
    INDEX = "index"
    TRIGGER = "trigger"


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One named part of a schema; a table is a part of itself."""

    kind: PartKind
    table: str
    name: str

    def __str__(self) -> str:
        if self.kind is PartKind.TABLE:
            return f"table {self.name}"
        return f"{self.kind} {self.name} of table {self.table}"


def parts(engine: Engine) -> Mapping[Part, str]:
    """Return every part that the database has, with its definition.

    Definitions are for comparison: the place of a column among the others is not in
    them, because a column that an upgrade adds comes last.
    """
    found: dict[Part, str] = {}
    rows = engine.rows(
        "SELECT type, tbl_name, name, sql FROM sqlite_master"
        " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
    )
    for kind, table, name, sql in rows:
        text = " ".join(str(sql).split())
        if kind == PartKind.TABLE:
            # Its columns tell the rest.
            text = "without rowid" if text.endswith("WITHOUT ROWID") else ""
            found.update(_columns(engine, str(name)))
        found[Part(PartKind(str(kind)), str(table), str(name))] = text
    return found


def part_names(engine: Engine) -> frozenset[Part]:
    """Return tables, indexes and triggers that the database has; not the columns."""
    rows = engine.rows(
        "SELECT type, tbl_name, name FROM sqlite_master"
        " WHERE type IN ('table', 'index', 'trigger')"
    )
    return frozenset(
        Part(PartKind(str(kind)), str(table), str(name)) for kind, table, name in rows
    )


def _columns(engine: Engine, table: str) -> Iterator[tuple[Part, str]]:
    rows = engine.rows(
        'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)',
        (table,),
    )
    for name, kind, notnull, default, key in rows:
        definition = f"{kind}{' NOT NULL' if notnull else ''}"
        if default is not None:
            definition += f" DEFAULT {default}"
        if key:
            definition += f", column {key} of the primary key"
        yield Part(PartKind.COLUMN, table, str(name)), definition
