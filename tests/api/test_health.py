"""Alive, ready, and the reference's check: who is told what."""

import shutil
from pathlib import Path

import pytest

from tests.api.conftest import Make
from tests.registry import SEVERAL_STORES, LocalRegistry, merged
from tests.server import Config

PROXIED = {"X-Forwarded-For": "203.0.113.9"}
PATHS = ("/healthcheck", "/livez", "/readyz")


def with_options(**options: object) -> Config:
    """Return a configuration with these options of the health check."""
    return {"healthcheck": options}


def break_store(registry: LocalRegistry, name: str) -> Path:
    """Take a store's directory away; return where it was."""
    place = registry.where / "images" / name
    shutil.rmtree(place)
    return place


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_good_node_is_good(registry: LocalRegistry, path: str, method: str) -> None:
    answer = registry.client({}).request(method, path)

    assert answer.status == 200
    assert answer.body == (b"OK" if method == "GET" else b"")
    assert answer.headers["cache-control"] == "no-store"


def test_a_store_that_fails_is_named_to_those_who_may_know(make: Make) -> None:
    registry = make(SEVERAL_STORES)
    break_store(registry, "cheap")
    near, far = registry.client({}), registry.client(PROXIED)

    asked = near.get("/readyz"), far.get("/readyz")

    assert [answer.status for answer in asked] == [503, 503]
    assert asked[0].body.startswith(b"NOT READY\nstore cheap: ")
    assert asked[1].body == b"NOT READY"
    assert str(registry.where).encode() not in asked[0].body
    assert near.get("/livez").status == 200
    assert near.get("/healthcheck").status == 200


def test_programs_are_answered_in_json(make: Make) -> None:
    registry = make(merged(SEVERAL_STORES, {"cheap": {"optional": "true"}}))
    break_store(registry, "cheap")
    accept = {"Accept": "application/json"}

    near = registry.client({}).request("GET", "/readyz", headers=accept)
    far = registry.client(PROXIED).request("GET", "/readyz", headers=accept)

    # Without an optional store the node serves all the same.
    assert near.status == 200
    assert far.json() == {"ready": True}
    states = {part["name"]: part["state"] for part in near.json()["parts"]}
    assert states.pop("store cheap") == "failed"
    assert states == {
        "database": "ok",
        "store fast": "ok",
        "store web": "ok",
        "store os_glance_staging_store": "ok",
        "store os_glance_tasks_store": "ok",
    }


def test_a_database_that_is_gone_fails_the_node(make: Make) -> None:
    registry = make()
    registry.close()
    for path in (registry.where / "state").glob("registry.sqlite*"):
        path.unlink()

    answer = registry.client({}).get("/readyz")

    assert answer.status == 503
    assert answer.body.startswith(b"NOT READY\ndatabase: ")


def test_a_file_takes_the_node_out_of_service(make: Make) -> None:
    registry = make(with_options(disable_by_file_path="{dir}/off"))
    client = registry.client({})
    (registry.where / "off").touch()

    answers = [client.get(path) for path in PATHS]

    assert [answer.status for answer in answers] == [503, 200, 503]
    assert answers[0].body == answers[2].body == b"DISABLED BY FILE"
    (registry.where / "off").unlink()
    assert client.get("/healthcheck").status == 200


def test_backends_make_the_check_of_the_reference_ask_more(make: Make) -> None:
    registry = make(
        merged(SEVERAL_STORES, with_options(backends="stores", detailed="true"))
    )
    break_store(registry, "fast")

    answer = registry.client(PROXIED).get("/healthcheck")

    assert answer.status == 503
    assert b"store fast" in answer.body


@pytest.mark.parametrize("path", PATHS)
def test_others_than_the_chosen_networks_find_nothing(make: Make, path: str) -> None:
    registry = make(with_options(allowed_source_ranges="10.0.0.0/8"))

    assert registry.client({}).get(path).status == 404


@pytest.mark.parametrize("path", PATHS)
def test_proxied_requests_may_be_ignored(make: Make, path: str) -> None:
    registry = make(with_options(ignore_proxied_requests="true"))

    assert registry.client({}).get(path).status == 200
    assert registry.client(PROXIED).get(path).status == 404
