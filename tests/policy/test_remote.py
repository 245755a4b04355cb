"""The remote check, against real servers on 127.0.0.1."""

import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from urllib.parse import parse_qs

import pytest

from imagereg.errors import ConfigurationError, RuleFailed
from imagereg.policy.remote import RemoteClient, RemoteOptions, _Deadline
from imagereg.policy.rules import RuleSet

CERT = Path(__file__).parent / "tls" / "cert.pem"
KEY = CERT.with_name("key.pem")


class Judge(ThreadingHTTPServer):
    """A server that answers every question with ``body``, and remembers them."""

    daemon_threads = True

    def __init__(self, body: bytes = b"True", status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body = body
        self.status = status
        self.pause_s = 0.0
        self.asked: list[tuple[str, str, bytes]] = []
        self.sent = 0

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that hang up are what is tested."""

    def url(self, path: str = "/check", scheme: str = "http") -> str:
        """Return where to ask."""
        return f"{scheme}://127.0.0.1:{self.server_address[1]}{path}"


class _Handler(BaseHTTPRequestHandler):
    server: Judge

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Content-Type"], body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        for byte in self.server.body:
            time.sleep(self.server.pause_s)
            self.wfile.write(bytes([byte]))
            self.server.sent += 1

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Start = Callable[..., Judge]


@pytest.fixture
def judge() -> Iterator[Start]:
    """Yield a function that starts a server, all of which end with the test."""
    running: list[Judge] = []

    def start(body: bytes = b"True", status: int = 200, *, tls: bool = False) -> Judge:
        server = Judge(body, status)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERT, KEY)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


def ask(url: str, options: RemoteOptions | None = None, **target: object) -> bool:
    """Return the answer about a target."""
    client = RemoteClient(options) if options else RemoteClient()
    credentials = MappingProxyType({"roles": frozenset("fbdace"), "user_id": "u"})
    return client(url, "get_image", target, credentials)


@pytest.mark.parametrize(
    ("body", "status", "answer"),
    [
        (b"True", 200, True),
        (b'"True"', 200, True),
        (b"True", 403, True),  # only the body counts
        (b"True", 302, True),
        (b"False", 200, False),
        (b"true", 200, False),
        (b"True\n", 200, False),
        (b"True, or so", 200, False),
        (b'"True', 200, False),
        (b'"True"!', 200, False),
        (b"", 200, False),
    ],
)
def test_the_body_alone_is_the_answer(
    judge: Start, body: bytes, status: int, answer: bool
) -> None:
    server = judge(body, status)

    assert ask(server.url()) is answer
    assert len(server.asked) == 1


def test_the_question_is_a_form_of_json_texts(judge: Start) -> None:
    server = judge()

    ask(server.url("/check?a=b#c"), id="i", tags=("x",), size=None)

    ((path, content_type, body),) = server.asked
    form = {name: json.loads(text) for name, (text,) in parse_qs(body.decode()).items()}
    assert (path, content_type) == ("/check?a=b", "application/x-www-form-urlencoded")
    assert form == {
        "rule": "get_image",
        "target": {"id": "i", "tags": ["x"], "size": None},
        "credentials": {"roles": [*"abcdef"], "user_id": "u"},
    }


def test_the_question_can_be_json(judge: Start) -> None:
    server = judge()

    ask(server.url(), RemoteOptions(content_type="application/json"), at=Path("/x"))

    ((_, content_type, body),) = server.asked
    question = json.loads(body)
    assert content_type == "application/json"
    assert question["rule"] == "get_image"
    assert question["target"] == {"at": "/x"}


def test_a_name_with_odd_characters_reaches_the_server_quoted(judge: Start) -> None:
    server = judge()
    rules = RuleSet.from_texts(
        {"it": server.url("/%(name)s")}, remote=RemoteClient(RemoteOptions())
    )

    allowed = rules.decide({}, "it", {"name": "a b\r\nX: ä"}).allowed

    assert allowed
    assert server.asked[0][0] == "/a%20bX:%20%C3%A4"


@pytest.mark.parametrize(("path", "asked"), [("", "/"), ("?a=b", "/?a=b")])
def test_a_url_without_a_path_asks_the_root(
    judge: Start, path: str, asked: str
) -> None:
    server = judge()

    assert ask(server.url(path))
    assert server.asked[0][0] == asked


def test_an_answer_that_trickles_is_cut_off(judge: Start) -> None:
    server = judge(b"True" * 5)
    server.pause_s = 0.8

    # No byte is late for the socket's own timeout.
    with pytest.raises(RuleFailed):
        ask(server.url(), RemoteOptions(timeout_s=1))

    # Seven would be read, which takes more than 5 s.
    assert server.sent < 5


def test_of_a_long_answer_only_the_beginning_is_read(judge: Start) -> None:
    server = judge(b"True" * 500)
    server.pause_s = 0.01

    # The whole of it would take four times the time there is.
    assert ask(server.url(), RemoteOptions(timeout_s=5)) is False


def test_a_time_that_was_over_before_the_connection_counts(
    judge: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = judge()
    monkeypatch.setattr("http.client.HTTPConnection.connect", _slow_connect)

    with pytest.raises(
        RuleFailed, match=r"^remote check failed: TimeoutError\('timed out'\)$"
    ):
        ask(server.url(), RemoteOptions(timeout_s=0.01))


def _slow_connect(connection: object) -> None:
    time.sleep(0.1)
    connection.sock = None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/",  # nobody listens
        "http:relative",
        "http://",
        "http://127.0.0.1:port/",
        "http://[::1/",
        "http://host\udc80/",
    ],
)
def test_no_server_is_no_answer(url: str) -> None:
    with pytest.raises(RuleFailed):
        ask(url)


def test_a_url_without_a_host_is_told() -> None:
    with pytest.raises(RuleFailed, match=r"ValueError\('the URL names no host'\)"):
        ask("http:///check")


def test_what_is_no_http_is_no_answer(judge: Start) -> None:
    server = judge(status=1000)

    with pytest.raises(RuleFailed, match="BadStatusLine"):
        ask(server.url())


def test_what_json_cannot_say_is_no_answer(judge: Start) -> None:
    with pytest.raises(RuleFailed):
        ask(judge().url(), values={(1, 2): 3})


def test_nobody_waits_longer_than_five_seconds() -> None:
    assert RemoteClient(RemoteOptions(timeout_s=60))._timeout_s == 5


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connecting_takes_no_longer_than_the_whole(scheme: str) -> None:
    client = RemoteClient(RemoteOptions(timeout_s=3))

    assert client._connection(scheme, "host", None).timeout == 3


def test_an_unknown_certificate_is_no_answer(judge: Start) -> None:
    server = judge(tls=True)

    with pytest.raises(RuleFailed, match="CERTIFICATE_VERIFY_FAILED"):
        ask(server.url(scheme="https"))


@pytest.mark.parametrize(
    "options",
    [
        RemoteOptions(ca_file=CERT),
        RemoteOptions(verify=False),
        RemoteOptions(ca_file=CERT, client_cert_file=CERT, client_key_file=KEY),
    ],
)
def test_a_trusted_or_unchecked_certificate_is_fine(
    judge: Start, options: RemoteOptions
) -> None:
    server = judge(tls=True)

    assert ask(server.url(scheme="https"), options)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (
            RemoteOptions(content_type="text/plain"),
            "^remote_content_type `text/plain` is not",
        ),
        (
            RemoteOptions(ca_file=Path("/absent")),
            "^certificates of remote checks cannot be loaded",
        ),
        (
            RemoteOptions(client_cert_file=KEY),
            "^certificates of remote checks cannot be loaded",
        ),
    ],
)
def test_options_that_cannot_work_refuse_the_start(
    options: RemoteOptions, what: str
) -> None:
    with pytest.raises(ConfigurationError, match=what):
        RemoteClient(options)


def test_a_connection_that_is_closed_already_needs_no_cutting_off() -> None:
    deadline = _Deadline(60)
    closed = socket.socket()
    closed.close()
    deadline.guard(closed)

    deadline._cut()

    with pytest.raises(TimeoutError):
        deadline.check()


def test_an_answer_in_time_ends_the_wait() -> None:
    with _Deadline(60) as deadline:
        deadline.check()

    deadline._timer.join(60)
    assert not deadline._timer.is_alive()
