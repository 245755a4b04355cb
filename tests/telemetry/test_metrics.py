"""The numbers of a real server with several processes."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.registry import SEVERAL_STORES, LocalRegistry, merged
from tests.server import Config, Server, eventually
from tests.wire import as_

CONFIG: Config = {
    # A store that a busy machine takes long to look at has not failed.
    "imagereg": {"metrics": "true", "ready_timeout": "60"},
    "oslo_policy": {"policy_file": "policy.json"},
    "DEFAULT": {"image_cache_dir": "{dir}/cache"},
}
POLICY = '{"get_image": "not role:blind", "delete_image": "rule:locked", "locked": "!"}'
SHOW = "/v2/images/<image_id>"
FILE = f"{SHOW}/file"


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server of two processes that counts."""
    server = Server(
        tmp_path_factory.mktemp("metrics"),
        merged(SEVERAL_STORES, CONFIG),
        files={"policy.json": POLICY},
        workers=2,
    ).start()
    yield server
    server.stop()


def page(server: Server) -> str:
    """Return all numbers as they are told."""
    answer = server.client({}).get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.body.decode()


def value(server: Server, name: str, **labels: object) -> float:
    """Return one number; 0 if it was never counted."""
    wanted = {f'{key}="{text}"' for key, text in labels.items()}
    for line in page(server).splitlines():
        match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if match and match[1] == name and wanted <= set((match[2] or "").split(",")):
            return float(match[3])
    return 0.0


def grows(
    server: Server, before: float, by: float, name: str, **labels: object
) -> bool:
    """Return whether a number comes to be so much larger; it may take a moment."""
    return eventually(lambda: value(server, name, **labels) == before + by)


def reaches(server: Server, least: float, name: str, **labels: object) -> bool:
    """Return whether a number comes to be so large; it may take a moment."""
    return eventually(lambda: value(server, name, **labels) >= least)


def test_requests_and_bytes_are_counted_over_all_processes(counting: Server) -> None:
    alice = counting.client()
    image_id = alice.create()["id"]
    shown = {"method": "GET", "route": SHOW, "status": 200}
    before = value(counting, "imagereg_requests_total", **shown)
    sent = value(counting, "imagereg_bytes_total", direction="out", route=FILE)

    alice.upload(image_id, bytes(50_000))
    for _ in range(20):
        alice.show(image_id)
    for _ in range(3):
        alice.download(image_id)

    assert grows(counting, before, 20, "imagereg_requests_total", **shown)
    out = {"direction": "out", "route": FILE}
    assert grows(counting, sent, 150_000, "imagereg_bytes_total", **out)
    taken = {"direction": "in", "route": FILE}
    assert reaches(counting, 50_000, "imagereg_bytes_total", **taken)
    assert reaches(counting, 20, "imagereg_request_seconds_count", route=SHOW)


def test_refusals_are_counted_by_rule_even_if_concealed(counting: Server) -> None:
    alice = counting.client()
    image_id = alice.create()["id"]
    blind = counting.client(as_(roles=("member", "reader", "blind")))
    locked = value(counting, "imagereg_policy_denials_total", rule="delete_image")

    alice.request("DELETE", f"/v2/images/{image_id}")
    blind.get(f"/v2/images/{image_id}")

    name = "imagereg_policy_denials_total"
    assert grows(counting, locked, 1, name, rule="delete_image")
    assert reaches(counting, 1, name, rule="get_image")


def test_a_running_transfer_is_seen(counting: Server) -> None:
    alice = counting.client()
    image_id = alice.create()["id"]
    name = "imagereg_active_transfers"
    connection = alice.connect()
    path = f"/v2/images/{image_id}/file"
    sent = {**alice.headers, "Content-Type": "application/octet-stream"}

    connection.putrequest("PUT", path)
    for header, text in {**sent, "Content-Length": "10"}.items():
        connection.putheader(header, text)
    connection.endheaders(b"12345")

    assert eventually(lambda: value(counting, name, direction="in") == 1)
    connection.send(b"67890")
    assert connection.getresponse().status == 204
    connection.close()
    assert eventually(lambda: value(counting, name, direction="in") == 0)
    assert eventually(lambda: value(counting, name, direction="out") == 0)


