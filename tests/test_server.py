"""How the server starts, stops, and treats peers that stall."""

import http.client
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.bench.http_load import load, turns
from tests.bench.http_services import at
from tests.server import PROGRAM, Server, eventually
from tests.wire import Client

Serve = Callable[..., Server]

MiB = 1024 * 1024


class SlowUpload(threading.Thread):
    """An upload that waits in the middle until it is told to go on."""

    def __init__(self, server: Server, image: str) -> None:
        super().__init__(daemon=True)
        self.halfway = threading.Event()
        self.go_on = threading.Event()
        self.status: int | None = None
        self._url = urlsplit(server.base)
        self._image = image
        self._headers = {
            **Client(server.base).headers,
            "Content-Type": "application/octet-stream",
            "Content-Length": "2000",
        }

    def run(self) -> None:
        connection = http.client.HTTPConnection(
            self._url.hostname or "", self._url.port, timeout=120
        )
        connection.putrequest("PUT", f"/v2/images/{self._image}/file")
        for name, value in self._headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(bytes(1000))
        self.halfway.set()
        self.go_on.wait(300)
        try:
            connection.send(bytes(1000))
            self.status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            self.status = None
        finally:
            connection.close()


@pytest.fixture
def upload(serve: Serve) -> tuple[Server, SlowUpload]:
    server = serve()
    image = server.client().create()["id"]
    slow = SlowUpload(server, image)
    slow.start()
    assert slow.halfway.wait(60)
    assert eventually(lambda: server.client().show(image)["status"] == "saving")
    return server, slow


def test_sigterm_lets_a_running_upload_finish(
    upload: tuple[Server, SlowUpload],
) -> None:
    server, slow = upload
    assert server.process is not None

    server.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: not server.is_answering())
    slow.go_on.set()
    slow.join(120)

    assert slow.status == 204
    assert server.process.wait(60) == 0
    assert [path.stat().st_size for path in server.stored_files()] == [2000]


def test_a_second_sigterm_stops_at_once(upload: tuple[Server, SlowUpload]) -> None:
    server, slow = upload
    assert server.process is not None

    server.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: not server.is_answering())
    assert server.process.poll() is None
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(60)
    slow.go_on.set()
    slow.join(120)

    assert slow.status is None
    assert server.restart().stored_files() == []


def test_all_faults_of_a_configuration_are_listed_at_once(tmp_path: Path) -> None:
    conf = tmp_path / "imagereg.conf"
    conf.write_text(
        "[DEFAULT]\nlimit_param_default = many\nhashing_algorithm = rot13\n"
        "[glance_store]\ndefault_store = nowhere\n"
    )

    done = subprocess.run(
        [PROGRAM, "serve", "--config", conf],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout == ""
    for name in ("limit_param_default", "hashing_algorithm", "default_store"):
        assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_faults_of_policy_and_protection_files_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"get_image": "rule:nowhere"}')
    (tmp_path / "protections.conf").write_text("[x]\ncreate = @\n")
    conf = tmp_path / "imagereg.conf"
    conf.write_text(
        "[DEFAULT]\nproperty_protection_file = protections.conf\n"
        "[oslo_policy]\npolicy_file = policy.json\n"
        f"[imagereg]\nstate_dir = {tmp_path}/state\n"
    )

    done = subprocess.run(
        [PROGRAM, "serve", "--config", conf],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_nobody_is_administrator_from_afar(tmp_path: Path, host: str) -> None:
    done = subprocess.run(
        [PROGRAM, "serve", "--host", host, "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "allow_open_noauth" in done.stderr


def test_the_open_mode_can_be_allowed(serve: Serve) -> None:
    server = serve(
        {"paste_deploy": {"flavor": None}, "imagereg": {"allow_open_noauth": "true"}}
    )

    assert server.client({}).get("/v2/images").status == 200


def test_one_line_tells_the_url(serve: Serve) -> None:
    server = serve()

    assert f"imagereg serves {server.base}\n" in server.log()


def test_many_clients_find_enough_open_files(serve: Serve) -> None:
    server = serve(prefix=("prlimit", "--nofile=256:8192"))
    assert server.process is not None

    limits = Path(f"/proc/{server.process.pid}/limits").read_text()

    (line,) = (line for line in limits.splitlines() if "open files" in line)
    assert line.split()[3:5] == ["8192", "8192"]


def test_a_taken_port_is_told_in_words(server: Server) -> None:
    done = subprocess.run(
        [PROGRAM, "serve", "--config", server.command[3], "--port", str(server.port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "in use" in done.stderr


def page_faults(server: Server) -> int:
    """Return how often the kernel had to give the workers a page."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    stats = [Path(f"/proc/{child}/stat").read_text() for child in children]
    return sum(int(each.rpartition(")")[2].split()[7]) for each in stats)


def test_an_upload_uses_its_memory_again(serve: Serve) -> None:
    """A fresh page for each byte that comes in would be 49,152 of them."""
    server = serve(workers=1)
    client = server.client()
    image = client.create()["id"]
    before = page_faults(server)

    answer = client.upload(image, bytes(192 * MiB))

    assert answer.status == 204
    # The buffers themselves, once; glibc left to itself takes 4,600 to 9,500.
    assert page_faults(server) - before < 3500


def heaps(server: Server) -> int:
    """Return how many heaps of glibc the worker has beside the main one.

    Each is 64 MiB of addresses, most of them not in use, which end at such a boundary.
    """
    assert server.process is not None
    pid = server.process.pid
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{child}/maps").read_text().splitlines()
    unused = [line.split()[0].split("-") for line in lines if " ---p " in line]
    return sum(
        int(end, 16) % (64 * MiB) == 0 and int(end, 16) - int(start, 16) > 32 * MiB
        for start, end in unused
    )


def test_threads_share_heaps(serve: Serve) -> None:
    """Left to itself, glibc makes one for each of the first sixteen threads."""
    server = serve(workers=1)
    service = at(server.base)

    load(
        service.address,
        turns([service.request("GET", "/v2/images")]),
        connections=24,
        seconds=0.3,
    )

    assert heaps(server) <= 1
