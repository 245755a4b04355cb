"""Locations by POST: what is checked at once, and what the work behind it does.

Source: contract api-images 19.2.
"""

import hashlib
import json
import threading
from collections.abc import Iterator

import pytest

from imagereg.db.jobs import Outcome
from imagereg.errors import LeaseLost
from imagereg.images.digests import Digest
from imagereg.jobs.runner import INTERNAL
from imagereg.model import Location, TaskStatus
from tests import databases
from tests.api.conftest import Make
from tests.api.test_locations import OPEN, SHOWN, place
from tests.registry import LocalRegistry, add, merged
from tests.stores.forward_proxy import forward_proxy
from tests.stores.web import Web, web_server
from tests.wire import Document, as_

DATA = b"hello"
SERVICE = as_("nova", "project-a", ("service", "member", "reader"))

HASHES = {
    name: hashlib.new(name, DATA, usedforsecurity=False).hexdigest()
    for name in ("md5", "sha1", "sha256", "sha512")
}


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        running.put("/hello", DATA)
        yield running


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make(OPEN)


def without_hashing(make: Make) -> LocalRegistry:
    return make(merged(OPEN, {"DEFAULT": {"do_secure_hash": "false"}}))


def post(
    registry: LocalRegistry,
    image_id: str,
    url: str,
    algorithm: str = "",
    value: str = "",
    headers: dict[str, str] | None = None,
) -> int:
    document: Document = {"url": url}
    if algorithm:
        digest = {"os_hash_algo": algorithm, "os_hash_value": value}
        document["validation_data"] = digest
    client = registry.client(headers)
    path = f"/v2/images/{image_id}/locations"
    return client.request("POST", path, document=document).status


def queued(registry: LocalRegistry, **fields: object) -> str:
    return str(registry.client().create(**fields)["id"])


def work(registry: LocalRegistry) -> int:
    return registry.registry.jobs.run_pending()


def tasks(registry: LocalRegistry, image_id: str) -> list[Document]:
    listed = registry.client().get(f"/v2/images/{image_id}/tasks").json()["tasks"]
    return [dict(task) for task in listed]


def test_without_a_hash_the_image_gets_active_and_then_its_hashes(
    registry: LocalRegistry, web: Web
) -> None:
    image_id = queued(registry)

    assert post(registry, image_id, web.url("/hello")) == 202
    waiting = registry.client().show(image_id)
    assert work(registry) == 1
    record = registry.client().show(image_id)

    (task,) = tasks(registry, image_id)
    assert waiting["status"] == "queued"
    assert waiting["os_glance_import_task"] == task["id"]
    assert (record["status"], record["size"]) == ("active", 5)
    assert record["checksum"] == HASHES["md5"]
    assert record["os_hash_algo"] == "sha512"
    assert record["os_hash_value"] == HASHES["sha512"]
    assert record["locations"] == [place(web.url("/hello"))]
    assert "os_glance_import_task" not in record
    assert (task["status"], task["result"]) == ("success", {"image_id": image_id})
    assert registry.client().download(image_id).body == DATA


@pytest.mark.parametrize("algorithm", list(HASHES))
def test_a_hash_that_fits(registry: LocalRegistry, web: Web, algorithm: str) -> None:
    image_id = queued(registry)

    post(registry, image_id, web.url("/hello"), algorithm, HASHES[algorithm])
    work(registry)

    record = registry.client().show(image_id)
    assert (record["status"], record["size"]) == ("active", 5)
    assert record["checksum"] == HASHES["md5"]
    assert record["os_hash_algo"] == algorithm
    assert record["os_hash_value"] == HASHES[algorithm]


