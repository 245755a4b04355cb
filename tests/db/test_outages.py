"""What a node tells of itself while its database server is away, or silent."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import databases
from tests.databases import Service
from tests.server import Server, eventually

pytestmark = pytest.mark.skipif(
    databases.NAME == "sqlite",
    reason="`.ci/run` runs it with IMAGEREG_TEST_DATABASE=postgresql and mariadb",
)

#: What a readiness check waits, in seconds.
DEADLINE_S = 2


@pytest.fixture(scope="module")
def service() -> Service:
    """Return a database server of this module's own, which it may stop."""
    return Service(databases.NAME)


@pytest.fixture(scope="module")
def server(
    service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    where = tmp_path_factory.mktemp("outages")
    url = service.database(str(where))
    running = Server(
        where,
        {
            "database": {"connection": url.replace("$", "$$")},
            "imagereg": {"ready_timeout": DEADLINE_S, "metrics": "true"},
        },
    ).start()
    yield running
    running.stop(60)


@contextmanager
def stopped(service: Service) -> Iterator[None]:
    """Stop the database server for a block."""
    service.stop()
    try:
        yield
    finally:
        service.start()


@contextmanager
def silent(service: Service) -> Iterator[None]:
    """Let the database server keep its connections for a block, and answer nothing."""
    leader = int((service.where / "service.pid").read_text())
    children = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()
    everybody = [leader, *map(int, children)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)


def is_ready(server: Server) -> bool:
    return server.client({}).get("/readyz").status == 200


@pytest.mark.parametrize("outage", [stopped, silent])
def test_a_node_without_its_database_says_so_in_time(
    service: Service, server: Server, outage: type
) -> None:
    client = server.client({})
    assert eventually(lambda: is_ready(server), 60)

    with outage(service):
        assert eventually(lambda: not is_ready(server), 60)
        begun = time.monotonic()
        answers = {path: client.get(path) for path in ("/readyz", "/livez")}
        took_s = time.monotonic() - begun

    assert answers["/readyz"].status == 503
    assert b"database: " in answers["/readyz"].body
    assert answers["/livez"].status == 200
    # The machine may be slow, but nobody waited for the database's own patience.
    assert took_s < DEADLINE_S + 8
    assert eventually(lambda: is_ready(server), 60)


def test_numbers_are_told_with_and_without_the_database(
    service: Service, server: Server
) -> None:
    client = server.client({})
    assert eventually(lambda: is_ready(server), 60)
    server.client().create()

    whole = client.get("/metrics")
    with stopped(service):
        assert eventually(lambda: not is_ready(server), 60)
        rest = client.get("/metrics")

    assert (whole.status, rest.status) == (200, 200)
    assert b"imagereg_database_up 1.0" in whole.body
    assert b'imagereg_jobs{state="waiting"} 0.0' in whole.body
    assert b"imagereg_database_up 0.0" in rest.body
    assert b"imagereg_requests_total{" in rest.body
    assert b"imagereg_jobs{" not in rest.body
