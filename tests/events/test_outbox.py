"""Which event each request writes, together with its change or not at all."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagereg.api.dispatch import Route
from imagereg.api.routes import ROUTES
from imagereg.db.outbox import EventRepository, EventType
from imagereg.db.rows import COLUMNS
from tests.api.personas import ASKS, BUILT_IN, requests_to
from tests.registry import CACHE, SEVERAL_STORES, LocalRegistry, add, merged, replace
from tests.wire import ADMIN, Document, as_

SINKS = {
    "event_log": "{dir}/events.jsonl",
    "event_webhook": "http://127.0.0.1:9/none",
    "event_downloads": "true",
    "run_jobs": "false",
}

#: Request -> the events that it writes, in order; those that are not here write none.
TOLD = {
    "POST /v2/images": "image.create",
    "POST /v2/images: for another": "image.create",
    "POST /v2/images: for nobody": "image.create",
    "POST /v2/images: public": "image.create",
    "POST /v2/images: community": "image.create",
    "PATCH /v2/images/<image_id>": "image.update",
    "PATCH /v2/images/<image_id>: public": "image.update",
    "PATCH /v2/images/<image_id>: community": "image.update",
    "PATCH /v2/images/<image_id>: owner": "image.update",
    "DELETE /v2/images/<image_id>": "image.delete",
    "PUT /v2/images/<image_id>/file": "image.prepare image.upload image.activate",
    "GET /v2/images/<image_id>/file": "image.send",
    "GET /v2/images/<image_id>/file: deactivated": "image.send",
    "PUT /v2/images/<image_id>/stage": "image.update image.update",
    "PUT /v2/images/<image_id>/stage: range": "image.update",
    "POST /v2/images/<image_id>/actions/deactivate": "image.update",
    "POST /v2/images/<image_id>/actions/reactivate": "image.update",
    "POST /v2/images/<image_id>/members": "image.member.create",
    "PUT /v2/images/<image_id>/members/<member_id>": "image.member.update",
    "DELETE /v2/images/<image_id>/members/<member_id>": "image.member.delete",
    "PUT /v2/images/<image_id>/tags/<tag>": "image.update",
    "DELETE /v2/images/<image_id>/tags/<tag>": "image.update",
    "DELETE /v2/stores/<store_id>/<image_id>": "image.update",
    # Their images change when the job runs.
    "POST /v2/images/<image_id>/import": "",
    "POST /v2/images/<image_id>/import: copy": "",
    "POST /v2/images/<image_id>/locations": "",
}

REQUESTS = [
    pytest.param(route, name, id=name)
    for route in ROUTES
    for name in requests_to(route)
]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry that tells events and whose outbox nobody empties."""
    made = LocalRegistry(
        tmp_path_factory.mktemp("outbox"),
        merged(SEVERAL_STORES, CACHE, {"imagereg": SINKS}),
    )
    yield made
    made.close()


def outbox(registry: LocalRegistry, sink: str = "log") -> list[Document]:
    """Return what stands in the outbox for a sink."""
    rows = registry.registry.engine.rows(
        "SELECT document FROM events WHERE sink = ? ORDER BY id", (sink,)
    )
    return [json.loads(str(text)) for (text,) in rows]


def empty(registry: LocalRegistry) -> None:
    with registry.registry.engine.transaction():
        registry.registry.engine.execute("DELETE FROM events")


def types(events: list[Document]) -> str:
    return " ".join(event["type"] for event in events)


@pytest.mark.parametrize(("route", "name"), REQUESTS)
def test_each_change_of_an_image_is_told(
    registry: LocalRegistry, route: Route, name: str
) -> None:
    kind = "shared" if "shared" in BUILT_IN[name] else next(iter(BUILT_IN[name]))
    ids = ASKS[name].prepare(registry, kind)
    empty(registry)

    ASKS[name].send(registry, route, ADMIN, ids)

    told = outbox(registry)
    assert types(told) == TOLD.get(name, "")
    assert told == outbox(registry, "webhook")
    if "image_id" in ids:
        assert {event["subject"] for event in told} <= {ids["image_id"]}


def test_every_name_of_an_event_is_used() -> None:
    used = {name for told in TOLD.values() for name in told.split()}

    assert used == set(EventType)


def test_no_request_is_missing() -> None:
    assert TOLD.keys() <= ASKS.keys()


def test_an_event_is_a_cloud_event(registry: LocalRegistry) -> None:
    empty(registry)
    caller = {**as_("carol", "project-c"), "X-OpenStack-Request-ID": "req-tale"}
    image = registry.client(caller).create(name="cirros", tags=["t"])

    (event,) = outbox(registry)

    assert re.fullmatch(r"[0-9a-f-]{36}", event.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event.pop("time"))
    data: dict[str, Any] = event.pop("data")
    assert event == {
        "specversion": "1.0",
        "source": "/v2/images",
        "type": "image.create",
        "subject": image["id"],
        "datacontenttype": "application/json",
        "requestid": "req-tale",
        "userid": "carol",
        "projectid": "project-c",
    }
    stamps = {"created_at_us", "updated_at_us"}
    assert data.keys() == {
        *(set(COLUMNS) - stamps),
        *("created_at", "updated_at", "deleted", "tags", "properties"),
    }
    same = data.keys() - {"deleted", "properties"}
    assert {name: data[name] for name in same} == {name: image[name] for name in same}
    # An attribute of CloudEvents is lower case and has no separators.
    assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event)