def test_a_hash_that_does_not_fit(registry: LocalRegistry, web: Web) -> None:
    image_id = queued(registry)

    post(registry, image_id, web.url("/hello"), "sha256", "0" * 64)
    work(registry)

    record = registry.client().show(image_id)
    facts = ("size", "checksum", "os_hash_algo", "os_hash_value")
    assert record["status"] == "queued"
    assert {record[name] for name in facts} == {None}
    # The location stays for its owner to look at, and serves nothing.
    assert record["locations"] == [place(web.url("/hello"))]
    assert registry.client().download(image_id).status == 204
    (task,) = tasks(registry, image_id)
    assert (task["status"], task["result"]) == ("failure", None)
    assert "hash" in str(task["message"])


@pytest.mark.parametrize("way", ["post", "patch", "upload"])
def test_whatever_comes_after_a_failure_takes_its_place(
    registry: LocalRegistry, web: Web, way: str
) -> None:
    """OSSA-2016-006: what failed to verify is never served."""
    image_id, alice = queued(registry), registry.client()
    web.put("/right", b"right")
    post(registry, image_id, web.url("/hello"), "sha256", "0" * 64)
    work(registry)

    if way == "post":
        post(registry, image_id, web.url("/right"))
        work(registry)
    elif way == "patch":
        alice.patch(image_id, add("locations/-", place(web.url("/right"))))
    else:
        alice.upload(image_id, b"right")

    assert alice.download(image_id).body == b"right"
    assert len(alice.show(image_id)["locations"]) == 1


@pytest.mark.parametrize("path", ["/missing", "/empty", "/unsaid", "/broken", "/away"])
@pytest.mark.parametrize("algorithm", ["", "sha512"])
def test_an_unusable_location_leaves_the_image_to_be_retried(
    registry: LocalRegistry, web: Web, path: str, algorithm: str
) -> None:
    image_id = queued(registry)
    web.put("/empty")
    web.put("/unsaid", DATA, says_length=False)
    web.put("/broken", b"canary", status=500)
    web.redirect("/away", "http://169.254.169.254/")
    before = registry.client().show(image_id)

    digest = HASHES.get(algorithm, "")
    assert post(registry, image_id, web.url(path), algorithm, digest) == 202
    work(registry)

    after = registry.client().show(image_id)
    (task,) = tasks(registry, image_id)
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}
    assert task["status"] == "failure"
    assert task["message"]
    assert "canary" not in str(task["message"])
    assert post(registry, image_id, web.url("/hello")) == 202


def test_data_that_break_off_leave_no_hash_or_no_image(
    registry: LocalRegistry, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = registry.registry.jobs._queue.kinds
    kind = next(iter(hasty.values()))
    object.__setattr__(kind, "pause", lambda seconds: None)
    web.put("/cut", DATA, cut=1)
    plain, checked = queued(registry), queued(registry)

    post(registry, plain, web.url("/cut"))
    post(registry, checked, web.url("/cut"), "sha512", HASHES["sha512"])
    work(registry)

    record = registry.client().show(plain)
    assert (record["status"], record["checksum"]) == ("active", None)
    assert "not be hashed" in str(tasks(registry, plain)[0]["message"])
    record = registry.client().show(checked)
    assert (record["status"], record["size"]) == ("queued", None)
    assert record["locations"] == []
    assert tasks(registry, checked)[0]["status"] == "failure"
    # http_retries is 3.
    assert [path for method, path, _ in web.asked if method == "GET"] == ["/cut"] * 6


def test_hashes_are_trusted_where_the_operator_says_so(make: Make, web: Web) -> None:
    registry = without_hashing(make)
    plain, given = queued(registry), queued(registry)

    post(registry, plain, web.url("/hello"))
    post(registry, given, web.url("/hello"), "sha256", "A" * 64)
    work(registry)

    record = registry.client().show(plain)
    assert (record["status"], record["os_hash_value"]) == ("active", None)
    record = registry.client().show(given)
    assert (record["status"], record["checksum"]) == ("active", None)
    assert (record["os_hash_algo"], record["os_hash_value"]) == ("sha256", "a" * 64)
    assert {method for method, _, _ in web.asked} == {"HEAD"}


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "x",
        {"url": 1},
        {"url": None},
        {"url": "http://h/" + "x" * 3000},
        {"validation_data": {}},
        {"url": "http://192.168.0.1/x", "validation_data": None},
        {"url": "http://192.168.0.1/x", "validation_data": "x"},
        {"url": "http://192.168.0.1/x", "validation_data": {"os_hash_algo": "md5"}},
        {"url": "http://192.168.0.1/x", "validation_data": {"x": "y"}},
        {
            "url": "http://192.168.0.1/x",
            "validation_data": {"os_hash_algo": "crc", "os_hash_value": "00"},
        },
        {
            "url": "http://192.168.0.1/x",
            "validation_data": {"os_hash_algo": "md5", "os_hash_value": "z" * 32},
        },
        {
            "url": "http://192.168.0.1/x",
            "validation_data": {"os_hash_algo": "md5", "os_hash_value": "00"},
        },
    ],
)
def test_a_malformed_body(registry: LocalRegistry, document: object) -> None:
    path = f"/v2/images/{queued(registry)}/locations"

    assert registry.client().request("POST", path, document=document).status == 400