def test_the_cache_is_told_of(counting: Server) -> None:
    alice = counting.client()
    image_id = alice.create()["id"]
    alice.upload(image_id, bytes(1000))
    hits = value(counting, "imagereg_cache_lookups_total", result="hit")

    def hit() -> bool:
        alice.download(image_id)
        return value(counting, "imagereg_cache_lookups_total", result="hit") > hits

    assert eventually(hit)
    assert reaches(counting, 1, "imagereg_cache_lookups_total", result="miss")


def test_a_store_that_fails_is_counted(counting: Server) -> None:
    name = "imagereg_store_errors_total"
    place = counting.where / "images" / "cheap"
    aside = place.with_name("aside")
    before = value(counting, name, store="cheap")
    shutil.move(place, aside)
    try:
        assert counting.client({}).get("/readyz").status == 503
        assert eventually(lambda: value(counting, name, store="cheap") > before)
    finally:
        shutil.move(aside, place)
    assert value(counting, name, store="fast") == 0


def test_the_queue_is_told_of(counting: Server) -> None:
    text = page(counting)

    assert "imagereg_database_up 1.0" in text
    assert 'imagereg_jobs{state="waiting"}' in text
    assert "imagereg_jobs_oldest_waiting_seconds 0.0" in text


def test_no_label_is_what_a_client_chose(counting: Server) -> None:
    client = counting.client(as_(user="canary-user", project="canary-project"))

    client.request("GET", "/v2/images/canary-image?a=canary-query")
    client.request("GET", "/canary-path")
    client.request("CANARY", "/v2/images")
    client.request("CANARY-METHOD", "/canary-path")
    client.request("DELETE", "/v2/images/x/tags/canary-tag")
    client.request("GET", "/v2/metadefs/namespaces/canary-namespace")

    assert eventually(lambda: 'method="other"' in page(counting))
    assert "canary" not in page(counting).lower()


def test_a_proxied_request_sees_nothing(counting: Server) -> None:
    for name in ("Forwarded", "X-Forwarded-For", "Via"):
        answer = counting.client({name: "for=203.0.113.9"}).get("/metrics")
        assert answer.status == 404


def test_without_the_option_there_are_none(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path)

    assert registry.client({}).get("/metrics").status == 404
    registry.close()


def test_a_killed_worker_leaves_its_counts_and_no_transfers(
    tmp_path: Path, serve: Serve
) -> None:
    server = serve({"imagereg": {"metrics": "true"}})
    client = server.client()
    image_id = client.create()["id"]
    connection = client.connect()
    connection.putrequest("PUT", f"/v2/images/{image_id}/file")
    for name, text in client.headers.items():
        connection.putheader(name, text)
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", "10")
    connection.endheaders(b"123")
    name = "imagereg_active_transfers"
    assert eventually(lambda: value(server, name, direction="in") == 1)

    server.kill9_workers()
    connection.close()

    assert eventually(server.is_answering)
    assert eventually(lambda: value(server, name, direction="in") == 0)
    created = {"method": "POST", "route": "/v2/images", "status": 201}
    assert value(server, "imagereg_requests_total", **created) == 1


def test_a_new_run_begins_at_nothing_and_clears_up(serve: Serve) -> None:
    server = serve({"imagereg": {"metrics": "true"}})
    server.client().create()
    created = {"method": "POST", "route": "/v2/images", "status": 201}
    assert grows(server, 0, 1, "imagereg_requests_total", **created)
    assert server.process is not None
    mine = f"imagereg-metrics-{server.process.pid}-*"
    assert len(list(Path(tempfile.gettempdir()).glob(mine))) == 1

    server.kill9()
    server.start()

    assert value(server, "imagereg_requests_total", **created) == 0
    assert list(Path(tempfile.gettempdir()).glob(mine)) == []
    assert server.process is not None
    again = f"imagereg-metrics-{server.process.pid}-*"
    server.stop()
    assert list(Path(tempfile.gettempdir()).glob(again)) == []
