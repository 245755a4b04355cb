"""Every route, every kind of image, every kind of caller."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from imagereg.api.dispatch import Route
from imagereg.api.routes import ROUTES
from tests.api.personas import (
    ABSENT,
    ASKS,
    BUILT_IN,
    KINDS,
    ORIGIN,
    PERSONAS,
    Ask,
    Table,
    key,
    requests_to,
)
from tests.registry import CACHE, SEVERAL_STORES, LocalRegistry, merged

ORIGIN_FILE = Path(__file__).parent.parent / "policy" / "origin.json"
ANONYMOUS = {"DEFAULT": {"allow_anonymous_access": "true"}}
POLICY = {"oslo_policy": {"policy_file": "policy.json"}}

CASES = [
    pytest.param(route, request, kind, id=f"{request}, {kind}")
    for route in ROUTES
    for request in requests_to(route)
    for kind in KINDS
    if kind in BUILT_IN.get(request, {})
]
ON_IMAGES = [case for case in CASES if "<image_id>" in str(case.id)]
ON_OTHERS = [
    case
    for case in CASES
    if any(part in str(case.id) for part in ("<namespace>", "<task_id>"))
]


@pytest.fixture(scope="module")
def built_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry with the built-in rules, which lets anonymous callers in."""
    config = merged(SEVERAL_STORES, CACHE, ANONYMOUS)
    made = LocalRegistry(tmp_path_factory.mktemp("built-in"), config)
    yield made
    made.close()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield the same with the policy file of the origin."""
    made = LocalRegistry(
        tmp_path_factory.mktemp("origin"),
        merged(SEVERAL_STORES, CACHE, ANONYMOUS, POLICY),
        files={"policy.json": ORIGIN_FILE.read_text()},
    )
    yield made
    made.close()


def test_every_route_stands_in_the_tables() -> None:
    known = {key(route) for route in ROUTES}

    assert {name.partition(": ")[0] for name in ASKS} == known
    assert {*ASKS} == {*BUILT_IN} == {*ORIGIN}


@pytest.mark.parametrize("table", [BUILT_IN, ORIGIN])
def test_every_route_on_an_image_has_rows_for_each_visibility(table: Table) -> None:
    for request, rows in table.items():
        wanted = {"any"}
        if "<image_id>" in request:
            wanted = {*KINDS} - {"any"}
        elif "<namespace>" in request:
            wanted = {"private", "public"}

        assert rows.keys() == wanted, request


@pytest.mark.parametrize(("route", "request_", "kind"), CASES)
def test_the_built_in_rules_answer_each_persona(
    built_in: LocalRegistry, route: Route, request_: str, kind: str
) -> None:
    answers = answers_to(built_in, route, ASKS[request_], kind)

    assert answers == BUILT_IN[request_][kind]


@pytest.mark.parametrize(("route", "request_", "kind"), CASES)
def test_open_rules_do_not_widen_visibility_and_ownership(
    origin: LocalRegistry, route: Route, request_: str, kind: str
) -> None:
    answers = answers_to(origin, route, ASKS[request_], kind)

    assert answers == ORIGIN[request_][kind]


def answers_to(
    registry: LocalRegistry, route: Route, ask: Ask, kind: str
) -> Mapping[str, int]:
    """Return persona -> status; what was refused must not have changed anything."""
    answers: dict[str, int] = {}
    ids: Mapping[str, str] | None = None
    before: object = None
    for persona, headers in PERSONAS.items():
        if ids is None:
            ids = ask.prepare(registry, kind)
            before = record(registry, ids)
        answers[persona] = ask.send(registry, route, headers, ids).status
        if answers[persona] < 300:
            ids = None
        else:
            assert record(registry, ids) == before, persona
    return answers


def record(registry: LocalRegistry, ids: Mapping[str, str]) -> object:
    """Return all that the administrator sees of an image."""
    if "image_id" not in ids:
        return None
    path = f"/v2/images/{ids['image_id']}"
    parts = [registry.admin.get(path + rest) for rest in ("", "/file", "/members")]
    return [(part.status, part.body) for part in parts]


@pytest.mark.parametrize(("route", "request_", "kind"), ON_IMAGES)
def test_not_there_and_not_yours_answer_alike(
    built_in: LocalRegistry, route: Route, request_: str, kind: str
) -> None:
    ask = ASKS[request_]
    ids = dict(ask.prepare(built_in, kind))
    absent = {**ids, "image_id": ABSENT}

    for persona, headers in PERSONAS.items():
        if BUILT_IN[f"GET {IMAGE}"][kind][persona] != 404:
            continue
        if BUILT_IN[request_][kind][persona] < 300:
            # A service handles the data of images that it cannot show.
            continue
        if "/cache/" in route.path and BUILT_IN[request_][kind][persona] == 403:
            # Stored data alone decide what these hide (contract policy 6).
            continue
        theirs = ask.send(built_in, route, headers, ids)
        nobodys = ask.send(built_in, route, headers, absent)

        assert theirs.status == nobodys.status, persona
        assert theirs.body.replace(
            ids["image_id"].encode(), absent["image_id"].encode()
        ) == (nobodys.body), persona
        assert stable(theirs.headers) == stable(nobodys.headers), persona


@pytest.mark.parametrize(("route", "request_", "kind"), ON_OTHERS)
def test_foreign_namespaces_and_tasks_are_as_if_they_were_not_there(
    built_in: LocalRegistry, route: Route, request_: str, kind: str
) -> None:
    shows = f"GET {route.path.partition('>')[0]}>"
    ids = dict(ASKS[request_].prepare(built_in, kind))
    part, nobodys = "task_id", ABSENT
    if "namespace" in ids:
        part, nobodys = "namespace", ids["namespace"].replace("NS", "XX")

    for persona, headers in PERSONAS.items():
        if BUILT_IN[shows][kind][persona] < 300:
            continue
        there = ASKS[request_].send(built_in, route, headers, ids)
        absent = ASKS[request_].send(built_in, route, headers, {**ids, part: nobodys})

        assert there.status == absent.status == BUILT_IN[request_][kind][persona]
        body = there.body.replace(ids[part].encode(), nobodys.encode())
        assert body == absent.body, persona
        assert stable(there.headers) == stable(absent.headers), persona


IMAGE = "/v2/images/<image_id>"


def stable(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers but for the request's id."""
    return {n: v for n, v in headers.items() if n != "x-openstack-request-id"}


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if not route.open], ids=key
)
def test_without_identity_no_route_answers(
    registry: LocalRegistry, route: Route
) -> None:
    ask = next(iter(requests_to(route).values()))
    ids = {"image_id": "x", "namespace": "x", "task_id": "x", **ask.ids}

    answer = ask.send(registry, route, {}, ids)

    assert answer.status == 401
    assert json.loads(answer.body)["error"]["title"] == "Unauthorized"
    assert "www-authenticate" in answer.headers
    assert "x-openstack-request-id" not in answer.headers