def test_a_long_event_is_told_whole(registry: LocalRegistry) -> None:
    empty(registry)
    # What some engines call text ends at 64 KiB.
    tags = [f"{number:03}{chr(0x3042) * 210}" for number in range(120)]
    asked = json.dumps({"tags": tags}, ensure_ascii=False).encode()
    json_body = {"Content-Type": "application/json"}

    answer = registry.admin.request("POST", "/v2/images", body=asked, headers=json_body)

    assert answer.status == 201
    (event,) = outbox(registry)
    (pending, *_) = EventRepository(registry.registry.engine).pending("log", 10)

    assert len(pending.document) > 65_536
    assert sorted(event["data"]["tags"]) == tags
    assert json.loads(pending.document) == event


def test_a_member_is_told_whole(registry: LocalRegistry) -> None:
    image = registry.admin.create(visibility="shared")
    empty(registry)

    registry.admin.request(
        "POST", f"/v2/images/{image['id']}/members", document={"member": "p"}
    )

    (event,) = outbox(registry)
    assert event["subject"] == image["id"]
    data = event["data"]
    assert (data["image_id"], data["member_id"]) == (image["id"], "p")
    assert data["status"] == "pending"
    assert data["created_at"] == data["updated_at"]


def test_a_deleted_image_is_told_with_what_it_was(registry: LocalRegistry) -> None:
    image = registry.admin.create(name="was")
    empty(registry)

    registry.admin.request("DELETE", f"/v2/images/{image['id']}")

    (event,) = outbox(registry)
    assert (event["data"]["name"], event["data"]["deleted"]) == ("was", True)


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [("", {}), ("os_distro", {"os_distro": "d"}), ("*", None)],
    ids=["none", "one", "all"],
)
def test_properties_are_shown_as_chosen_and_locations_never(
    tmp_path: Path, chosen: str, shown: dict[str, str] | None
) -> None:
    config = {
        "DEFAULT": {"show_multiple_locations": "true"},
        "imagereg": {"event_log": "{dir}/e.jsonl", "event_properties": chosen},
    }
    registry = LocalRegistry(tmp_path, config)
    image = registry.admin.create(os_distro="d", secret_code="canary")
    registry.admin.upload(image["id"], b"data")
    told = outbox(registry)
    places = registry.admin.show(image["id"])["locations"]
    registry.close()

    everything = {"os_distro": "d", "secret_code": "canary"}
    expected = everything if shown is None else shown
    assert {json.dumps(event["data"]["properties"]) for event in told} == {
        json.dumps(expected)
    }
    assert places
    assert all(place["url"] not in json.dumps(told) for place in places)
    assert ("canary" in json.dumps(told)) == (shown is None)


def test_what_is_refused_is_not_told(registry: LocalRegistry) -> None:
    image = registry.admin.create(protected=True, visibility="private")
    empty(registry)
    path = f"/v2/images/{image['id']}"

    answers = [
        registry.admin.request("DELETE", path),
        registry.client().request("DELETE", path),
        registry.admin.patch(image["id"], replace("status", "active")),
        registry.admin.request("POST", "/v2/images", document={"id": image["id"]}),
    ]

    assert [answer.status for answer in answers] == [403, 404, 403, 409]
    assert outbox(registry) == []


def test_a_change_that_is_undone_is_not_told(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = registry.admin.create()
    empty(registry)
    engine = registry.registry.engine
    insert = engine.insert

    def fail(table: str, rows: Any) -> None:  # noqa: ANN401 - as of the engine
        insert(table, rows)
        if table == "events":
            raise RuntimeError("the machine died")

    monkeypatch.setattr(engine, "insert", fail)
    with pytest.raises((RuntimeError, AssertionError)):
        registry.admin.patch(image["id"], add("colour", "red"))
    monkeypatch.undo()

    assert outbox(registry) == []
    assert "colour" not in registry.admin.show(image["id"])


def test_a_job_speaks_for_whoever_asked(registry: LocalRegistry) -> None:
    caller = {**as_("dora", "project-d"), "X-OpenStack-Request-ID": "req-import"}
    client = registry.client(caller)
    image = client.create()
    client.request(
        "PUT",
        f"/v2/images/{image['id']}/stage",
        body=b"data",
        headers={"Content-Type": "application/octet-stream"},
    )
    begun = client.request(
        "POST",
        f"/v2/images/{image['id']}/import",
        document={"method": {"name": "glance-direct"}},
    )
    assert begun.status == 202
    empty(registry)
    registry.admin.get("/v2/images")

    registry.registry.jobs.run_pending()

    told = [e for e in outbox(registry) if e["subject"] == image["id"]]
    assert types(told) == "image.prepare image.upload image.activate"
    assert {(e["userid"], e["projectid"], e["requestid"]) for e in told} == {
        ("dora", "project-d", "req-import")
    }
    assert told[-1]["data"]["status"] == "active"


def test_nobody_told_means_nothing_written(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path)
    image = registry.admin.create()
    registry.admin.upload(image["id"], b"data")

    told = outbox(registry)
    delivery = registry.registry.events
    registry.close()

    assert (told, delivery) == ([], None)
