"""Imports: what is refused at once, what the work comes to, and how it fails.

Source: contract api-images 18; rulings D-9 to D-11, D-16 and D-21.
"""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from imagereg.db.locks import GIVEN_UP
from tests.api.conftest import Make
from tests.api.imports import (
    BYTES,
    DATA,
    SINGLE,
    STORES,
    Importing,
    everything_of,
    execute,
    mend,
    spoil,
    staged,
    with_parallel,
)
from tests.registry import LocalRegistry, merged, replace
from tests.server import eventually
from tests.stores.web import Web, web_server
from tests.wire import as_

SUCCESS, FAILURE = "success", "failure"

MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
SHA512 = hashlib.sha512(DATA).hexdigest()


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        running.put("/data", DATA)
        yield running


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make(STORES)


@pytest.fixture
def single(make: Make) -> LocalRegistry:
    return make(SINGLE)


# What goes well


@pytest.mark.parametrize("path", ["file", "stage"])
def test_an_image_that_was_promised_to_an_import_takes_no_other_data(
    registry: LocalRegistry, web: Web, path: str
) -> None:
    image = Importing(registry).fetch(web)

    answer = image.alice.request(
        "PUT", f"/v2/images/{image.id}/{path}", body=b"other", headers=BYTES
    )

    assert (answer.status, image.record["status"]) == (409, "queued")
    assert everything_of(registry, image.id) == {}
    assert staged(registry) == []
    assert image.work()["checksum"] == MD5


def test_staged_data_come_into_the_only_store(single: LocalRegistry) -> None:
    image = Importing(single).stage()

    assert image.ask().headers.get("content-type") is None
    waiting = image.record
    record = image.work()

    assert (waiting["status"], waiting["os_glance_import_task"]) == (
        *("uploading", image.task["id"]),
    )
    assert image.facts == ("active", "", "", "")
    assert not image.is_locked
    assert (record["size"], record["virtual_size"]) == (len(DATA), len(DATA))
    assert (record["checksum"], record["os_hash_value"]) == (MD5, SHA512)
    assert image.alice.download(image.id).body == DATA
    assert (image.task["status"], image.task["result"]) == (
        *(SUCCESS, {"image_id": image.id}),
    )
    assert image.task["input"] == {
        "image_id": image.id,
        "import_req": {"method": {"name": "glance-direct"}},
        "backend": [None],
    }
    assert staged(single) == []


def test_data_of_the_web_come_into_several_stores_in_their_order(
    registry: LocalRegistry, web: Web
) -> None:
    image = Importing(registry).fetch(web, stores=["slow", "fast", "slow"])
    record = image.work()

    assert image.facts == ("active", "slow,fast", "", "")
    assert (record["checksum"], record["os_hash_value"]) == (MD5, SHA512)
    assert image.task["input"]["backend"] == ["slow", "fast"]
    assert sorted(everything_of(registry, image.id).values()) == [DATA, DATA]
    assert staged(registry) == []


@pytest.mark.parametrize("parallel", [1, 2, 5])
def test_all_stores_are_filled_in_order_however_many_at_a_time(
    make: Make, web: Web, parallel: int
) -> None:
    image = Importing(make(with_parallel(parallel))).fetch(web, all_stores=True)
    image.work()

    # Not the one that takes no data.
    assert image.facts == ("active", "fast,cheap,slow", "", "")


def test_the_header_names_the_store(registry: LocalRegistry) -> None:
    image = Importing(registry).stage()

    assert image.ask(headers={"X-Image-Meta-Store": "slow"}).status == 202
    image.work()

    assert image.facts == ("active", "slow", "", "")


def test_an_image_is_copied_without_a_change_to_what_it_is(
    registry: LocalRegistry,
) -> None:
    image = Importing(registry).upload()
    before = image.record

    assert image.copy(stores=["slow"]).status == 202
    after = image.work()

    moving = ("updated_at", "stores")
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed - {*moving} == {
        *("os_glance_importing_to_stores", "os_glance_failed_import"),
    }
    assert image.facts == ("active", "fast,slow", "", "")
    assert list(everything_of(registry, image.id).values()) == [DATA, DATA]
    assert image.task["owner"] == "project-admin"


def test_copies_skip_the_stores_that_have_it_until_none_is_left(
    registry: LocalRegistry,
) -> None:
    image = Importing(registry).upload()

    assert image.copy(all_stores=True).status == 202
    image.work()
    first = image.task["id"]
    assert image.copy(all_stores=True).status == 202
    image.work()

    assert image.facts == ("active", "fast,cheap,slow", "", "")
    assert image.task["id"] == first


