"""Every mutating route leaves exactly one line, whatever came of the request.

One that the gate lets pass leaves another one before anything is changed, so that no
change is without its record, even if the process dies between the two.
"""

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from imagereg.api.audit import BEGUN, CHANGING
from imagereg.api.dispatch import Route
from imagereg.api.routes import ROUTES
from imagereg.errors import ConfigurationError
from imagereg.events.journal import Journal
from imagereg.policy.actions import DEFAULTS, OWN, Action
from tests.api.personas import ASKS, BUILT_IN, requests_to
from tests.registry import (
    CACHE,
    SEVERAL_STORES,
    Everything,
    LocalRegistry,
    Pieces,
    merged,
)
from tests.registry import replace as change
from tests.wire import ADMIN, Answer, Document, Headers, as_

#: Rules that refuse everything to administrators, who stay such.
NOBODY = dict.fromkeys({*DEFAULTS, *OWN} - {"context_is_admin"}, "!")

#: What the view may add to.
LATER = {"rule", "decisions", "reason"}

CHANGES = [
    pytest.param(route, name, id=name)
    for route in ROUTES
    for name in requests_to(route)
    if route.method in CHANGING
]
READS = [
    pytest.param(route, name, id=name)
    for route in ROUTES
    for name in requests_to(route)
    if route.method not in CHANGING and not route.open
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    config = merged(
        SEVERAL_STORES,
        CACHE,
        {"oslo_policy": {"policy_file": "policy.json"}},
        {"oslo_middleware": {"enable_proxy_headers_parsing": "true"}},
        {"imagereg": {"audit_log": "{dir}/audit.jsonl", "run_jobs": "false"}},
    )
    made = LocalRegistry(
        tmp_path_factory.mktemp("audit"), config, files={"policy.json": "{}"}
    )
    yield made
    made.close()


def lines(registry: LocalRegistry) -> list[Document]:
    """Return the record."""
    text = (registry.where / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def prepared(registry: LocalRegistry, name: str) -> Mapping[str, str]:
    """Make what a request needs, and return what stands in its path."""
    kind = "shared" if "shared" in BUILT_IN[name] else next(iter(BUILT_IN[name]))
    (registry.where / "policy.json").write_text("{}")
    return ASKS[name].prepare(registry, kind)


def ask(
    registry: LocalRegistry,
    route: Route,
    name: str,
    headers: Headers,
    rules: dict[str, str] | None = None,
) -> tuple[Answer, list[Document]]:
    """Send a valid request under ``rules``; return the answer and what was recorded."""
    ids = prepared(registry, name)
    (registry.where / "policy.json").write_text(json.dumps(rules or {}))
    before = len(lines(registry))
    answer = ASKS[name].send(registry, route, headers, ids)
    return answer, lines(registry)[before:]


def pairs(found: list[Document]) -> Iterator[list[Document]]:
    """Yield the lines of changes that followed one another."""
    return (found[at : at + 2] for at in range(0, len(found), 2))


def ended(found: list[Document]) -> Document:
    """Return the line of a request's end, without which and one of its begin."""
    begun, line = found
    same = ("record_id", *sorted(line.keys() - {"time", "outcome", "status"} - LATER))
    assert (begun["outcome"], begun["status"]) == (BEGUN, None)
    assert begun.keys() == line.keys()
    assert [begun[each] for each in same] == [line[each] for each in same]
    return line


def test_there_are_routes_that_change_something() -> None:
    assert {route.method for route in ROUTES} == {*CHANGING, "GET", "*"}
    assert len(CHANGES) > 50
    assert all(
        route.action == Action.DISCOVER for route in ROUTES if route.method == "*"
    )


@pytest.mark.parametrize(("route", "name"), CHANGES)
def test_a_change_that_is_allowed_leaves_one_line(
    registry: LocalRegistry, route: Route, name: str
) -> None:
    answer, found = ask(registry, route, name, ADMIN)

    line = ended(found)
    assert line["status"] == answer.status
    assert line["outcome"] == ("allowed" if answer.status < 400 else "failed")
    assert (line["method"], line["route"]) == (route.method, route.path)
    assert (line["action"], line["user_id"]) == (str(route.action), "admin")
    assert line["is_admin"] is True
    # The rule that allowed it, and what else was asked.
    assert line["rule"]
    assert line["decisions"]


@pytest.mark.parametrize(("route", "name"), CHANGES)
def test_a_change_is_recorded_before_anything_is_changed(
    registry: LocalRegistry, route: Route, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Everything] = []
    append = Journal.append

    def appended(journal: Journal, found: Iterable[bytes]) -> None:
        append(journal, found)
        seen.append(registry.everything())

    ids = prepared(registry, name)
    before = registry.everything()
    monkeypatch.setattr(Journal, "append", appended)
    ASKS[name].send(registry, route, ADMIN, ids)

    assert seen[0] == before
    assert ended(lines(registry)[-2:])["route"] == route.path


@pytest.mark.parametrize(("route", "name"), CHANGES)
def test_a_change_that_rules_refuse_leaves_one_line(
    registry: LocalRegistry, route: Route, name: str
) -> None:
    answer, found = ask(registry, route, name, ADMIN, NOBODY)

    (line,) = found
    assert (line["outcome"], line["status"]) == ("refused", answer.status)
    assert answer.status in (403, 404)
    assert line["rule"] in {each["rule"] for each in line["decisions"]}
    assert not all(each["allowed"] for each in line["decisions"])
    assert line["reason"]


@pytest.mark.parametrize(("route", "name"), CHANGES)
def test_a_change_by_nobody_leaves_one_line(
    registry: LocalRegistry, route: Route, name: str
) -> None:
    answer, found = ask(registry, route, name, {})

    (line,) = found
    assert (answer.status, line["status"], line["outcome"]) == (401, 401, "refused")
    assert (line["user_id"], line["roles"], line["decisions"]) == (None, [], [])


@pytest.mark.parametrize(("route", "name"), READS)
def test_a_read_is_recorded_when_it_is_refused(
    registry: LocalRegistry, route: Route, name: str
) -> None:
    _, allowed = ask(registry, route, name, ADMIN)
    _, nobody = ask(registry, route, name, {})
    answer, refused = ask(registry, route, name, ADMIN, NOBODY)

    assert allowed == []
    assert [line["outcome"] for line in nobody] == ["refused"]
    expected = [] if answer.status < 400 else ["refused"]
    assert [line["outcome"] for line in refused] == expected
    assert (answer.status < 400) == (route.action == Action.DISCOVER)


def test_all_reads_are_recorded_where_wanted(tmp_path: Path) -> None:
    own = {"audit_log": "{dir}/audit.jsonl", "audit_reads": "true"}
    registry = LocalRegistry(tmp_path, {"imagereg": {**own, "audit_fsync": "true"}})
    paths = ["/", "/v2/images", "/v2/schemas/image"]
    for path in paths:
        registry.admin.get(path)
    registry.close()

    assert [line["route"] for line in lines(registry)] == [
        "/",
        "/v2/images",
        "/v2/schemas/<path:name>",
    ]
    assert {line["outcome"] for line in lines(registry)} == {"allowed"}


def test_a_line_says_who_did_what_to_which_image(registry: LocalRegistry) -> None:
    (registry.where / "policy.json").write_text("{}")
    caller = {**as_("eva", "project-e"), "X-OpenStack-Request-ID": "req-audit"}
    client = registry.client({**caller, "X-Forwarded-For": "192.0.2.1"})
    image_id = client.create()["id"]
    client.request("PUT", f"/v2/images/{image_id}/tags/red")

    created, tagged = (ended(found) for found in pairs(lines(registry)[-4:]))

    assert re.fullmatch(r"[0-9a-f]{16}", created.pop("record_id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", created.pop("time"))
    assert created == {
        "outcome": "allowed",
        "status": 201,
        "action": "add_image",
        "rule": "add_image",
        "decisions": [{"action": "add_image", "rule": "add_image", "allowed": True}],
        "reason": None,
        "user_id": "eva",
        "project_id": "project-e",
        "roles": ["member", "reader"],
        "service_roles": [],
        "is_admin": False,
        "request_id": "req-audit",
        "peer": "127.0.0.1",
        "client": "192.0.2.1",
        "method": "POST",
        "route": "/v2/images",
        "path": "/v2/images",
        "image_id": image_id,
        "ids": {},
    }
    assert (tagged["image_id"], tagged["ids"]) == (image_id, {"tag": "red"})


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/v2/images/{id}/members", {"member": "p"}, {"member_id": "p"}),
        ("/v2/images/{id}/members", {"member": ["x"]}, {}),
        ("/v2/metadefs/namespaces", {"namespace": "N"}, {"namespace": "N"}),
        (
            "/v2/metadefs/namespaces/N/objects",
            {"name": "o"},
            {"namespace": "N", "name": "o"},
        ),
        (
            "/v2/metadefs/namespaces/N/properties",
            {"name": "p", "title": "P", "type": "string"},
            {"namespace": "N", "name": "p"},
        ),
        (
            "/v2/metadefs/namespaces/N/resource_types",
            {"name": "R"},
            {"namespace": "N", "resource_type": "R"},
        ),
    ],
    ids=["member", "no member", "namespace", "object", "property", "association"],
)
def test_what_a_body_names_is_recorded(
    registry: LocalRegistry, path: str, body: Document, named: Document
) -> None:
    (registry.where / "policy.json").write_text("{}")
    image_id = registry.admin.create(visibility="shared")["id"]
    registry.admin.request(
        "POST", "/v2/metadefs/namespaces", document={"namespace": "N"}
    )

    registry.admin.request("POST", path.format(id=image_id), document=body)

    assert ended(lines(registry)[-2:])["ids"] == named


def test_ownership_is_named_where_no_rule_refused(registry: LocalRegistry) -> None:
    (registry.where / "policy.json").write_text(
        json.dumps({"delete_image": "", "get_image": ""})
    )
    image_id = registry.admin.create(visibility="public")["id"]

    answer = registry.client().request("DELETE", f"/v2/images/{image_id}")

    line = lines(registry)[-1]
    (registry.where / "policy.json").write_text("{}")
    assert (answer.status, line["outcome"], line["rule"]) == (
        403,
        "refused",
        "(ownership)",
    )


def test_what_is_hidden_is_refused_in_the_record_alone(
    registry: LocalRegistry,
) -> None:
    (registry.where / "policy.json").write_text("{}")
    image_id = registry.admin.create(visibility="private")["id"]
    missing = "00000000-0000-4000-8000-000000000000"

    for each in (image_id, missing):
        registry.client().request("DELETE", f"/v2/images/{each}")

    hidden, absent = lines(registry)[-2:]
    assert (hidden["status"], absent["status"]) == (404, 404)
    assert (hidden["outcome"], hidden["rule"]) == ("refused", "(visibility)")
    assert (absent["outcome"], absent["rule"]) == ("failed", None)


def test_what_a_change_needs_besides_is_recorded(registry: LocalRegistry) -> None:
    (registry.where / "policy.json").write_text("{}")
    client = registry.client()
    image_id = client.create()["id"]

    client.patch(image_id, change("visibility", "public"))

    line = lines(registry)[-1]
    assert (line["action"], line["rule"]) == ("modify_image", "publicize_image")
    assert line["outcome"] == "refused"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("DELETE", "/v2/images/none", b"body", 400),
        ("DELETE", "/v2/images/none", None, 404),
        ("DELETE", "/v2/images/none?x=\xff", None, 400),
        ("POST", "/v2/images", b"{", 400),
        ("POST", "/v2/images", b"x" * 200_000, 413),
        ("PATCH", "/v2/images/none", b"[]", 415),
    ],
)
def test_a_call_that_fails_leaves_one_line(
    registry: LocalRegistry, method: str, path: str, body: bytes | None, status: int
) -> None:
    before = len(lines(registry))
    answer = registry.admin.request(method, path, body=body)

    (line,) = lines(registry)[before:]
    assert (answer.status, line["status"], line["outcome"]) == (
        status,
        status,
        "failed",
    )


