"""What a log line looks like, and what it can never hold."""

import logging
import sys

import orjson
import pytest

from imagereg.errors import ActionDenied, ImageNotFound, NotFound, NotOwner
from imagereg.occasion import Occasion, refusal_of, working_for
from imagereg.telemetry.lines import (
    CONTEXT_FORMAT,
    DEFAULT_FORMAT,
    Access,
    JSONLines,
    TextLines,
    clean,
)

TEXT = TextLines(CONTEXT_FORMAT, DEFAULT_FORMAT, "%H:%M")
WHO = Occasion("req-1", "u1", "p1", "GET", "/v2/images/x", "::1", "/v2/images/<i>")


def record(message: object, *args: object) -> logging.LogRecord:
    """Return a record as a logger makes it, with the exception that is on its way."""
    exc_info = sys.exc_info() if sys.exc_info()[0] else None
    return logging.LogRecord("a.b", logging.INFO, "f.py", 1, message, args, exc_info)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain `text` äöü 日本", "plain `text` äöü 日本"),
        ("a\r\n2026-01-01 INFO forged", r"a\r\n2026-01-01 INFO forged"),
        ("\x1b[31mred\x07\x00\x7f\x9b", r"\x1b[31mred\x07\x00\x7f\x9b"),
        ("\u2028\u202efdp.exe\u2066", r"\u2028\u202efdp.exe\u2066"),
        ("half \ud83d of one", r"half \ud83d of one"),
        ("postgresql://reg:pw@db/x", "postgresql://***@db/x"),
        ("https://u:p%40w@h/a?b", "https://***@h/a?b"),
        ("GET /b/k?X-Amz-Signature=ab12&x=1", "GET /b/k?X-Amz-Signature=***&x=1"),
        ("AWSAccessKeyId=AKIA1&Expires=2", "AWSAccessKeyId=***&Expires=2"),
        ("{'X-Auth-Token': 'abc-def'}", "{'X-Auth-Token': '***'}"),
        ("Authorization: Basic dTpw", "Authorization: ***"),
        ("token gAAAAABmZZZZZZZZZZZZZZZZZZZZZZ-_ is bad", "token *** is bad"),
        ("at http://h/a?v=1&sig=ab%2F12 now", "at http://h/a?v=1&sig=*** now"),
        (
            "at `http://h/a?client_secret=x` now",
            "at `http://h/a?client_secret=***` now",
        ),
        ("mail me@example.org a token", "mail me@example.org a token"),
    ],
)
def test_no_control_and_no_key_gets_into_a_line(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    assert TEXT.format(record("%s", text)).endswith(f"INFO a.b [-] {cleaned}")
    assert orjson.loads(JSONLines().format(record("%s", text)))["message"] == cleaned


def test_a_line_of_a_request_names_it() -> None:
    with working_for(WHO):
        text = TEXT.format(record("it is %s", "done"))
        document = orjson.loads(JSONLines().format(record("it is %s", "done")))

    assert text.endswith("INFO a.b [req-1 u1 p1] it is done")
    assert document["request_id"] == "req-1"
    assert (document["user_id"], document["project_id"]) == ("u1", "p1")
    assert (document["level"], document["logger"]) == ("INFO", "a.b")


def test_a_format_of_the_reference_is_honoured() -> None:
    lines = TextLines(
        "%(asctime)s %(process)d %(name)s [%(global_request_id)s %(request_id)s"
        " %(user_identity)s] %(instance)s%(message)s",
        "%(levelname)s %(message)s",
        "%Y",
    )
    with working_for(WHO):
        inside = lines.format(record("m"))

    assert inside.endswith("a.b [- req-1 u1 p1 - - -] m")
    assert lines.format(record("m")) == "INFO m"


def fail(message: str) -> None:
    """Raise an error with a message that a client chose."""
    raise ValueError(message)


def test_a_traceback_cannot_look_like_lines() -> None:
    try:
        fail("first\n2026-01-01 00:00:00 INFO forged //u:secret@h")
    except ValueError:
        text = TEXT.format(record("failed"))
        document = orjson.loads(JSONLines().format(record("failed")))

    first, *rest = text.splitlines()
    assert first.endswith("failed")
    assert rest
    assert all(line.startswith("    ") for line in rest)
    assert "secret" not in text
    assert "secret" not in document["traceback"]


def test_a_request_is_one_line_with_all_of_it() -> None:
    done = Occasion(
        *("req-1", "u1", "p1", "PUT", "/v2/images/x\n/file", "10.0.0.1"),
        *("/v2/images/<image_id>/file", "member,reader", "upload_image", 403),
        *(10, 20, 0.25, True),
    )
    with working_for(done):
        text = TEXT.format(record(Access(done)))
        document = orjson.loads(JSONLines().format(record(Access(done))))

    assert text.endswith(
        r"PUT /v2/images/x\n/file 403 cut route=/v2/images/<image_id>/file"
        " peer=10.0.0.1 roles=member,reader refused_by=upload_image in=10 out=20"
        " duration=0.250000"
    )
    shown = ("method", "path", "route", "status", "cut", "roles", "refused_by")
    assert [document[name] for name in shown] == [
        *("PUT", r"/v2/images/x\n/file", "/v2/images/<image_id>/file", 403, True),
        *(["member", "reader"], "upload_image"),
    ]
    assert (document["bytes_in"], document["bytes_out"]) == (10, 20)
    assert document["duration_s"] == 0.25


def test_a_concealed_refusal_is_known_by_its_cause() -> None:
    hidden = ImageNotFound("x")
    hidden.__cause__ = ActionDenied("get_image", "restricted")
    twice = NotFound("nothing")
    twice.__cause__ = hidden

    assert refusal_of(hidden) == "restricted"
    assert refusal_of(twice) == "restricted"
    assert refusal_of(NotOwner("no")) == "(ownership)"
    assert refusal_of(ImageNotFound("x")) is None


def test_a_failure_that_is_its_own_cause_ends_the_search() -> None:
    again = NotFound("nothing")
    again.__cause__ = again

    assert refusal_of(again) is None


def test_secrets_of_the_configuration_are_masked_wherever_they_come_from() -> None:
    lines = TextLines(CONTEXT_FORMAT, DEFAULT_FORMAT, "%Y", ("/hook/very-secret",))

    text = lines.format(record("POST %s HTTP/1.1", "/hook/very-secret"))

    assert text.endswith("POST *** HTTP/1.1")
