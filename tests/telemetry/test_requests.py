"""One line for each request of a real server, and for the job that it began."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.server import Server, eventually
from tests.wire import Answer, Headers, as_, raw

BYTES = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def logging_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that logs JSON to a file."""
    server = Server(
        tmp_path_factory.mktemp("logs"),
        {
            "DEFAULT": {"use_json": "true", "log_dir": "{dir}", "debug": "true"},
            "oslo_policy": {"policy_file": "policy.json"},
        },
        files={"policy.json": '{"get_image": "not role:blind", "delete_image": "!"}'},
    ).start()
    yield server
    server.stop()


def every_line(server: Server) -> list[dict[str, Any]]:
    """Return the lines; the last one may just be written."""
    whole, _, _ = (server.where / "imagereg.log").read_text().rpartition("\n")
    return [orjson.loads(row) for row in whole.splitlines()]


def lines(server: Server, request_id: str) -> list[dict[str, Any]]:
    """Return the lines of a request."""
    found = every_line(server)
    return [row for row in found if row.get("request_id") == f"req-{request_id}"]


def access(server: Server, request_id: str) -> dict[str, Any]:
    """Return the line that tells of a request; it comes after the answer."""

    def found() -> list[dict[str, Any]]:
        rows = lines(server, request_id)
        return [row for row in rows if row["logger"] == "imagereg.requests"]

    assert eventually(lambda: len(found()) > 0)
    (row,) = found()
    return row


def ask(
    server: Server,
    request_id: str,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Headers | None = None,
    document: object = None,
    caller: Headers | None = None,
) -> Answer:
    """Send a request with an id."""
    sent = {"X-OpenStack-Request-ID": request_id, **(headers or {})}
    client = server.client(caller or as_("alice", "p1"))
    return client.request(method, path, body=body, headers=sent, document=document)


def test_a_request_is_told_with_all_that_matters(logging_server: Server) -> None:
    image_id = logging_server.client(as_("alice", "p1")).create()["id"]
    path = f"/v2/images/{image_id}/file"

    ask(logging_server, "up", "PUT", path, body=bytes(70_000), headers=BYTES)
    ask(logging_server, "down", "GET", f"{path}?secret=1")
    ask(logging_server, "part", "GET", path, headers={"Range": "bytes=10-19"})

    up = access(logging_server, "up")
    assert up.pop("time") > "2020"
    assert up.pop("process") > 1
    assert 0 < up.pop("duration_s") < 60
    assert path in up.pop("message")
    assert up == {
        "level": "INFO",
        "logger": "imagereg.requests",
        "request_id": "req-up",
        "user_id": "alice",
        "project_id": "p1",
        "method": "PUT",
        "path": path,
        "route": "/v2/images/<image_id>/file",
        "status": 204,
        "cut": False,
        "peer": "127.0.0.1",
        "roles": ["member", "reader"],
        "refused_by": None,
        "bytes_in": 70_000,
        "bytes_out": 0,
    }
    down = access(logging_server, "down")
    assert (down["bytes_out"], down["path"]) == (70_000, path)
    assert access(logging_server, "part")["bytes_out"] == 10


def test_the_rule_that_refused_is_told_even_if_concealed(
    logging_server: Server,
) -> None:
    image_id = logging_server.client(as_("alice", "p1")).create()["id"]
    path = f"/v2/images/{image_id}"
    blind = as_("alice", "p1", ("member", "reader", "blind"))

    ask(logging_server, "refused", "DELETE", path)
    ask(logging_server, "hidden", "GET", path, caller=blind)
    ask(logging_server, "absent", "GET", "/v2/images/none")
    ask(logging_server, "owner", "POST", "/v2/images", document={"owner": "p2"})

    told = [
        (row["status"], row["refused_by"])
        for row in (
            access(logging_server, name)
            for name in ("refused", "hidden", "absent", "owner")
        )
    ]
    assert told[:3] == [(403, "delete_image"), (404, "get_image"), (404, None)]
    assert told[3][0] == 403


def test_unknown_paths_and_callers_are_told_too(logging_server: Server) -> None:
    ask(logging_server, "nowhere", "GET", "/v2/nowhere")
    logging_server.client({}).get("/v2/images/anonymous-asks")

    row = access(logging_server, "nowhere")
    file = logging_server.where / "imagereg.log"
    assert (row["status"], row["route"]) == (404, "-")
    # The line of a request is written when its answer is on its way.
    line = "GET /v2/images/anonymous-asks 401"
    assert eventually(lambda: line in file.read_text())


def test_a_job_logs_in_the_name_of_its_request(logging_server: Server) -> None:
    image_id = logging_server.client(as_("alice", "p1")).create()["id"]
    path = f"/v2/images/{image_id}"
    ask(logging_server, "stage", "PUT", f"{path}/stage", body=b"x" * 9, headers=BYTES)

    wanted = {"method": {"name": "glance-direct"}}
    answer = ask(logging_server, "job", "POST", f"{path}/import", document=wanted)

    assert answer.status == 202
    assert eventually(
        lambda: any(
            row["logger"] == "imagereg.jobs.runner" and "ended" in row["message"]
            for row in lines(logging_server, "job")
        )
    )


def test_a_download_that_the_client_leaves_is_told_as_cut(
    logging_server: Server,
) -> None:
    size = 64 * 1024 * 1024
    client = logging_server.client(as_("alice", "p1"))
    path = f"/v2/images/{client.create()['id']}/file"
    client.request("PUT", path, body=bytes(size), headers=BYTES)

    connection = client.connect()
    connection.request(
        "GET", path, headers={**client.headers, "X-OpenStack-Request-ID": "cut"}
    )
    connection.getresponse().read(1000)
    connection.close()

    row = access(logging_server, "cut")
    assert row["cut"]
    assert row["bytes_out"] < size


def test_a_request_gunicorn_refuses_is_in_the_same_file_and_form(
    logging_server: Server,
) -> None:
    raw(logging_server.base, [b"GET /\x1b[31m HTTP/1.1\r\nBad name: x\r\n\r\n"])

    assert eventually(
        lambda: "gunicorn.error" in (logging_server.where / "imagereg.log").read_text()
    )
    text = (logging_server.where / "imagereg.log").read_text()
    assert "gunicorn.error" in text
    assert "\x1b" not in text
    assert all(every_line(logging_server))