def test_an_upload_that_breaks_off_leaves_one_line(registry: LocalRegistry) -> None:
    image_id = registry.admin.create()["id"]
    before = len(lines(registry))

    def pieces() -> Iterator[bytes]:
        yield b"some"
        raise BrokenPipeError

    app = registry.registry.app
    app.test_client().put(
        f"/v2/images/{image_id}/file",
        headers={**ADMIN, "Content-Type": "application/octet-stream"},
        environ_overrides={
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.input": Pieces(pieces()),
            "CONTENT_LENGTH": "100",
        },
    )

    line = ended(lines(registry)[before:])
    assert (line["action"], line["outcome"]) == ("upload_image", "failed")
    assert line["image_id"] == image_id


def test_neither_bodies_nor_tokens_are_recorded(registry: LocalRegistry) -> None:
    client = registry.client({**ADMIN, "X-Auth-Token": "canary-token"})
    image_id = client.create(colour="canary-value")["id"]
    client.patch(image_id, change("colour", "canary-other"))

    text = (registry.where / "audit.jsonl").read_text()
    assert image_id in text
    assert "canary" not in text


def test_a_line_cannot_be_forged(registry: LocalRegistry) -> None:
    before = len(lines(registry))
    path = "/v2/images/x%0a%7b%22outcome%22:%22allowed%22%7d"
    registry.client({**as_('eve"\\')}).request("DELETE", path)

    (line,) = lines(registry)[before:]
    assert (line["outcome"], line["user_id"]) == ("failed", 'eve"\\')


def test_the_record_can_be_rotated(registry: LocalRegistry) -> None:
    path = registry.where / "audit.jsonl"
    registry.admin.create()
    old = path.read_bytes()
    path.rename(path.with_suffix(".1"))

    registry.admin.create()

    assert ended(lines(registry))["status"] == 201
    assert path.with_suffix(".1").read_bytes() == old


def test_a_disk_that_is_full_costs_no_answer_and_is_told(
    registry: LocalRegistry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(file: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with caplog.at_level(logging.ERROR):
        image_id = registry.admin.create()["id"]
    monkeypatch.undo()

    assert "audit record not written (No space left on device)" in caplog.text
    assert image_id in caplog.text


def test_a_record_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[imagereg\] audit_log"):
        LocalRegistry(tmp_path, {"imagereg": {"audit_log": "{dir}/none/a.jsonl"}})