def test_a_copy_is_read_where_it_can_be(registry: LocalRegistry) -> None:
    image = Importing(registry).upload()
    image.copy(stores=["cheap"])
    image.work()
    spoil(registry, "fast")

    image.copy(stores=["slow"])
    image.work()

    assert image.facts == ("active", "fast,cheap,slow", "", "")


def test_an_empty_image_can_be_imported(registry: LocalRegistry, web: Web) -> None:
    web.put("/data", b"")
    image = Importing(registry).fetch(web, stores=["fast", "cheap"])

    assert image.work()["size"] == 0
    assert image.facts == ("active", "fast,cheap", "", "")


def test_an_import_clears_what_a_failed_location_left(
    registry: LocalRegistry, web: Web
) -> None:
    image = Importing(registry)
    wrong = {"os_hash_algo": "sha256", "os_hash_value": "0" * 64}
    location = {"url": web.url("/data"), "validation_data": wrong}
    path = f"/v2/images/{image.id}/locations"
    assert image.alice.request("POST", path, document=location).status == 202
    assert image.work()["stores"] == "web"

    image.fetch(web)
    image.work()

    assert image.facts == ("active", "fast", "", "")


# What is refused at once


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        "text",
        {"method": None},
        {"method": "glance-direct"},
        {"method": []},
        {"method": {}},
        {"method": {"name": None}},
        {"method": {"name": []}},
        {"method": {"name": "glance-download"}},
        {"method": {"name": "glance-direct"}, "all_stores": "true"},
        {"method": {"name": "glance-direct"}, "all_stores": None},
        {"method": {"name": "glance-direct"}, "all_stores_must_succeed": 0},
        {"method": {"name": "glance-direct"}, "stores": "fast"},
        {"method": {"name": "glance-direct"}, "stores": [1]},
        {"method": {"name": "glance-direct"}, "stores": ["s"] * 1001},
    ],
)
def test_a_body_that_cannot_be_meant(registry: LocalRegistry, document: object) -> None:
    image = Importing(registry).stage()
    before = registry.everything()

    path = f"/v2/images/{image.id}/import"
    answer = image.alice.request("POST", path, document=document)

    assert answer.status == 400, answer
    assert registry.everything() == before


@pytest.mark.parametrize(
    ("options", "headers", "status"),
    [
        ({"stores": ["nope"]}, {}, 409),
        ({"stores": ["fast", "web"]}, {}, 409),
        ({}, {"X-Image-Meta-Store": "nope"}, 409),
        ({"stores": ["fast"], "all_stores": True}, {}, 400),
        ({"stores": ["fast"]}, {"X-Image-Meta-Store": "fast"}, 400),
        ({"all_stores": True}, {"X-Image-Meta-Store": "fast"}, 400),
    ],
)
def test_a_choice_of_stores_that_cannot_be(
    registry: LocalRegistry,
    options: Mapping[str, Any],
    headers: dict[str, str],
    status: int,
) -> None:
    image = Importing(registry).stage()
    before = registry.everything()

    assert image.ask(headers=headers, **options).status == status
    assert registry.everything() == before


def test_what_a_single_store_leaves_to_choose(single: LocalRegistry) -> None:
    image = Importing(single).stage()

    assert image.ask(all_stores_must_succeed=False).status == 400
    ignored = {"X-Image-Meta-Store": "nope"}
    accepted = image.ask(stores=["nope"], all_stores=True, headers=ignored)
    assert accepted.status == 202
    assert image.work()["status"] == "active"


def test_copies_need_several_stores(make: Make) -> None:
    methods = {"DEFAULT": {"enabled_import_methods": "[copy-image]"}}
    image = Importing(make(methods)).upload()

    assert image.copy().status == 400


def test_a_store_that_has_it_is_named_in_vain(registry: LocalRegistry) -> None:
    image = Importing(registry).upload()

    assert image.copy(stores=["cheap", "fast"]).status == 400
    assert image.copy(stores=["fast"], all_stores_must_succeed=False).status == 400
    assert image.copy().status == 400


