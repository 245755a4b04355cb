"""What the answers of a service mean, played by a service that answers by script."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from imagereg.errors import FetchFailed, FetchNoData, FetchRefused, FetchUnreachable
from imagereg.fetch import Fetcher
from imagereg.fetch.reporting import Reporter
from tests.fetch.conftest import DATA, Node, sha512

IMAGE_ID = "22222222-3333-4444-8555-666666666666"
IMAGE = {
    "id": IMAGE_ID,
    "status": "active",
    "size": len(DATA),
    "os_hash_algo": "sha512",
    "os_hash_value": sha512(DATA),
    "disk_format": "raw",
    "container_format": "bare",
}

#: Status, headers and body of an answer.
Answer = tuple[int, Mapping[str, str], bytes]

SHOWN: Answer = (200, {}, json.dumps(IMAGE).encode())
SENT: Answer = (200, {}, DATA)


class Script:
    """A service that gives prepared answers, the last one again and again.

    Attributes:
        asked: path and headers of each request.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.answers: list[Answer] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                script.asked.append((self.path, dict(self.headers)))
                several = len(script.answers) > 1
                status, headers, body = script.answers[0]
                if several:
                    del script.answers[0]
                self.send_response(status)
                for name, value in {
                    "Content-Length": str(len(body)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, args=[0.02], daemon=True
        ).start()

    def close(self) -> None:
        """Answer no more."""
        self.server.shutdown()
        self.server.server_close()


Make = Callable[..., Script]


@pytest.fixture
def script() -> Iterator[Make]:
    made: list[Script] = []

    def make(*answers: Answer) -> Script:
        made.append(Script())
        made[-1].answers = list(answers)
        return made[-1]

    yield make
    for each in made:
        each.close()


def fetch(node: Node, script: Script, auth: Any = None, **options: int) -> str:  # noqa: ANN401 - whatever has two methods
    """Fetch the image, and return where from."""
    far = node.with_service(script.base, **options)
    return Fetcher(far.config, auth).fetch(IMAGE_ID, node.dest).source


def in_seconds(seconds: float) -> str:
    """Return a date as services write them."""
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("after", "least_s", "most_s"),
    [
        pytest.param(lambda: "7", 7, 7, id="seconds"),
        pytest.param(lambda: "99999", 120, 120, id="too many seconds"),
        pytest.param(lambda: in_seconds(60), 50, 61, id="a date"),
        pytest.param(lambda: in_seconds(60).replace("GMT", "-0000"), 50, 61, id="UTC"),
        pytest.param(lambda: in_seconds(9999), 120, 120, id="a late date"),
        pytest.param(lambda: in_seconds(-60), 0, 0.25, id="a date that has passed"),
        pytest.param(lambda: "soon", 0, 0.25, id="no date"),
        pytest.param(lambda: "-7", 0, 0.25, id="no number"),
        pytest.param(lambda: "", 0, 0.25, id="nothing"),
    ],
)
def test_a_busy_service_is_asked_again_when_it_wants(
    node: Node,
    script: Make,
    monkeypatch: pytest.MonkeyPatch,
    after: Callable[[], str],
    least_s: float,
    most_s: float,
) -> None:
    busy = script((429, {"Retry-After": after()}, b""), SHOWN, SENT)
    waited: list[float] = []
    monkeypatch.setattr(Reporter, "wait", lambda _, seconds: waited.append(seconds))

    assert fetch(node, busy) == "http"

    (pause_s,) = waited
    assert least_s <= pause_s <= most_s
    assert node.dest.read_bytes() == DATA


@pytest.mark.parametrize(
    ("answers", "failure"),
    [
        pytest.param([SHOWN, (204, {}, b"")], FetchNoData, id="no data"),
        pytest.param([SHOWN, (403, {}, b"{}")], FetchRefused, id="refused"),
        pytest.param([SHOWN, (401, {}, b"{}")], FetchRefused, id="unknown caller"),
        pytest.param([SHOWN, (503, {}, b"")], FetchUnreachable, id="always busy"),
        pytest.param([SHOWN, (521, {}, b"")], FetchUnreachable, id="always broken"),
        pytest.param([SHOWN, (200, {}, DATA[:-1])], FetchUnreachable, id="too short"),
        pytest.param([SHOWN, (200, {}, DATA + b"?")], FetchFailed, id="too long"),
        pytest.param([SHOWN, (418, {}, b"tea")], FetchFailed, id="odd"),
        pytest.param([(200, {}, b"<html>")], FetchUnreachable, id="no registry"),
        pytest.param(
            [SHOWN, (307, {"Location": "file:///etc/passwd"}, b"")],
            FetchRefused,
            id="odd redirect",
        ),
    ],
)
def test_other_answers_end_it(
    node: Node, script: Make, answers: list[Answer], failure: type[FetchFailed]
) -> None:
    with pytest.raises(failure):
        fetch(node, script(*answers), num_retries=1)

    assert not node.dest.exists()


class Renewing:
    """A caller whose first token has expired."""

    def __init__(self) -> None:
        self.tokens = ["old", "new"]

    def headers(self) -> Mapping[str, str]:
        return {"X-Auth-Token": self.tokens[0]}

    def renew(self) -> bool:
        del self.tokens[0]
        return True


def test_an_expired_token_is_renewed_once(node: Node, script: Make) -> None:
    strict = script(SHOWN, (401, {}, b"{}"), SENT)

    assert fetch(node, strict, Renewing()) == "http"

    sent = [headers["X-Auth-Token"] for _, headers in strict.asked]
    assert sent == ["old", "old", "new"]


def test_whoever_is_redirected_to_gets_no_credentials(node: Node, script: Make) -> None:
    store = script(SENT)
    redirect = (307, {"Location": f"{store.base}/bucket/key?signed"}, b"")
    service = script(SHOWN, redirect)

    assert fetch(node, service, Renewing()) == "http"

    ((path, headers),) = store.asked
    assert path == "/bucket/key?signed"
    assert "X-Auth-Token" not in headers
    assert node.dest.read_bytes() == DATA
