"""How many statements each route sends to the database, as a table that is kept true.

An administrator asks; the image has members, properties, tags and data.  What
triggers do is not counted, it is part of the statement that set them off.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from peewee import Database

from imagereg.api.dispatch import Route
from imagereg.api.routes import ROUTES
from tests.api.personas import ASKS, BUILT_IN, requests_to
from tests.registry import CACHE, SEVERAL_STORES, LocalRegistry, merged
from tests.wire import ADMIN

#: Statements that read, statements that write, transactions; then who takes so many.
TABLE = """
    0 0 0 * /
    0 0 0 * /versions
    0 0 0 * /v2
    0 0 0 GET /healthcheck
    0 0 0 GET /livez
    0 0 0 GET /readyz
    0 0 0 GET /metrics
    0 0 0 GET /openapi.json
    0 0 0 GET /v2/schemas/<path:name>
    0 0 0 GET /v2/info/import
    0 0 0 GET /v2/info/usage
    0 0 0 GET /v2/info/stores
    0 0 0 GET /v2/info/stores/detail
    1 2 1 POST /v2/images
    1 1 1 POST /v2/images: for another
    1 1 1 POST /v2/images: for nobody
    1 1 1 POST /v2/images: public
    1 1 1 POST /v2/images: community
    1 0 0 GET /v2/images
    1 0 0 GET /v2/images/<image_id>
    2 1 1 PATCH /v2/images/<image_id>
    1 0 0 PATCH /v2/images/<image_id>: nothing
    2 1 1 PATCH /v2/images/<image_id>: public
    2 1 1 PATCH /v2/images/<image_id>: community
    2 1 1 PATCH /v2/images/<image_id>: owner
    6 11 3 DELETE /v2/images/<image_id>
    7 7 2 PUT /v2/images/<image_id>/file
    3 0 0 GET /v2/images/<image_id>/file
    1 0 0 GET /v2/images/<image_id>/file: deactivated
    14 6 2 PUT /v2/images/<image_id>/stage
    14 5 2 PUT /v2/images/<image_id>/stage: range
    2 0 0 GET /v2/images/<image_id>/stage
    1 1 1 POST /v2/images/<image_id>/actions/deactivate
    1 1 1 POST /v2/images/<image_id>/actions/reactivate
    2 0 0 GET /v2/images/<image_id>/members
    3 1 1 POST /v2/images/<image_id>/members
    2 0 0 GET /v2/images/<image_id>/members/<member_id>
    2 1 1 PUT /v2/images/<image_id>/members/<member_id>
    1 1 1 DELETE /v2/images/<image_id>/members/<member_id>
    2 2 1 PUT /v2/images/<image_id>/tags/<tag>
    1 2 1 DELETE /v2/images/<image_id>/tags/<tag>
    6 4 1 POST /v2/images/<image_id>/import
    6 4 1 POST /v2/images/<image_id>/import: copy
    5 4 1 POST /v2/images/<image_id>/locations
    1 0 0 GET /v2/images/<image_id>/locations
    8 5 3 DELETE /v2/stores/<store_id>/<image_id>
    2 0 0 GET /v2/images/<image_id>/tasks
    1 0 0 GET /v2/tasks
    0 0 0 POST /v2/tasks
    1 0 0 GET /v2/tasks/<task_id>
    0 0 0 DELETE /v2/tasks/<task_id>
    1 0 0 GET /v2/cache
    1 1 1 DELETE /v2/cache
    1 0 0 PUT /v2/cache/<image_id>
    1 1 1 DELETE /v2/cache/<image_id>
    2 0 0 GET /v2/cache/nodes/<image_id>
    2 0 0 POST /v2/cache/clean
    1 0 0 POST /v2/cache/prune
    1 0 0 GET /v2/metadefs/namespaces
    0 1 1 POST /v2/metadefs/namespaces
    0 1 1 POST /v2/metadefs/namespaces: for another
    5 0 0 GET /v2/metadefs/namespaces/<namespace>
    1 1 1 PUT /v2/metadefs/namespaces/<namespace>
    2 5 1 DELETE /v2/metadefs/namespaces/<namespace>
    1 0 0 GET /v2/metadefs/resource_types
    2 0 0 GET /v2/metadefs/namespaces/<namespace>/resource_types
    3 2 1 POST /v2/metadefs/namespaces/<namespace>/resource_types
    2 1 1 DELETE /v2/metadefs/namespaces/<namespace>/resource_types/<resource_type>
    2 0 0 GET /v2/metadefs/namespaces/<namespace>/objects
    2 1 1 POST /v2/metadefs/namespaces/<namespace>/objects
    2 1 1 DELETE /v2/metadefs/namespaces/<namespace>/objects
    2 0 0 GET /v2/metadefs/namespaces/<namespace>/objects/<name>
    3 1 1 PUT /v2/metadefs/namespaces/<namespace>/objects/<name>
    2 1 1 DELETE /v2/metadefs/namespaces/<namespace>/objects/<name>
    2 0 0 GET /v2/metadefs/namespaces/<namespace>/properties
    2 1 1 POST /v2/metadefs/namespaces/<namespace>/properties
    2 1 1 DELETE /v2/metadefs/namespaces/<namespace>/properties
    2 0 0 GET /v2/metadefs/namespaces/<namespace>/properties/<name>
    2 1 1 PUT /v2/metadefs/namespaces/<namespace>/properties/<name>
    2 1 1 DELETE /v2/metadefs/namespaces/<namespace>/properties/<name>
    2 0 0 GET /v2/metadefs/namespaces/<namespace>/tags
    2 2 1 POST /v2/metadefs/namespaces/<namespace>/tags
    2 1 1 DELETE /v2/metadefs/namespaces/<namespace>/tags
    2 0 0 GET /v2/metadefs/namespaces/<namespace>/tags/<tag>
    2 1 1 POST /v2/metadefs/namespaces/<namespace>/tags/<tag>
    3 1 1 PUT /v2/metadefs/namespaces/<namespace>/tags/<tag>
    2 1 1 DELETE /v2/metadefs/namespaces/<namespace>/tags/<tag>