@pytest.mark.parametrize(
    ("method", "state"),
    [
        ("glance-direct", "queued"),
        ("glance-direct", "active"),
        ("web-download", "uploading"),
        ("web-download", "active"),
        ("copy-image", "queued"),
        ("copy-image", "uploading"),
    ],
)
def test_a_status_that_the_method_does_not_begin_on(
    registry: LocalRegistry, method: str, state: str
) -> None:
    image = Importing(registry)
    if state != "queued":
        image.stage() if state == "uploading" else image.upload()

    answer = image.ask({"name": method, "uri": "http://192.168.0.1/"})

    assert answer.status == 409, answer


def test_the_status_comes_before_the_rule_but_is_no_strangers_business(
    registry: LocalRegistry,
) -> None:
    image = Importing(registry, visibility="community")
    reader = as_("rita", "project-a", ("reader",))
    nobody = as_("bill", "project-a", ("foo",))
    registry.client().patch(image.id, replace("name", "n"))

    assert image.ask(caller=reader).status == 409
    assert image.ask(caller=nobody).status == 404
    image.stage()
    assert image.ask(caller=reader).status == 403
    assert image.ask(caller=nobody).status == 404
    # The lock and the stores come behind the rule, and the URL last.
    assert image.ask(caller=reader, stores=["nope"]).status == 403


def test_formats_must_be_there(registry: LocalRegistry) -> None:
    bare = Importing(registry, disk_format=None, container_format=None)
    uri = {"name": "web-download", "uri": "nonsense"}

    assert bare.ask(uri).status == 409
    assert b"container_format" in bare.ask(uri).body
    bare.alice.patch(bare.id, replace("container_format", "bare"))
    assert b"disk_format" in bare.ask(uri).body
    bare.alice.patch(bare.id, replace("disk_format", "raw"))
    assert bare.ask(uri).status == 400


def test_data_of_which_a_part_is_missing_wait_for_it(registry: LocalRegistry) -> None:
    image = Importing(registry)
    path = f"/v2/images/{image.id}/stage"
    part = {
        "Content-Type": "application/octet-stream",
        "Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA) + 1}",
    }
    assert image.alice.request("PUT", path, body=DATA, headers=part).status == 204

    assert image.ask().status == 409
    last = {**part, "Content-Range": f"bytes {len(DATA)}-{len(DATA)}/{len(DATA) + 1}"}
    assert image.alice.request("PUT", path, body=b"!", headers=last).status == 204
    image.begin()

    assert image.work()["size"] == len(DATA) + 1
    assert image.alice.download(image.id).body == DATA + b"!"


def test_an_image_that_a_task_works_on_is_taken(
    registry: LocalRegistry, web: Web
) -> None:
    image = Importing(registry).fetch(web)

    again = image.ask({"name": "web-download", "uri": web.url("/data")})
    # Whichever way the stores are wrong.
    other = image.ask({"name": "web-download", "uri": ""}, stores=["nope"])

    assert (again.status, other.status) == (409, 409)
    assert image.work()["status"] == "active"


@pytest.mark.parametrize(
    ("state", "minutes", "is_broken"),
    [
        ("pending", 119, False),
        ("pending", 121, True),
        ("processing", 59, False),
        ("processing", 61, True),
    ],
)
def test_a_lock_of_which_nothing_was_heard_is_broken(
    registry: LocalRegistry, web: Web, state: str, minutes: int, is_broken: bool
) -> None:
    image = Importing(registry).fetch(web)
    stuck = image.task["id"]
    execute(
        registry,
        "UPDATE tasks SET status = ?, updated_at_us = updated_at_us - ?",
        *(state, minutes * 60_000_000),
    )

    answer = image.ask({"name": "web-download", "uri": web.url("/data")})

    tasks = image.alice.get(f"/v2/images/{image.id}/tasks").json()["tasks"]
    (first,) = (task for task in tasks if task["id"] == stuck)
    assert answer.status == (202 if is_broken else 409)
    assert (first["status"] == FAILURE) is is_broken
    assert (first["message"] == GIVEN_UP) is is_broken
    assert image.work()["status"] == "active"


def test_a_lock_without_a_task_holds_nobody(registry: LocalRegistry, web: Web) -> None:
    image = Importing(registry)
    execute(
        registry,
        "INSERT INTO image_properties "
        "(image_id, name, value, head, typed, created_at_us) "
        "VALUES (?, 'os_glance_import_task', 'gone', 'gone', FALSE, 0)",
        image.id,
    )

    image.fetch(web)

    assert image.work()["status"] == "active"
    assert not image.is_locked


# How it fails


