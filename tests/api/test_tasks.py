"""Tasks as their owners and administrators see them.

Source: contract api-images 11.2 and 24.
"""

import re

import pytest

from tests import databases
from tests.api.conftest import Make
from tests.registry import LocalRegistry
from tests.wire import ADMIN, Document, as_

UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PRECISE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}"
POLICY = {"oslo_policy": {"policy_file": "policy.json"}}
URL = "http://user:canary@192.168.0.1/x"


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make()


def begin(registry: LocalRegistry, user: str = "alice", project: str = "a") -> str:
    """Begin a task on a new image and return the image's id."""
    client = registry.client(as_(user, project))
    image_id = str(client.create()["id"])
    path = f"/v2/images/{image_id}/locations"
    answer = client.request(
        "POST",
        path,
        document={"url": URL},
        headers={"X-OpenStack-Request-ID": f"req-{user}"},
    )
    assert answer.status == 202
    assert answer.body == b""
    return image_id


def of_image(registry: LocalRegistry, image_id: str, **who: str) -> list[Document]:
    path = f"/v2/images/{image_id}/tasks"
    listed = registry.client(as_(**who) if who else ADMIN).get(path).json()["tasks"]
    return [dict(task) for task in listed]


def end(registry: LocalRegistry) -> None:
    """End all tasks that wait; the source is out of reach, so they fail."""
    databases.execute(
        registry.where, 'UPDATE jobs SET payload = \'{"url": "ftp://h/x"}\''
    )
    registry.registry.jobs.run_pending()


def test_the_tasks_of_an_image_are_raw_rows(registry: LocalRegistry) -> None:
    image_id = begin(registry)

    (task,) = of_image(registry, image_id)

    assert re.fullmatch(UUID, task.pop("id"))
    assert re.fullmatch(PRECISE, task.pop("created_at"))
    assert re.fullmatch(PRECISE, task.pop("updated_at"))
    assert task == {
        "type": "location_import",
        "status": "pending",
        "owner": "a",
        "expires_at": None,
        "deleted_at": None,
        "deleted": False,
        "image_id": image_id,
        "request_id": "req-alice",
        "user_id": "alice",
        "input": {
            "image_id": image_id,
            "loc_url": "http://192.168.0.1/x",
            "validation_data": {},
        },
        "result": None,
        "message": "",
    }


def test_a_task_that_ended_says_when_it_goes(registry: LocalRegistry) -> None:
    image_id = begin(registry)
    end(registry)

    (task,) = of_image(registry, image_id)
    shown = registry.admin.get(f"/v2/tasks/{task['id']}").json()

    assert re.fullmatch(PRECISE, task["expires_at"])
    assert (shown["status"], shown["message"]) == ("failure", "invalid location")
    assert shown["expires_at"].endswith("Z")
    assert (shown["self"], shown["schema"]) == (
        f"/v2/tasks/{task['id']}",
        "/v2/schemas/task",
    )
    assert shown["image_id"] == image_id
    assert shown["result"] is None


def test_other_members_do_not_see_tasks_of_the_owner(registry: LocalRegistry) -> None:
    """A task is its owner's and the administrators' alone, whoever sees the image."""
    image_id = begin(registry)
    alice = registry.client(as_("alice", "a"))
    alice.patch(
        image_id, {"op": "replace", "path": "/visibility", "value": "community"}
    )

    assert len(of_image(registry, image_id, user="amy", project="a")) == 1
    assert of_image(registry, image_id, user="bob", project="b") == []
    assert registry.client(as_("bob", "b")).get("/v2/tasks").status == 403


def test_open_rules_show_nobody_the_tasks_of_others(make: Make) -> None:
    registry = make(POLICY, files={"policy.json": '{"tasks_api_access": ""}'})
    mine, theirs = begin(registry), begin(registry, "bob", "b")
    (task,) = of_image(registry, theirs)
    alice = registry.client(as_("alice", "a"))

    listed = alice.get("/v2/tasks").json()["tasks"]

    assert [row["owner"] for row in listed] == ["a"]
    assert alice.get(f"/v2/tasks/{of_image(registry, mine)[0]['id']}").status == 200
    assert alice.get(f"/v2/tasks/{task['id']}").status == 404
    assert alice.get(f"/v2/tasks?marker={task['id']}").status == 400
    nobody = registry.client(as_("x", ""))
    assert nobody.get("/v2/tasks").json()["tasks"] == []
    assert len(registry.admin.get("/v2/tasks").json()["tasks"]) == 2
    for owner in ("b", "a"):
        rows = alice.get(f"/v2/tasks?owner={owner}").json()["tasks"]
        assert {row["owner"] for row in rows} <= {"a"}


