"""`imagereg db check`: do the rows agree with each other.

What is derived must be what its source says, and what hangs on something must have
it.  Each rule is one statement, and so a consistent look, however busy the database
is; mending decides anew, in a transaction, row by row in small batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagereg.db.derived import REPEATED, SHELF
from imagereg.db.engine import Engine
from imagereg.db.flaws import Advice, Flaw
from imagereg.db.models import HEAD

#: How many rows one transaction mends; others write in between.
BATCH = 100

#: How many rows are named as examples.
EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that must hold.

    Attributes:
        what: what is told of rows for which it does not.
        find: selects the keys of such rows.
        mend: statements that put one right, each with its key as the parameters;
            without any it takes a person.
    """

    what: str
    find: str
    mend: tuple[str, ...] = ()


def _same(one: str, other: str) -> str:
    """Return an expression that two values are the same, or both null."""
    return f"COALESCE({one} = {other}, {one} IS NULL AND {other} IS NULL)"


def _shelves() -> Iterator[Rule]:
    shelf = SHELF.replace("NEW.", "images.")
    yield Rule(
        "images on a wrong shelf, so that lists show or hide them wrongly",
        f"SELECT id FROM images WHERE shelf <> {shelf}",  # noqa: S608 - every part is written here
        (f"UPDATE images SET shelf = {shelf} WHERE id = ?",),  # noqa: S608 - as above
    )


def _shares() -> Iterator[Rule]:
    repeated = " AND ".join(_same(f"s.{name}", f"i.{name}") for name in REPEATED)
    columns = ", ".join(REPEATED)
    source = ", ".join(f"i.{name}" for name in REPEATED)
    pairs = "FROM image_members m JOIN images i ON i.id = m.image_id"
    gone = "DELETE FROM image_shares WHERE id = ? AND member_id = ?"
    yield Rule(
        "memberships that lists do not know, or know wrongly",
        f"SELECT m.image_id, m.member_id {pairs} LEFT JOIN image_shares s"
        " ON s.id = m.image_id AND s.member_id = m.member_id"
        f" WHERE s.id IS NULL OR NOT (s.member_status = m.status AND {repeated})",
        (
            gone,
            f"INSERT INTO image_shares (id, member_id, member_status, {columns})"
            f" SELECT m.image_id, m.member_id, m.status, {source} {pairs}"
            " WHERE m.image_id = ? AND m.member_id = ?",
        ),
    )
    there = f"EXISTS (SELECT 1 {pairs} WHERE m.image_id = s.id"
    yield Rule(
        "memberships that only lists know",
        "SELECT s.id, s.member_id FROM image_shares s"  # noqa: S608 - as above
        f" WHERE NOT {there} AND m.member_id = s.member_id)",
        (gone,),
    )


def _properties() -> Iterator[Rule]:
    for table, key in (("image_properties", "name"), ("image_tags", "tag")):
        yield Rule(
            f"rows of {table} with another age than their image",
            f"SELECT p.image_id, p.{key} FROM {table} p JOIN images i"  # noqa: S608 - as above
            " ON i.id = p.image_id WHERE p.created_at_us <> i.created_at_us",
            (
                f"UPDATE {table} SET created_at_us = (SELECT i.created_at_us"  # noqa: S608 - as above
                f" FROM images i WHERE i.id = {table}.image_id)"
                f" WHERE image_id = ? AND {key} = ?",
            ),
        )
    head = f"SUBSTR(value, 1, {HEAD})"
    # Both cut alike: SQLite's function ends at a null character.
    same = _same(f"SUBSTR(head, 1, {HEAD})", head)
    yield Rule(
        "properties that filters look for under another value",
        f"SELECT image_id, name FROM image_properties WHERE NOT {same}",  # noqa: S608 - as above
        (f"UPDATE image_properties SET head = {head} WHERE image_id = ? AND name = ?",),  # noqa: S608 - as above
    )


