"""`imagereg db check`: the schema that is there against that of a fresh database.

Indexes and triggers can be made anew from what they are about, and are, if that is
wanted; columns and tables hold what nothing else knows.  Tables and indexes of other
names are the operator's own business.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from imagereg.db.engine import Engine
from imagereg.db.flaws import Advice, Flaw
from imagereg.db.live import Part, PartKind, parts
from imagereg.db.schema import LATER, additions, create, latest, version

#: What a statement makes.
_MADE = re.compile(r"CREATE (UNIQUE )?(INDEX|TRIGGER) [\"`]?(?P<name>\w+)")

#: What holds rows; anything else is made from these alone.
_HOLDING = frozenset({PartKind.TABLE, PartKind.COLUMN})


def find_drift(engine: Engine, *, fix: bool = False) -> Iterator[Flaw]:
    """Yield where the schema is not that of a fresh database, mended if wanted.

    A database of another version is told as such, and not compared.
    """
    present = version(engine)
    if present != latest():
        yield _of_version(present)
        return
    yield from _damage(engine)
    there, wanted = parts(engine), fresh_parts(engine)
    lost = {part for part in wanted if part.kind in _HOLDING and part not in there}
    without_table = {part.table for part in lost if part.kind is PartKind.TABLE}
    damaged = {part.table for part in lost}
    for part in sorted(wanted):
        if part.kind is not PartKind.TABLE and part.table in without_table:
            continue
        if there.get(part) == wanted[part]:
            continue
        flaw = _compared(part, there.get(part), wanted[part])
        if fix and part.kind not in _HOLDING and part.table not in damaged:
            _remake(engine, part, is_there=part in there)
            flaw = replace(flaw, fixed=True)
        yield flaw
    yield from _strangers(there, wanted)


def fresh_parts(engine: Engine) -> Mapping[Part, str]:
    """Return the parts of a database of this kind that was made just now.

    Raises:
        ConfigurationError: the account may make none.
    """
    with engine.scratch() as empty:
        create(empty)
        return parts(empty)


def _of_version(present: int) -> Flaw:
    said = f"the schema has version {present}, this program needs {latest()}"
    return Flaw(said, Advice.NEWER if present > latest() else Advice.UPGRADE)


def _damage(engine: Engine) -> Iterator[Flaw]:
    """Yield what is broken in the file itself, and not in what it says."""
    for said in engine.damage():
        yield Flaw(f"the file is damaged: {said}", Advice.RESTORE)


def _compared(part: Part, found: str | None, wanted: str) -> Flaw:
    advice = Advice.RESTORE if part.kind in _HOLDING else Advice.FIX
    if found is None:
        return Flaw(f"{part} is missing", advice)
    return Flaw(f"{part} is `{found}` and should be `{wanted}`", advice)


def _remake(engine: Engine, part: Part, *, is_there: bool) -> None:
    """Make an index or a trigger, and the functions that triggers call."""
    with engine.schema_turn():
        if is_there:
            engine.execute(engine.dialect.drop(part.kind, part.table, part.name))
        for change in LATER:
            if change.part == part:
                change.make(engine)
        for statement in additions(engine):
            made = _MADE.match(statement)
            if statement.startswith("CREATE OR REPLACE FUNCTION") or (
                made is not None and made["name"] == part.name
            ):
                engine.execute(statement)


def _strangers(there: Mapping[Part, str], wanted: Mapping[Part, str]) -> Iterator[Flaw]:
    """Yield what stands in our tables, is not ours, and meddles with what we write."""
    ours = {part.table for part in wanted}
    for part in sorted(there.keys() - wanted.keys()):
        if part.table in ours and part.kind in (PartKind.COLUMN, PartKind.TRIGGER):
            yield Flaw(f"{part} is not of this program", Advice.REMOVE)
