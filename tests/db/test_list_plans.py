"""What SQLite does for each variant of a list, and that it does not grow.

Plans are read with and without statistics, because operators run ANALYZE or do not;
steps are those of SQLite's machine, which no load of the computer changes.
"""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from imagereg.db.engine import Engine, Row
from imagereg.db.images import ImageRepository
from imagereg.db.listing import Condition, ListQuery
from imagereg.db.schema import prepare
from imagereg.db.words import SORT_KEYS
from tests.bench.bench_lists import PROJECT, by, cases, filters, middle_of, seed

FEW, MANY = 1000, 8000

#: Reading a table or an index from end to end; reading what a subquery found is none.
WHOLE = re.compile(r"SCAN (i|h|m|x|t|p|image\w*)\b")

#: Reading images of which some are to be in the page.
BRANCH = re.compile(r"(SCAN|SEARCH) i\b")

WHO = {
    "project": ListQuery(PROJECT, is_admin=False, limit=20),
    "stranger": ListQuery("nobody", is_admin=False, limit=20),
    "no project": ListQuery(None, is_admin=False, limit=20),
    "admin": ListQuery(PROJECT, is_admin=True, limit=20),
}
VISIBILITIES = (None, "all", "public", "community", "shared", "private")


@dataclass(frozen=True)
class Registry:
    """A database whose statements can be watched."""

    engine: Engine
    images: ImageRepository
    size: int

    def steps(self, query: ListQuery) -> int:
        """Return how many hundreds of steps SQLite takes for a page."""
        taken = 0

        def count() -> None:
            nonlocal taken
            taken += 1

        connection = self.engine.peewee.connection()  # type: ignore[no-untyped-call] # Peewee leaves it untyped
        self.images.page(query)
        connection.set_progress_handler(count, 100)
        self.images.page(query)
        connection.set_progress_handler(None, 100)
        return taken

    def plans(self, query: ListQuery, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Return the steps of the plan of each statement that a page takes."""
        asked: list[tuple[str, object]] = []
        rows = Engine.rows

        def watch(self: Engine, sql: str, parameters: object = ()) -> list[Row]:
            asked.append((sql, parameters))
            return rows(self, sql, parameters)  # type: ignore[arg-type] # handed on

        with monkeypatch.context() as patched:
            patched.setattr(Engine, "rows", watch)
            self.images.page(query)
        found: list[str] = []
        for sql, parameters in asked:
            found += self._plan(sql, parameters)
        return found

    def _plan(self, sql: str, parameters: object) -> Iterator[str]:
        """Yield what is done, and where what a branch reads is sorted."""
        plan = self.engine.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)  # type: ignore[arg-type] # as it was asked
        walked = {at for _, at, _, text in plan if BRANCH.match(str(text))}
        for _, parent, _, text in plan:
            # The images of the page that was found, which is the root, are sorted.
            branch = "branch: " if parent and parent in walked else ""
            yield f"{branch}{text}"


def registry(folder: Path, size: int) -> Registry:
    """Return a database of so many images."""
    engine = Engine.connect(f"sqlite:///{folder}/{size}.sqlite", synchronous=False)
    prepare(engine)
    seed(engine, size)
    return Registry(engine, ImageRepository(engine), size)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Yield a database of few images."""
    made = registry(tmp_path_factory.mktemp("few"), FEW)
    yield made
    made.engine.close()


@pytest.fixture(scope="module", params=["no statistics", "statistics"])
def many(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    """Yield a database of many images, with and without statistics."""
    made = registry(tmp_path_factory.mktemp("many"), MANY)
    if request.param == "statistics":
        made.engine.execute("ANALYZE")
        made.engine.close()
    yield made
    made.engine.close()


def sorts() -> Iterator[tuple[tuple[str, bool], ...]]:
    """Yield each order by one key."""
    for key, ascending in itertools.product(SORT_KEYS, (True, False)):
        yield by(key, ascending=ascending)


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("hidden", [False, True])
def test_every_order_walks_indexes_and_sorts_no_branch(
    many: Registry,
    who: str,
    visibility: str | None,
    hidden: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = replace(WHO[who], visibility=visibility, os_hidden=hidden)
    wrong: list[object] = []
    for sort in sorts():
        query = replace(base, sort=sort)
        for marker in (None, middle_of(many.engine, many.images, query)):
            plan = many.plans(replace(query, marker=marker), monkeypatch)
            wrong += [(sort, bool(marker), step) for step in plan if bad_walk(step)]

    assert wrong == []


def bad_walk(step: str) -> bool:
    """Return whether a step of a plan reads a table whole, or sorts one branch."""
    sorted_branch = "branch: USE TEMP B-TREE" in step
    return sorted_branch or bool(WHOLE.search(step))


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", dict(filters(MANY)))
def test_no_filter_reads_a_whole_table(
    many: Registry, who: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrowed = replace(WHO[who], **dict(filters(MANY))[name])  # type: ignore[arg-type] # its own fields
    wrong: list[object] = []
    for sort in sorts():
        query = replace(narrowed, sort=sort)
        for marker in (None, middle_of(many.engine, many.images, query)):
            plan = many.plans(replace(query, marker=marker), monkeypatch)
            wrong += [(sort, step) for step in plan if WHOLE.search(step)]

    assert wrong == []


@pytest.mark.parametrize(
    "condition",
    [
        Condition("protected", "=", (False,)),
        Condition("min_disk", ">=", (1,)),
        Condition("checksum", "=", ("0" * 32,)),
        Condition("os_hash_value", "=", ("0" * 128,)),
        Condition("updated_at_us", "<>", (1,)),
    ],
)
@pytest.mark.parametrize("who", WHO)
def test_filters_without_an_index_stay_within_what_is_visible(
    many: Registry, who: str, condition: Condition, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = replace(WHO[who], conditions=(condition,))

    plan = many.plans(query, monkeypatch)

    assert [step for step in plan if WHOLE.search(step)] == []


@pytest.mark.long
def test_an_order_by_several_keys_stays_within_what_is_visible(
    many: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong: list[object] = []
    ways = itertools.product((True, False), repeat=2)
    for (one, two), (up, down) in itertools.product(
        itertools.permutations([key for key in SORT_KEYS if key != "id"], 2), ways
    ):
        sort = ((one, up), (two, down), ("id", False))
        for base in WHO.values():
            query = replace(base, sort=sort)
            marker = middle_of(many.engine, many.images, query)
            plan = many.plans(replace(query, marker=marker), monkeypatch)
            wrong += [(sort, step) for step in plan if WHOLE.search(step)]

    assert wrong == []


def test_a_page_takes_as_many_steps_however_many_images_there_are(
    few: Registry, many: Registry
) -> None:
    grown: list[object] = []
    small = {name: (query, deep) for name, query, deep in cases(FEW)}
    for name, query, deep in cases(MANY):
        steps = []
        asked = ((few, small[name][0]), (many, query))
        for registry, whole in asked:
            short = replace(whole, limit=20)
            if deep:
                marker = middle_of(registry.engine, registry.images, short)
                short = replace(short, marker=marker)
            steps.append(registry.steps(short))
        if steps[1] > 2 * steps[0] + 5:
            grown.append((name, *steps))

    assert grown == []
