"""The HTTP benchmark runs, tells failures from answers, and draws what it saw."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import bench_http, http_report
from tests.bench.http_cases import GROWING, LISTS, SINGLE, Service
from tests.bench.http_load import load, turns
from tests.bench.http_services import serving
from tests.server import Server

#: Loads with one connection, those with protections apart.
ONCE = len(LISTS) + sum(1 in case.connections for case in SINGLE)


def test_the_benchmark_runs_and_compares(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench_http, "ROUNDS", 1)
    one, plot = tmp_path / "one.json", tmp_path / "both.svg"
    small = ["--images", "60", "80", "--seconds", "0.05", "--connections", "1"]

    bench_http.main([*small, "--json", str(one)])
    bench_http.main(["--compare", str(one), str(one), "--plot", str(plot)])

    report = http_report.read(one)
    assert len(report.measures) == ONCE + len(LISTS) + 2 * (len(GROWING) + 3)
    assert all(each.requests and not each.failures for each in report.measures)
    assert all(each.others == 0 for each in report.measures)
    assert [each.images for each in report.memory] == [60, 80]
    printed = capsys.readouterr().out
    assert printed.count("create, 20 protections, c=1") == 2
    assert printed.count("create, no protections, c=1") == 2
    assert printed.count("list 100 of 80, in turn, c=1") == 2
    bars = ElementTree.fromstring(plot.read_text()).findall("{*}rect")
    assert len(bars) >= 2 * sum(bool(each.cpu_ms) for each in report.measures)


def test_any_service_is_measured_by_its_url(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(tmp_path, {"paste_deploy": {"flavor": None}}).start()
    assert server.process is not None
    asked = ["--url", server.base, "--token", "t", "--fill", "12", "--only-lists"]
    asked += ["--seconds", "0.05", "--pids", str(server.process.pid)]

    bench_http.main([*asked, "--connections", "1", "--name", "elsewhere"])

    server.kill9()
    printed = capsys.readouterr().out
    assert printed.startswith("elsewhere: ")
    assert printed.count("c=1") == len(LISTS)


@pytest.mark.parametrize("name", ["create", "PATCH", "mixed"])
def test_sixteen_writers_meet_no_failure(twenty: Service, name: str) -> None:
    case = next(each for each in SINGLE if each.name == name)

    seen = load(
        twenty.address,
        case.make(twenty, twenty.ids()),
        connections=16,
        seconds=0.7,
    )

    assert seen.requests >= 16
    assert set(seen.statuses) <= case.expected


@pytest.fixture(scope="module")
def twenty() -> Iterator[Service]:
    """Yield a service of two processes with a few images."""
    with serving(20) as (service, _):
        yield service


@contextmanager
def answering(status: int, *, closes: bool) -> Iterator[tuple[str, int]]:
    """Run a server that answers everything alike, and hangs up without a word."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")
            self.close_connection = closes

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Keep still."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield "127.0.0.1", server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [200, 404, 500])
@pytest.mark.parametrize("closes", [False, True])
def test_every_request_is_counted_once_by_its_status(status: int, closes: bool) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    with answering(status, closes=closes) as address:
        seen = load(address, turns([request]), connections=3, seconds=0.1)

    assert seen.requests >= 3
    assert seen.statuses == {status: seen.requests}
    assert 0 < seen.percentile(0.5) <= seen.percentile(0.99) < 60
