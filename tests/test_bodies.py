"""Where a body ends: at each byte, and before the next request.  Source: DATAPATH 1."""

import pytest

from tests.server import Server, eventually, is_as_before
from tests.test_crash import CHUNKED, chunk, is_status, upload_head
from tests.wire import End, as_, head, raw

DATA = b"a body of a few bytes"
SIZED_BODY = ({"Content-Length": str(len(DATA))}, DATA)
CHUNKED_BODY = (
    CHUNKED,
    chunk(DATA[:5])
    + b"a;name=value\r\n"
    + DATA[5:15]
    + b"\r\n"
    + chunk(DATA[15:])
    # A trailer may follow the last chunk.
    + b"0\r\nX-Trailer: x\r\n\r\n",
)
BODIES = {"sized": SIZED_BODY, "chunked": CHUNKED_BODY}


@pytest.mark.parametrize("end", [End.SHUT, End.CLOSE, End.RESET])
@pytest.mark.parametrize("kind", BODIES)
def test_a_client_may_go_at_any_byte(server: Server, kind: str, end: End) -> None:
    client = server.client()
    framing, body = BODIES[kind]
    before = server.stored_files()
    images = [client.create()["id"] for _ in range(len(body))]

    for position, image_id in enumerate(images):
        sent = upload_head(image_id, framing) + body[:position]
        answer = raw(server.base, [sent], end)
        assert not answer.startswith(b"HTTP/1.1 2"), (position, answer)

    # Who does not wait for an answer may go before the upload has begun, so what is
    # looked at twice may differ.
    assert eventually(
        lambda: (
            is_as_before(server, before)
            and all(is_status(client, each, "queued")() for each in images)
        )
    )


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("kind", BODIES)
def test_the_next_request_begins_where_the_body_ends(
    server: Server, kind: str, step: int
) -> None:
    client = server.client()
    image_id = client.create()["id"]
    framing, body = BODIES[kind]
    path = f"/v2/images/{image_id}/file"
    sent = upload_head(image_id, framing) + body
    sent += head("GET", path, as_())
    sent += head("GET", path, {**as_(), "Connection": "close"})

    pieces = [sent[at : at + step] for at in range(0, len(sent), step)]
    answer = raw(server.base, pieces)

    first, *downloads = answer.split(b"HTTP/1.1 ")[1:]
    assert first.startswith(b"204 ")
    assert [each[:4] for each in downloads] == [b"200 ", b"200 "]
    assert all(each.endswith(b"\r\n\r\n" + DATA) for each in downloads)


@pytest.mark.parametrize("kind", BODIES)
def test_a_refused_body_is_not_taken_for_a_request(server: Server, kind: str) -> None:
    client = server.client()
    image_id = client.create()["id"]
    assert client.upload(image_id, b"first").status == 204
    inner = head("DELETE", f"/v2/images/{image_id}", as_())
    framing = {"Content-Length": str(len(inner))} if kind == "sized" else CHUNKED
    body = inner if kind == "sized" else chunk(inner) + b"0\r\n\r\n"

    last = head("GET", "/v2/images", {**as_(), "Connection": "close"})
    answer = raw(server.base, [upload_head(image_id, framing) + body + last])

    statuses = [each[:3] for each in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses in ([b"409", b"200"], [b"409"])
    assert client.show(image_id)["status"] == "active"


@pytest.mark.parametrize(
    "size_line",
    [
        *(b"5\n", b"5;a\rb\r\n", b" 5\r\n", b"5 \r\n", b"\r\n", b"5,\r\n", b"0b1\r\n"),
        *(b"5_0\r\n", b"f" * 40 + b"\r\n", b"\xb2\r\n", b"5;" + b"x" * 70000),
    ],
)
def test_an_odd_chunk_size_is_refused(server: Server, size_line: bytes) -> None:
    client = server.client()
    image_id = client.create()["id"]
    body = size_line + b"hello\r\n0\r\n\r\n"

    answer = raw(server.base, [upload_head(image_id, CHUNKED) + body], End.SHUT)

    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert eventually(is_status(client, image_id, "queued"))
