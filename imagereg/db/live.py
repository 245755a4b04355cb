"""What the database really has: tables, columns, indexes, triggers, by name."""

from collections.abc import Mapping
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
    """Return every part that the database has, with its definition."""
    return {
        Part(PartKind(kind), table, name): text
        for kind, table, name, text in engine.parts()
    }


def part_names(engine: Engine) -> frozenset[Part]:
    """Return tables, columns, indexes and triggers that the database has."""
    return frozenset(parts(engine))
