"""What requests cost, counted: statements to the database and evaluated rules.

And what a start need not do.
"""

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.db.engine import Engine
from imagereg.policy.rules import RuleSet
from imagereg.protection.guard import Verdicts
from tests.registry import LocalRegistry, replace

SECTIONS = """
[^p1]
create = @
read = admin
update = admin
delete = admin
[.*]
create = @
read = @
update = @
delete = @
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry of 200 images with 20 properties each, and protections."""
    made = LocalRegistry(
        tmp_path_factory.mktemp("many"),
        {
            "DEFAULT": {
                "property_protection_file": "p.conf",
                "show_multiple_locations": "true",
            }
        },
        files={"p.conf": SECTIONS},
    )
    properties = {f"p{number}": "v" for number in range(20)}
    for number in range(200):
        made.client().create(tags=[f"t{number}"], **properties)
    yield made
    made.close()


@pytest.fixture
def statements(many: LocalRegistry, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows by each statement that is run."""
    found: list[str] = []
    execute, mine = Engine.execute, threading.get_ident()

    def count(self: Engine, sql: str, parameters: object = ()) -> object:
        # Threads of other tests may still be at work.
        if threading.get_ident() == mine:
            found.append(sql)
        return execute(self, sql, parameters)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(Engine, "execute", count)
    return found


@pytest.mark.parametrize("limit", [1, 10, 200])
def test_a_page_takes_one_statement_however_long_it_is(
    many: LocalRegistry, statements: list[str], limit: int
) -> None:
    listed = many.client().get(f"/v2/images?limit={limit}").json()["images"]

    assert len(listed) == limit
    assert len(statements) == 1


def test_a_next_page_takes_one_more_for_its_marker(
    many: LocalRegistry, statements: list[str]
) -> None:
    marker = many.client().get("/v2/images?limit=1").json()["images"][0]["id"]
    statements.clear()

    many.client().get(f"/v2/images?limit=100&marker={marker}")

    assert len(statements) == 2


def test_an_image_is_shown_with_one_statement(
    many: LocalRegistry, statements: list[str]
) -> None:
    image_id = many.client().create()["id"]
    statements.clear()

    many.client().show(image_id)

    assert len(statements) == 1


def test_what_is_refused_costs_no_more_than_what_is_shown(
    many: LocalRegistry, statements: list[str]
) -> None:
    image_id = many.client().create()["id"]
    statements.clear()

    many.client({"X-Identity-Status": "Confirmed"}).patch(image_id, replace("name", ""))

    assert len(statements) == 1


def test_a_page_asks_protections_once_for_each_name(
    many: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    decide = Verdicts._decide

    def count(self: Verdicts, name: str) -> bool:
        asked.append(name)
        return decide(self, name)

    monkeypatch.setattr(Verdicts, "_decide", count)
    listed = many.client().get("/v2/images?limit=200").json()["images"]

    assert len(listed) == 200
    assert sorted(asked) == sorted({*asked})


def test_a_page_asks_the_policy_once_for_images_that_look_alike(
    many: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    decide = RuleSet.decide

    def count(
        self: RuleSet, credentials: object, action: str, target: object
    ) -> object:
        asked.append(action)
        return decide(self, credentials, action, target)  # type: ignore[arg-type] # handed on

    monkeypatch.setattr(RuleSet, "decide", count)
    many.client().get("/v2/images?limit=200")

    assert asked.count("get_image") == 1
    assert len(asked) <= 4


def test_a_start_reads_no_authorities_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading them would be a third of what it takes to put a registry together."""
    read: list[object] = []
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", read.append)

    made = LocalRegistry(tmp_path)
    made.close()

    assert read == []
