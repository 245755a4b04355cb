"""What a session makes of the answers of real, and of odd, servers."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from imagereg.client.session import Patience, Session
from imagereg.errors import RegistryRefused, RegistryUnreachable

#: Status and body of each answer in turn; the last one is repeated.
Answers = list[tuple[int, bytes]]


class Odd:
    """A server that answers as it was told.

    Attributes:
        asked: how many requests it has had.
    """

    def __init__(self, answers: Answers) -> None:
        self.asked = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers[min(outer.asked, len(answers) - 1)]
                outer.asked += 1
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Write nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def ask(answers: Answers, patience_s: float = 5) -> tuple[object, int]:
    """Return what a session reads, or the failure, and how often it asked."""
    server = Odd(answers)
    session = Session(server.base, {}, patience_s=patience_s)
    result: object
    try:
        result = session.get("/v2/images/x").json()
    except (RegistryRefused, RegistryUnreachable) as failure:
        result = failure
    finally:
        session.close()
        server.close()
    return result, server.asked


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_waited_for(status: int) -> None:
    result, asked = ask([(status, b"later"), (200, b'{"id": "x"}')])

    assert (result, asked) == ({"id": "x"}, 2)


def test_patience_has_an_end() -> None:
    result, asked = ask([(503, b"down")], patience_s=0.5)

    assert isinstance(result, RegistryUnreachable)
    assert "503: down" in result.message
    assert asked == 2


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b'{"message": "no image", "code": "404 Not Found"}', "no image (404)"),
        (401, b'{"error": {"message": "who", "code": 401}}', "who (401)"),
        (403, b"403 Forbidden\n\nnot you\n\n", "403 Forbidden not you (403)"),
        (400, b"", "no reason given (400)"),
        (400, b"\xff" * 1000, "\ufffd" * 300 + " (400)"),
        (400, b'["a list"]', '["a list"] (400)'),
        (302, b"elsewhere", "elsewhere (302)"),
        (200, b"<html>", "not one of a registry"),
        (200, b"[]", "not one of a registry"),
    ],
)
def test_refusals_are_told_once_and_in_few_words(
    status: int, body: bytes, words: str
) -> None:
    result, asked = ask([(status, body)])

    assert isinstance(result, RegistryRefused)
    assert (result.status, asked) == (status, 1)
    assert words in result.message
    assert len(result.message) < 400


def test_whoever_stops_does_not_wait_any_longer() -> None:
    stopped = threading.Event()
    patience = Patience(3600, stopped)
    failure = RegistryUnreachable("down")
    stopped.set()
    before = time.monotonic()

    with pytest.raises(RegistryUnreachable):
        patience.wait(failure)

    assert time.monotonic() - before < 60