"""

KINDS = {"SELECT": "read"} | dict.fromkeys(("INSERT", "UPDATE", "DELETE"), "write")

REQUESTS = [
    pytest.param(route, name, id=name)
    for route in ROUTES
    for name in requests_to(route)
]


def parsed() -> dict[str, tuple[int, int, int]]:
    """Return the table: request -> reads, writes, transactions."""
    found: dict[str, tuple[int, int, int]] = {}
    for line in filter(None, map(str.strip, TABLE.splitlines())):
        reads, writes, transactions, name = line.split(maxsplit=3)
        found[name] = (int(reads), int(writes), int(transactions))
    return found


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry with several stores and a cache."""
    made = LocalRegistry(
        tmp_path_factory.mktemp("statements"), merged(SEVERAL_STORES, CACHE)
    )
    yield made
    made.close()


@contextmanager
def counted(registry: LocalRegistry) -> Iterator[Counter[str]]:
    """Count the statements of a block by what they do; not those of other threads."""
    mine = threading.get_ident()
    found: Counter[str] = Counter()
    kind: Any = type(registry.registry.engine.peewee)
    execute, begin = kind.execute_sql, kind.begin

    def note(self: Database, sql: str, *rest: object, **more: object) -> object:
        verb = sql.split(maxsplit=1)[0].upper()
        # Whose turn it is to write is a part of the beginning.
        if threading.get_ident() == mine and "write_turn" not in sql:
            found[KINDS.get(verb, verb)] += 1
        return execute(self, sql, *rest, **more)

    def note_begin(self: Database, *how: str) -> None:
        if threading.get_ident() == mine:
            found["begin"] += 1
        begin(self, *how)

    with (
        patch.object(kind, "execute_sql", note),
        patch.object(kind, "begin", note_begin),
    ):
        yield found


def test_every_request_stands_in_the_table() -> None:
    assert parsed().keys() == ASKS.keys()


@pytest.mark.parametrize(("route", "name"), REQUESTS)
def test_a_request_takes_so_many_statements(
    registry: LocalRegistry, route: Route, name: str
) -> None:
    kind = "shared" if "shared" in BUILT_IN[name] else next(iter(BUILT_IN[name]))
    ask = ASKS[name]
    ids = ask.prepare(registry, kind)

    with counted(registry) as found:
        answer = ask.send(registry, route, ADMIN, ids)

    assert answer.status == BUILT_IN[name][kind]["admin"]
    assert (found["read"], found["write"], found["begin"]) == parsed()[name]