def _hanging() -> Iterator[Rule]:
    """Yield that what hangs on an image, a task or a namespace has it."""
    for table, keys, column, parent in (
        ("image_properties", "image_id, name", "image_id", "images"),
        ("image_tags", "image_id, tag", "image_id", "images"),
        ("image_members", "image_id, member_id", "image_id", "images"),
        ("pending_deletes", "image_id", "image_id", "images"),
        ("jobs", "task_id", "task_id", "tasks"),
        *(
            (f"metadef_{kind}", "namespace_id, name", "namespace_id", NAMESPACES)
            for kind in ("objects", "properties", "tags", "associations")
        ),
    ):
        lost = f"NOT EXISTS (SELECT 1 FROM {parent} o WHERE o.id = {table}.{column})"  # noqa: S608 - as above
        where = " AND ".join(f"{key} = ?" for key in keys.split(", "))
        yield Rule(
            f"rows of {table} that hang on nothing in {parent}",
            f"SELECT {keys} FROM {table} WHERE {lost}",  # noqa: S608 - as above
            (f"DELETE FROM {table} WHERE {where} AND {lost}",),  # noqa: S608 - as above
        )


NAMESPACES = "metadef_namespaces"

_NO_IMAGE = "NOT EXISTS (SELECT 1 FROM images i WHERE i.id = image_locations.image_id)"

#: Two statements, because a store has to give up the bytes.
_LOST_LOCATIONS = Rule(
    "locations of no image",
    f"SELECT id FROM image_locations WHERE {_NO_IMAGE}",  # noqa: S608 - as above
    (
        "INSERT INTO condemned_locations (image_id, url, store, since_us, kept)"  # noqa: S608 - as above
        " SELECT image_id, url, store, 0, FALSE FROM image_locations"
        f" WHERE id = ? AND {_NO_IMAGE} AND NOT EXISTS (SELECT 1 FROM image_locations o"
        " WHERE o.url = image_locations.url AND o.id <> image_locations.id)",
        f"DELETE FROM image_locations WHERE id = ? AND {_NO_IMAGE}",  # noqa: S608 - as above
    ),
)

_DELETIONS = (
    Rule(
        # The scrubber would delete them.
        "images that wait for their deletion and are in use",
        "SELECT p.image_id FROM pending_deletes p JOIN images i ON i.id = p.image_id"
        " WHERE i.status <> 'pending_delete'",
        (
            "DELETE FROM pending_deletes WHERE image_id = ? AND NOT EXISTS (SELECT 1"
            " FROM images i WHERE i.id = pending_deletes.image_id"
            " AND i.status = 'pending_delete')",
        ),
    ),
    Rule(
        "deleted images that the scrubber does not know",
        "SELECT i.id FROM images i WHERE i.status = 'pending_delete' AND NOT EXISTS"
        " (SELECT 1 FROM pending_deletes p WHERE p.image_id = i.id)",
        (
            "INSERT INTO pending_deletes (image_id, status, deleted_at_us)"
            " SELECT i.id, 'active', i.updated_at_us FROM images i WHERE i.id = ?"
            " AND i.status = 'pending_delete' AND NOT EXISTS"
            " (SELECT 1 FROM pending_deletes p WHERE p.image_id = i.id)",
        ),
    ),
    Rule(
        "images whose id belonged to one that was deleted",
        "SELECT i.id FROM images i JOIN image_tombstones t ON t.id = i.id",
    ),
)

RULES = (
    *_shelves(),
    *_properties(),
    *_hanging(),
    _LOST_LOCATIONS,
    *_shares(),
    *_DELETIONS,
)


def find_disagreements(engine: Engine, *, fix: bool = False) -> Iterator[Flaw]:
    """Yield each rule that does not hold, mended if wanted."""
    for rule in RULES:
        counted = engine.rows(f"SELECT COUNT(*) FROM ({rule.find}) AS found")  # noqa: S608 - as above
        count = int(str(counted[0][0]))
        if not count:
            continue
        rows = engine.rows(f"{rule.find} LIMIT {EXAMPLES}")
        named = ", ".join(" ".join(str(each) for each in row) for row in rows)
        what = f"{count} {rule.what}: {named}{', ...' if count > EXAMPLES else ''}"
        advice = Advice.FIX if rule.mend else Advice.RESTORE
        yield Flaw(what, advice, fixed=fix and _mend(engine, rule, count))


def _mend(engine: Engine, rule: Rule, count: int) -> bool:
    """Put right what a rule finds, and say whether it holds now."""
    for _ in range(0, count if rule.mend else 0, BATCH):
        with engine.transaction():
            for key in engine.rows(f"{rule.find} LIMIT {BATCH}"):
                for statement in rule.mend:
                    engine.execute(statement, key)
    return not engine.rows(f"{rule.find} LIMIT 1")
