"""What PostgreSQL and MariaDB do for each variant of a list, and that it stays small.

Counted are the rows that a server says it has read, not the time that it took.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from imagereg.db.engine import Engine, Row
from imagereg.db.images import ImageRepository
from imagereg.db.list_sql import RARE
from imagereg.db.listing import ListQuery
from imagereg.db.words import SORT_KEYS
from tests import databases
from tests.bench.bench_lists import PROJECT, by, filters, middle_of, seed

pytestmark = pytest.mark.skipif(
    databases.NAME == "sqlite",
    reason="`.ci/run` runs it with IMAGEREG_TEST_DATABASE=postgresql, then mariadb",
)

#: More than all that a page may take, so that reading a table whole shows.
IMAGES = 6000

#: The probes, each of which ends after so many, and what a page takes besides.
MOST = 4 * RARE

#: What a page of this many images takes beside them: their properties and tags.
LIMIT = 20

WHO = {
    "project": ListQuery(PROJECT, is_admin=False, limit=LIMIT),
    "no project": ListQuery(None, is_admin=False, limit=LIMIT),
    "admin": ListQuery(PROJECT, is_admin=True, limit=LIMIT),
}

#: Tables that grow with the registry.
GROWING = {"images", "image_shares", "image_properties", "image_tags", "image_members"}


@dataclass(frozen=True)
class Read:
    """What a server read of one table, or of an intermediate result.

    Attributes:
        whole: nothing narrowed what was read.
    """

    table: str
    rows: float
    whole: bool


@dataclass(frozen=True)
class Registry:
    """A database whose statements can be watched."""

    engine: Engine
    images: ImageRepository

    def reads(self, query: ListQuery, patch: pytest.MonkeyPatch) -> list[Read]:
        """Return what is read for a page."""
        asked: list[tuple[str, object]] = []
        rows = Engine.rows

        def watch(self: Engine, sql: str, parameters: object = ()) -> list[Row]:
            asked.append((sql, parameters))
            return rows(self, sql, parameters)  # type: ignore[arg-type] # handed on

        with patch.context() as patched:
            patched.setattr(Engine, "rows", watch)
            self.images.page(query)
        return [each for sql, values in asked for each in self._reads(sql, values)]

    def _reads(self, sql: str, parameters: object) -> Iterator[Read]:
        if databases.NAME == "postgresql":
            words = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)"
            yield from _of_postgresql(self._explained(words, sql, parameters))
        else:
            document = self._explained("ANALYZE FORMAT=JSON", sql, parameters)
            yield from _of_mariadb(document)

    def _explained(self, words: str, sql: str, parameters: object) -> object:
        ((text,),) = self.engine.rows(f"{words} {sql}", parameters)  # type: ignore[arg-type] # as it was asked
        return json.loads(text) if isinstance(text, str) else text


def _of_postgresql(plan: object) -> Iterator[Read]:
    """Yield the scans of a plan."""
    if isinstance(plan, list):
        for each in plan:
            yield from _of_postgresql(each)
    if not isinstance(plan, dict):
        return
    if "Scan" in plan.get("Node Type", "") and "Relation Name" in plan:
        dropped = plan.get("Rows Removed by Filter", 0)
        dropped += plan.get("Rows Removed by Index Recheck", 0)
        rows = (plan["Actual Rows"] + dropped) * plan["Actual Loops"]
        aimed = "Bitmap" in plan["Node Type"] or "Index Cond" in plan
        yield Read(plan["Alias"], rows, not aimed)
    for each in plan.values():
        yield from _of_postgresql(each)


def _of_mariadb(plan: object) -> Iterator[Read]:
    """Yield the tables of a plan."""
    if isinstance(plan, list):
        for each in plan:
            yield from _of_mariadb(each)
    if not isinstance(plan, dict):
        return
    if "table_name" in plan and "access_type" in plan:
        rows = float(plan.get("r_rows") or 0) * float(plan.get("r_loops") or 0)
        whole = plan["access_type"] in ("ALL", "index")
        yield Read(str(plan["table_name"]), rows, whole)
    for each in plan.values():
        yield from _of_mariadb(each)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Yield a database of many images, whose statistics are up to date.

    PostgreSQL reads a small table whole although an index would serve, which it may
    not here: the tables of operators are not small.
    """
    url = databases.connection(tmp_path_factory.mktemp("plans") / "listed.sqlite")
    with databases.opened(url) as engine:
        seed(engine, IMAGES)
        tables = ", ".join(sorted(GROWING))
        with engine.schema_turn():
            if databases.NAME == "mariadb":
                # All pages, not twenty by chance, on which plans would depend.
                pages = "innodb_stats_persistent_sample_pages"
                engine.execute(f"SET GLOBAL {pages} = 100000")
                engine.execute(f"ANALYZE TABLE {tables}")
            else:
                engine.execute(f"ANALYZE {tables}")
                _configure(engine, "SET {} = off")
    with databases.opened(url) as engine:
        yield Registry(engine, ImageRepository(engine))
        if databases.NAME == "postgresql":
            with engine.schema_turn():
                _configure(engine, "RESET {}")


def _configure(engine: Engine, change: str) -> None:
    # What is forbidden costs so much that every statement would be compiled.
    ways = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_sort")
    for way in (*ways, "jit"):
        words = change.format(way)
        engine.execute(f"ALTER DATABASE {engine.peewee.database} {words}")


def faults(reads: list[Read], most: int) -> list[object]:
    """Return tables that were read whole, and how much was read if it was too much.

    Results between two steps are not counted: they are as long as what was read.
    """
    stored = [each for each in reads if not each.table.startswith("<")]
    whole = [each for each in stored if each.whole and each.rows > 2 * LIMIT]
    total = sum(each.rows for each in stored)
    return [*whole, *([total] if total > most else [])]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("key", SORT_KEYS)
def test_a_page_in_any_order_reads_little_wherever_it_is(
    registry: Registry, who: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[object] = []
    for ascending in (True, False):
        first = replace(WHO[who], sort=by(key, ascending=ascending))
        middle = middle_of(registry.engine, registry.images, first)
        for query in (first, replace(first, marker=middle)):
            reads = registry.reads(query, monkeypatch)
            wrong += [(ascending, query is first, f) for f in faults(reads, RARE)]

    assert wrong == []


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", dict(filters(IMAGES)))
def test_no_filter_reads_a_whole_table(
    registry: Registry, who: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = replace(WHO[who], **dict(filters(IMAGES))[name])  # type: ignore[arg-type] # its own fields

    assert faults(registry.reads(query, monkeypatch), MOST) == []