def test_one_store_that_fails_undoes_a_download(
    registry: LocalRegistry, web: Web
) -> None:
    place = spoil(registry, "cheap")
    image = Importing(registry).fetch(web, stores=["fast", "cheap", "slow"])

    record = image.work()

    # D-11: neither the one that was rolled back nor the one that was not tried.
    assert image.facts == ("queued", "", "", "cheap")
    assert not image.is_locked
    assert [record[name] for name in ("size", "checksum", "os_hash_value")] == [
        None
    ] * 3
    assert image.task["status"] == FAILURE
    assert "cheap" in image.task["message"]
    assert str(registry.where) not in image.task["message"]
    assert everything_of(registry, image.id) == {}
    assert staged(registry) == []
    mend(place)
    image.fetch(web, stores=["cheap"]).work()
    assert image.facts == ("active", "cheap", "", "")


def test_staged_data_that_a_store_refused_are_gone(registry: LocalRegistry) -> None:
    spoil(registry, "cheap")
    image = Importing(registry).stage().begin(stores=["fast", "cheap"])

    record = image.work()

    # D-9.
    assert image.facts == ("queued", "", "", "cheap")
    assert (record["size"], image.is_locked) == (None, False)
    assert everything_of(registry, image.id) == {}
    assert staged(registry) == []
    image.stage(b"other").begin()
    assert image.work()["status"] == "active"


def test_copies_are_taken_back_and_the_image_stays(registry: LocalRegistry) -> None:
    place = spoil(registry, "slow")
    image = Importing(registry).upload()

    image.copy(stores=["cheap", "slow"])
    image.work()

    assert image.facts == ("active", "fast", "", "slow")
    assert not image.is_locked
    assert list(everything_of(registry, image.id).values()) == [DATA]
    assert staged(registry) == []
    assert image.alice.download(image.id).body == DATA
    mend(place)
    image.copy(stores=["cheap", "slow"])
    image.work()
    assert image.facts == ("active", "fast,cheap,slow", "", "")


@pytest.mark.parametrize("parallel", [1, 3])
def test_where_that_is_allowed_the_good_stores_keep_it(
    make: Make, web: Web, parallel: int
) -> None:
    registry = make(with_parallel(parallel))
    spoil(registry, "fast")
    image = Importing(registry).fetch(
        web, stores=["fast", "cheap", "slow"], all_stores_must_succeed=False
    )

    image.work()

    assert image.facts == ("active", "cheap,slow", "", "fast")
    assert image.task["status"] == SUCCESS
    assert staged(registry) == []


def test_copies_that_fail_in_part_are_told(registry: LocalRegistry) -> None:
    spoil(registry, "cheap")
    image = Importing(registry).upload()

    image.copy(all_stores=True, all_stores_must_succeed=False)
    image.work()

    assert image.facts == ("active", "fast,slow", "", "cheap")
    assert image.task["status"] == SUCCESS


def test_if_all_fail_the_image_waits_again(registry: LocalRegistry, web: Web) -> None:
    for store in ("cheap", "slow"):
        spoil(registry, store)
    image = Importing(registry).fetch(
        web, stores=["slow", "cheap"], all_stores_must_succeed=False
    )

    image.work()

    # D-10: the lock is gone.
    assert image.facts == ("queued", "", "", "cheap,slow")
    assert (image.is_locked, image.task["status"]) == (False, FAILURE)
    assert staged(registry) == []


def test_a_failed_store_is_forgotten_when_it_is_tried_again(
    registry: LocalRegistry, web: Web
) -> None:
    for store in ("cheap", "slow"):
        spoil(registry, store)
    image = Importing(registry).fetch(
        web, stores=["slow", "cheap"], all_stores_must_succeed=False
    )
    image.work()

    image.fetch(web, stores=["fast"]).work()
    assert image.facts == ("active", "fast", "", "cheap,slow")
    mend(registry.where / "images" / "slow")
    image.copy(stores=["slow"])
    image.work()

    assert image.facts == ("active", "fast,slow", "", "cheap")


def test_a_store_that_got_the_data_in_another_way_failed_no_more(
    registry: LocalRegistry, web: Web
) -> None:
    for store in ("fast", "cheap"):
        spoil(registry, store)
    image = Importing(registry).fetch(
        web, stores=["fast", "cheap"], all_stores_must_succeed=False
    )
    image.work()
    mend(registry.where / "images" / "fast")

    image.upload()

    assert image.facts == ("active", "fast", "", "cheap")


