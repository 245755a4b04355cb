"""`imagereg worker`: processes that only work off the queue."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import Serve
from tests.server import PROGRAM, Config, Server, eventually
from tests.stores.web import Web, web_server

DATA = bytes(range(256)) * 4096

CONFIG: Config = {
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"},
    "imagereg": {"run_jobs": "false"},
}

# Starts one for a server's configuration.
Work = Callable[[Server], "subprocess.Popen[str]"]


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@pytest.fixture
def work() -> Iterator[Work]:
    with ExitStack() as running:

        def start(server: Server) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [PROGRAM, "worker", "--config", server.where / "etc/imagereg.conf"],
                cwd=server.where,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                text=True,
            )
            running.callback(process.communicate)
            running.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == "imagereg works off the queue\n"
            return process

        yield start


def begin(server: Server, uri: str) -> str:
    client = server.client()
    image_id = str(client.create()["id"])
    document = {"method": {"name": "web-download", "uri": uri}}
    path = f"/v2/images/{image_id}/import"
    assert client.request("POST", path, document=document).status == 202
    return image_id


def status(server: Server, image_id: str) -> str:
    return str(server.client().show(image_id)["status"])


def test_a_server_that_runs_no_jobs_leaves_them_to_a_worker(
    serve: Serve, work: Work, web: Web
) -> None:
    server = serve(CONFIG)
    image_id = begin(server, web.put("/x", DATA))
    before = status(server, image_id)

    worker = work(server)

    assert before == "queued"
    assert eventually(lambda: status(server, image_id) == "active")
    assert server.client().download(image_id).body == DATA
    # It was the worker's own doing, and it ends when it is told to.
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert status(server, begin(server, web.url("/x"))) == "queued"


def test_a_worker_reads_its_configuration_again(
    serve: Serve, work: Work, web: Web
) -> None:
    server = serve(
        {
            **CONFIG,
            "image_import_opts": {"image_import_plugins": "[inject_image_metadata]"},
            "inject_metadata_properties": {"inject": "edition:first"},
        }
    )
    worker = work(server)
    conf = server.where / "etc" / "imagereg.conf"
    kept = conf.read_text()
    uri = web.put("/x", DATA)

    def edition() -> object:
        image_id = begin(server, uri)
        assert eventually(lambda: status(server, image_id) == "active", 60)
        return server.client().show(image_id).get("edition")

    found = [edition()]
    conf.write_text(kept.replace("edition:first", "edition:second"))
    worker.send_signal(signal.SIGHUP)
    assert eventually(lambda: edition() == "second", 60)
    conf.write_text(kept.replace("trusted-headers", "magic"))
    worker.send_signal(signal.SIGHUP)
    found += [edition(), edition()]
    worker.send_signal(signal.SIGTERM)

    assert found == ["first", "second", "second"]
    assert worker.wait(60) == 0


def test_a_worker_that_is_told_to_stop_ends_what_it_does(
    serve: Serve, work: Work, web: Web
) -> None:
    held = threading.Event()
    server = serve(CONFIG)
    worker = work(server)
    image_id = begin(server, web.put("/x", DATA, held=held))
    assert eventually(lambda: status(server, image_id) == "importing")

    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
    held.set()

    assert worker.wait(60) == 0
    assert status(server, image_id) == "active"


def test_another_worker_goes_on_where_one_died(
    serve: Serve, work: Work, web: Web
) -> None:
    held = threading.Event()
    server = serve(CONFIG)
    first = work(server)
    image_id = begin(server, web.put("/x", DATA, held=held))
    assert eventually(lambda: status(server, image_id) == "importing")

    first.kill()
    first.wait()
    work(server)
    held.set()

    assert eventually(lambda: status(server, image_id) == "active", 60)
    assert server.client().download(image_id).body == DATA