@pytest.mark.parametrize("way", ["asc", "desc"])
@pytest.mark.parametrize("key", ["created_at", "expires_at", "owner", "status", "id"])
def test_pages_join_to_the_whole_list(make: Make, key: str, way: str) -> None:
    registry = make()
    for number in range(5):
        begin(registry, f"user{number}", f"p{number % 2}")
        if number == 2:
            end(registry)
    path: str | None = f"/v2/tasks?limit=2&sort_key={key}&sort_dir={way}"
    seen: list[str] = []

    while path:
        page = registry.admin.get(path).json()
        seen += [task["id"] for task in page["tasks"]]
        path = page.get("next")

    whole = registry.admin.get(f"/v2/tasks?sort_key={key}&sort_dir={way}").json()
    assert page["first"] == f"/v2/tasks?limit=2&sort_key={key}&sort_dir={way}"
    assert seen == [task["id"] for task in whole["tasks"]]
    assert len(set(seen)) == 5


def test_a_list_tells_less_than_a_task(registry: LocalRegistry) -> None:
    begin(registry)

    document = registry.admin.get("/v2/tasks").json()

    (task,) = document["tasks"]
    assert document["schema"] == "/v2/schemas/tasks"
    assert task.keys() == {
        *("id", "type", "status", "owner", "created_at", "updated_at"),
        *("self", "schema"),
    }


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("status=pending", 1),
        ("status=success", 0),
        ("status=", 1),
        ("type=import", 0),
        ("owner=a", 1),
        ("owner=b", 0),
        ("user_id=alice", 1),
        ("limit=0", 0),
        ("colour=blue", 1),
    ],
)
def test_filters(registry: LocalRegistry, query: str, count: int) -> None:
    begin(registry)

    assert len(registry.admin.get(f"/v2/tasks?{query}").json()["tasks"]) == count


@pytest.mark.parametrize(
    "query",
    [
        "status=x",
        "type=location_import",
        "sort_key=colour",
        "sort_key=created_at_us",
        "sort_dir=up",
        "limit=-1",
        "limit=x",
        "marker=x",
        "marker=00000000-0000-4000-8000-000000000000",
    ],
)
def test_a_query_that_makes_no_sense(registry: LocalRegistry, query: str) -> None:
    assert registry.admin.get(f"/v2/tasks?{query}").status == 400


def test_tasks_are_neither_begun_nor_deleted_here(registry: LocalRegistry) -> None:
    image_id = begin(registry)
    path = f"/v2/tasks/{of_image(registry, image_id)[0]['id']}"

    deleted = registry.admin.request("DELETE", path)

    assert (deleted.status, deleted.headers["allow"]) == (405, "GET")
    documents: tuple[object, ...] = ({}, [], {"type": "import"}, {"input": {}})
    for document in (*documents, {"type": "import", "input": {}}):
        answer = registry.admin.request("POST", "/v2/tasks", document=document)
        assert answer.status == 400
    assert registry.admin.get("/v2/tasks/x").status == 404


def test_old_records_go(registry: LocalRegistry) -> None:
    image_id = begin(registry)
    end(registry)
    tasks = registry.registry.jobs._queue.tasks

    assert tasks.purge() == 0
    databases.execute(registry.where, "UPDATE tasks SET expires_at_us = 1")

    assert tasks.purge() == 1
    assert of_image(registry, image_id) == []


@pytest.mark.parametrize(
    ("path", "method", "status", "allow"),
    [
        ("/v2/images/x/locations", "PUT", 405, "POST"),
        ("/v2/images/x/locations", "HEAD", 405, "POST"),
        ("/v2/images/x/tasks", "POST", 404, None),
        ("/v2/info/usage", "DELETE", 404, None),
        ("/v2/tasks", "PUT", 405, "GET, POST"),
        ("/v2/tasks/x", "PUT", 405, "DELETE, GET"),
    ],
)
def test_wrong_methods(
    registry: LocalRegistry, path: str, method: str, status: int, allow: str | None
) -> None:
    """Some routes are left out of ``Allow``.  Source: contract api-images 1.2."""
    answer = registry.admin.request(method, path)

    assert (answer.status, answer.headers.get("allow")) == (status, allow)