@pytest.mark.parametrize("stores", [["fast"], ["fast", "cheap"]])
def test_data_that_are_not_what_the_format_says(
    registry: LocalRegistry, web: Web, stores: list[str]
) -> None:
    image = Importing(registry, disk_format="qcow2").fetch(web, stores=stores)

    record = image.work()

    assert image.facts == ("queued", "", "", "fast")
    assert record["checksum"] is None
    assert image.task["status"] == FAILURE
    assert everything_of(registry, image.id) == {}
    assert staged(registry) == []


@pytest.mark.parametrize(
    "page",
    [
        {"status": 404},
        {"status": 403, "body": b"the secret of the intranet"},
        {"status": 500},
        {"status": 204, "says_length": False},
        {"body": DATA, "cut": 1},
        {"body": DATA, "cut": len(DATA) // 2},
        {"body": DATA, "headers": {"Content-Encoding": "gzip"}},
        {"status": 302, "headers": {"Location": "http://169.254.169.254/latest"}},
        {"status": 302, "headers": {"Location": "file:///etc/passwd"}},
        {"status": 302, "headers": {"Location": "/data"}},
    ],
)
def test_a_source_that_cannot_be_read_is_told_in_one_sentence(
    registry: LocalRegistry, web: Web, page: dict[str, Any]
) -> None:
    web.put("/data", **page)
    image = Importing(registry).fetch(web, stores=["slow", "fast"])

    image.work()

    assert image.facts == ("queued", "", "", "fast,slow")
    assert (image.is_locked, image.task["status"]) == (False, FAILURE)
    assert image.task["message"] == "the data could not be read from their source"
    assert staged(registry) == []


def test_a_source_takes_no_longer_than_it_may(make: Make, web: Web) -> None:
    limit = {"imagereg": {"web_download_timeout": "1"}}
    held = threading.Event()
    # Two halves of which the second waits longer than that, once it is asked for.
    web.put("/data", DATA, held=held)
    registry = make(merged(STORES, limit))
    image = Importing(registry).fetch(web)

    def hold() -> None:
        assert eventually(lambda: bool(web.asked))
        time.sleep(1.2)
        held.set()

    holder = threading.Thread(target=hold)
    holder.start()
    image.work()
    holder.join()

    assert image.facts == ("queued", "", "", "fast")
    assert staged(registry) == []


def test_a_copy_that_nobody_has_any_more(registry: LocalRegistry) -> None:
    image = Importing(registry).upload()
    (registry.where / "images" / "fast" / image.id).unlink()

    image.copy(stores=["slow"])
    image.work()

    assert image.facts == ("active", "fast", "", "slow")
    assert image.task["status"] == FAILURE


def test_a_copy_of_other_bytes_is_not_kept(registry: LocalRegistry) -> None:
    image = Importing(registry).upload()
    place = registry.where / "images" / "fast" / image.id
    place.write_bytes(DATA[::-1])

    image.copy(stores=["slow"])
    image.work()

    assert image.facts == ("active", "fast", "", "slow")
    assert list(everything_of(registry, image.id)) == [f"images/fast/{image.id}"]


def test_the_password_of_a_url_is_for_its_server_alone(
    registry: LocalRegistry, web: Web
) -> None:
    image = Importing(registry)
    uri = web.url("/data", host="user:hush@127.0.0.1")

    image.begin({"name": "web-download", "uri": uri})
    image.work()

    told = image.alice.get(f"/v2/images/{image.id}/tasks").body
    assert image.record["status"] == "active"
    assert b"hush" not in told
    assert image.task["input"]["import_req"]["method"]["uri"] == web.url("/data")
    assert web.asked[-1][2]["Authorization"].startswith("Basic ")


# Others meanwhile


@pytest.mark.parametrize("method", ["glance-direct", "web-download", "copy-image"])
def test_an_image_that_is_deleted_before_the_work_begins(
    registry: LocalRegistry, web: Web, method: str
) -> None:
    image = Importing(registry)
    if method == "glance-direct":
        image.stage().begin()
    elif method == "web-download":
        image.fetch(web)
    else:
        image.upload().copy(stores=["slow"])

    assert image.alice.request("DELETE", f"/v2/images/{image.id}").status == 204
    assert registry.registry.jobs.run_pending() == 1

    assert image.alice.get(f"/v2/images/{image.id}").status == 404
    assert everything_of(registry, image.id) == {}
    assert staged(registry) == []


def test_an_image_that_is_deleted_while_its_data_come_in(
    registry: LocalRegistry, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagereg.jobs.watch.LOOK_S", 0.0)
    held = threading.Event()
    web.put("/data", DATA, held=held)
    image = Importing(registry).fetch(web, stores=["fast", "slow"])

    def delete() -> None:
        image.alice.request("DELETE", f"/v2/images/{image.id}")
        registry.registry.engine.close()
        held.set()

    deleter = threading.Timer(0.3, delete)
    deleter.start()
    registry.registry.jobs.run_pending()
    deleter.join()

    assert image.alice.get(f"/v2/images/{image.id}").status == 404
    assert everything_of(registry, image.id) == {}
    assert staged(registry) == []


def test_an_upload_takes_no_image_from_the_import_that_was_accepted(
    registry: LocalRegistry, web: Web
) -> None:
    image = Importing(registry).fetch(web)
    refused = image.alice.upload(image.id, b"mine")

    image.work()

    assert refused.status == 409
    assert image.facts[:2] == ("active", "fast")
    assert image.alice.download(image.id).body == DATA
    assert not image.is_locked


def test_formats_that_are_taken_away_meanwhile(
    registry: LocalRegistry, web: Web
) -> None:
    image = Importing(registry).fetch(web)
    image.alice.patch(image.id, replace("disk_format", None))

    image.work()

    assert (image.record["status"], image.task["status"]) == ("queued", FAILURE)
    assert not image.is_locked


# Limits


def limited(text: str) -> dict[str, str]:
    return {"limits.ini": f"[default]\n{text}\n"}


LIMITS = merged(STORES, {"imagereg": {"limits_file": "limits.ini"}})
MiB = bytes(1024 * 1024)


@pytest.mark.parametrize(
    ("limit", "way", "state"),
    [
        ("image_size_total = 1", "direct", "queued"),
        ("image_size_total = 1", "web", "queued"),
        ("image_stage_total = 1", "web", "queued"),
    ],
)
def test_data_beyond_what_a_project_may_have(
    make: Make, web: Web, limit: str, way: str, state: str
) -> None:
    registry = make(LIMITS, files=limited(limit))
    web.put("/data", MiB + b"!")
    image = Importing(registry)
    if way == "direct":
        image.stage(MiB + b"!").begin()
    else:
        image.fetch(web)

    record = image.work()

    assert (record["status"], image.is_locked) == (state, False)
    assert image.task["status"] == FAILURE
    assert "quota of the project" in image.task["message"]
    assert everything_of(registry, image.id) == {}
    assert staged(registry) == []
    # Exactly as much as allowed is welcome.
    web.put("/data", MiB)
    image.fetch(web)
    assert image.work()["status"] == "active"


def test_each_copy_counts(make: Make) -> None:
    registry = make(LIMITS, files=limited("image_size_total = 2"))
    image = Importing(registry).upload(MiB)

    image.copy(stores=["cheap"])
    image.work()
    image.copy(stores=["slow"])
    image.work()

    assert image.facts == ("active", "fast,cheap", "", "slow")
    assert image.task["status"] == FAILURE
    usage = registry.client().get("/v2/info/usage").json()["usage"]
    assert usage["image_size_total"] == {"usage": 2, "limit": 2}
    assert len(everything_of(registry, image.id)) == 2


def test_a_project_over_its_limit_begins_nothing(make: Make) -> None:
    registry = make(LIMITS, files=limited("image_size_total = 2"))
    image = Importing(registry).upload(MiB)
    execute(registry, "UPDATE images SET size = size * 3")

    assert image.ask("copy-image", stores=["slow"]).status == 413


def test_work_at_a_time_is_limited(make: Make, web: Web) -> None:
    registry = make(LIMITS, files=limited("image_count_uploading = 1"))
    other = Importing(registry).stage()
    image = Importing(registry).fetch(web)
    image.work()

    assert (image.record["status"], image.task["status"]) == ("queued", FAILURE)
    assert "uploads at once" in image.task["message"]
    other.begin()
    assert other.work()["status"] == "active"
    assert image.fetch(web).work()["status"] == "active"


def test_the_size_cap_counts_what_comes_in(make: Make, web: Web) -> None:
    registry = make(merged(STORES, {"DEFAULT": {"image_size_cap": "1000"}}))
    for says_length in (True, False):
        web.put("/data", DATA, says_length=says_length)
        image = Importing(registry).fetch(web)

        assert image.work()["status"] == "queued"
        assert "size limit" in image.task["message"]
        assert staged(registry) == []