@pytest.mark.parametrize(
    ("url", "user", "service"),
    [
        ("http://192.168.0.1/x", 202, 202),
        ("https://192.168.0.1/x", 202, 202),
        ("http://127.0.0.1/x", 400, 400),
        ("http://169.254.169.254/x", 400, 400),
        ("http://2130706433/x", 400, 400),
        ("http://192.168.0.1:22/x", 400, 400),
        ("httpx://192.168.0.1/x", 400, 202),  # the work itself fails
        ("file:///etc/passwd", 403, 400),
        ("FILE:///etc/passwd", 403, 400),
        ("filesystem:///etc/passwd", 403, 400),
        ("swift+config://r/c/o", 403, 400),
        (" file:///etc/passwd", 403, 400),
        ("cinder://volume", 403, 202),
        ("", 403, 202),
    ],
)
def test_what_may_be_named(make: Make, url: str, user: int, service: int) -> None:
    registry = make()

    assert post(registry, queued(registry), url) == user
    assert post(registry, queued(registry), url, headers=SERVICE) == service


def test_a_service_token_counts_as_a_service(make: Make) -> None:
    registry = make()
    token = {
        **as_(),
        "X-Service-Identity-Status": "Confirmed",
        "X-Service-Roles": "service",
    }

    assert post(registry, queued(registry), "cinder://x", headers=token) == 202


def test_users_need_an_http_store(make: Make) -> None:
    registry = make({"glance_store": {"stores": "file"}})

    assert post(registry, queued(registry), "http://192.168.0.1/x") == 403


def test_an_image_is_locked_while_a_task_works_on_it(
    registry: LocalRegistry, web: Web
) -> None:
    image_id = queued(registry)

    assert post(registry, image_id, web.url("/hello")) == 202
    assert post(registry, image_id, web.url("/hello")) == 409
    work(registry)
    assert post(registry, image_id, web.url("/hello")) == 409
    assert len(tasks(registry, image_id)) == 1


def test_of_many_at_once_one_wins(registry: LocalRegistry, web: Web) -> None:
    image_id = queued(registry)
    statuses: list[int] = []

    def one() -> None:
        statuses.append(post(registry, image_id, web.url("/hello")))
        registry.close()

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == [202] + [409] * 7


def test_formats_must_be_known(registry: LocalRegistry, web: Web) -> None:
    image_id = queued(registry, disk_format=None)

    post(registry, image_id, web.url("/hello"))
    work(registry)

    assert registry.client().show(image_id)["status"] == "queued"
    assert "disk_format" in str(tasks(registry, image_id)[0]["message"])


def test_the_quota_counts(make: Make, web: Web) -> None:
    registry = make(merged(OPEN, {"DEFAULT": {"user_storage_quota": "4"}}))
    image_id = queued(registry)

    post(registry, image_id, web.url("/hello"))
    work(registry)

    assert registry.client().show(image_id)["status"] == "queued"
    assert "quota" in str(tasks(registry, image_id)[0]["message"])


@pytest.mark.parametrize("when", ["before", "while"])
def test_deleting_the_image_cancels_the_work(
    registry: LocalRegistry, web: Web, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id, alice = queued(registry), registry.client()
    post(registry, image_id, web.url("/hello"))
    task_id = tasks(registry, image_id)[0]["id"]
    if when == "before":
        alice.request("DELETE", f"/v2/images/{image_id}")
    else:
        monkeypatch.setattr("imagereg.jobs.location_import.LOOK_S", -1.0)
        store = registry.registry.jobs._queue.kinds
        rules = next(iter(store.values())).rules  # type: ignore[attr-defined] # the one kind
        opened = rules.stores["http"].open

        def delete_first(place: Location, *part: int) -> object:
            alice.request("DELETE", f"/v2/images/{image_id}")
            return opened(place, *part)

        monkeypatch.setattr(rules.stores["http"], "open", delete_first)

    assert work(registry) == 1

    task = registry.admin.get(f"/v2/tasks/{task_id}").json()
    assert task["status"] == "failure"
    assert alice.get(f"/v2/images/{image_id}").status == 404
    assert registry.everything().rows["image_locations"] == []
    assert registry.everything().rows["jobs"] == []


def test_a_fault_of_ours_leaves_the_image_to_be_retried(
    registry: LocalRegistry, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = queued(registry)
    post(registry, image_id, web.url("/hello"), "sha512", HASHES["sha512"])

    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("canary")

    with monkeypatch.context() as broken:
        broken.setattr("imagereg.jobs.location_import.Digests", fail)
        work(registry)

    assert tasks(registry, image_id)[0]["message"] == INTERNAL
    record = registry.client().show(image_id)
    assert (record["status"], record["locations"]) == ("queued", [])
    assert post(registry, image_id, web.url("/hello")) == 202


def test_passwords_are_kept_and_shown_to_nobody(
    registry: LocalRegistry, web: Web
) -> None:
    image_id = queued(registry)
    secret = web.url("/hello").replace("http://", "http://user:canary@")

    post(registry, image_id, secret)
    work(registry)

    client = registry.client(SERVICE)
    shown = [
        client.get(f"/v2/images/{image_id}/{part}").body
        for part in ("tasks", "locations")
    ]
    shown.append(registry.admin.get("/v2/tasks").body)
    assert not any(b"canary" in body for body in shown)
    assert web.asked[-1][2]["Authorization"].startswith("Basic ")


def test_an_attempt_that_was_cut_off_is_taken_up(
    registry: LocalRegistry, web: Web
) -> None:
    """What a worker of another machine left, after it was silent for a while."""
    image_id = queued(registry)
    post(registry, image_id, web.url("/hello"), "sha512", HASHES["sha512"])
    queue = registry.registry.jobs._queue
    (job,) = queue.jobs.unfinished()
    claimed = queue.jobs.claim(job, "elsewhere:boot:1:1")
    assert claimed is not None
    kind = queue.kinds[job.task.type]
    step = kind._first_step(  # type: ignore[attr-defined] # the first half of an attempt
        kind._image(job),  # type: ignore[attr-defined]
        Location(web.url("/hello"), store="http"),
        5,
        Digest("sha512", HASHES["sha512"]),
    )
    queue.jobs.advance(claimed, step)
    assert registry.client().show(image_id)["status"] == "importing"
    assert work(registry) == 0

    age(registry)
    assert work(registry) == 1

    record = registry.client().show(image_id)
    assert (record["status"], record["checksum"]) == ("active", HASHES["md5"])
    assert len(record["locations"]) == 1


def age(registry: LocalRegistry) -> None:
    """Let every claim be an hour old."""
    databases.execute(
        registry.where, "UPDATE jobs SET beat_at_us = beat_at_us - 3600000000"
    )


def test_a_worker_that_was_given_up_changes_nothing_any_more(
    registry: LocalRegistry, web: Web
) -> None:
    image_id = queued(registry)
    post(registry, image_id, web.url("/hello"))
    queue = registry.registry.jobs._queue
    late = queue.jobs.claim(queue.jobs.unfinished()[0], "elsewhere:boot:1:1")
    assert late is not None
    age(registry)
    work(registry)

    with pytest.raises(LeaseLost):
        queue.jobs.finish(late, Outcome(TaskStatus.FAILURE, "late"))

    assert tasks(registry, image_id)[0]["status"] == "success"


def test_a_job_that_brings_its_process_down_is_given_up(
    registry: LocalRegistry, web: Web
) -> None:
    image_id = queued(registry)
    post(registry, image_id, web.url("/hello"))
    queue = registry.registry.jobs._queue
    for number in range(5):
        (job,) = queue.jobs.unfinished()
        assert queue.jobs.claim(job, f"elsewhere:boot:{number}:1") is not None
    age(registry)

    work(registry)

    (task,) = tasks(registry, image_id)
    assert task["status"] == "failure"
    assert "given up" in str(task["message"])
    assert registry.client().show(image_id)["status"] == "queued"


def test_a_leftover_lock_is_broken(registry: LocalRegistry, web: Web) -> None:
    image_id = queued(registry)
    post(registry, image_id, web.url("/hello"))
    databases.execute(registry.where, "DELETE FROM jobs")

    assert post(registry, image_id, web.url("/hello")) == 202


def test_who_sees_locations(make: Make) -> None:
    registry = make()
    image_id, alice = queued(registry), registry.client()
    path = f"/v2/images/{image_id}/locations"

    assert registry.admin.get(path).body == b"[]"
    alice.upload(image_id, DATA)
    (found,) = json.loads(registry.admin.get(path).body)
    assert found["url"].startswith("file://")
    assert alice.get(path).status == 403
    assert registry.client(as_("nova", "p", ("service",))).get(path).status == 404
    assert json.loads(registry.client(SERVICE).get(path).body) == [found]
    alice.request("POST", f"/v2/images/{image_id}/actions/deactivate")
    assert registry.client(SERVICE).get(path).body == b"[]"
    assert json.loads(registry.admin.get(path).body) == [found]


@pytest.mark.parametrize("algorithm", ["", "sha512"])
def test_data_that_came_from_elsewhere_meanwhile_stay(
    registry: LocalRegistry, web: Web, algorithm: str
) -> None:
    image_id, alice = queued(registry), registry.client()
    web.put("/other", b"other")
    post(registry, image_id, web.url("/hello"), algorithm, HASHES.get(algorithm, ""))
    alice.patch(image_id, add("locations/-", place(web.url("/other"))))
    uploaded = alice.upload(image_id, b"too late")
    before = alice.show(image_id)

    work(registry)

    after = alice.show(image_id)
    assert uploaded.status == 409
    del before["os_glance_import_task"]
    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}
    assert tasks(registry, image_id)[0]["status"] == "failure"
    assert alice.download(image_id).body == b"other"


def test_a_name_that_only_a_proxy_knows_is_a_location(make: Make, web: Web) -> None:
    url = web.url("/hello", "far.invalid")
    lists = merged(SHOWN, {"import_filtering_opts": {"allowed_ports": "[]"}})
    direct = make(lists)
    assert post(direct, queued(direct), url) == 400
    with forward_proxy() as proxy:
        proxy.names["far.invalid"] = "127.0.0.1"
        place = {"http_proxy_information": f"http:127.0.0.1:{proxy.port}"}
        registry = make(merged(lists, {"glance_store": place}))
        image_id = queued(registry)
        assert post(registry, image_id, url) == 202
        assert work(registry) == 1

        assert registry.client().show(image_id)["status"] == "active"
        assert registry.client().download(image_id).body == DATA
    assert registry.client().download(image_id).status == 503
