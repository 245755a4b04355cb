"""Downloads from the S3 service itself, once the gate has let the client go.

Source: issue 5, item 3.  The service is a real one, the URLs are used as they come.
"""

import http.client
import random
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import pytest

from imagereg.stores.s3 import S3Driver
from tests import databases
from tests.conftest import Serve
from tests.server import Server, eventually
from tests.stores.bucket import Service
from tests.test_s3_store import s3_options, single
from tests.wire import ADMIN, Answer, as_, read

DATA = random.Random(7).randbytes(6 * 1024 * 1024 + 1)
ASK = {"X-Image-Redirect": "allow"}

Make = Callable[..., tuple[Server, str]]


@pytest.fixture
def driver(s3: Service) -> S3Driver:
    return s3.driver()


@pytest.fixture
def make(serve: Serve, driver: S3Driver) -> Make:
    """Return what starts a server, and makes an image whose data lie in S3."""

    def start(**options: object) -> tuple[Server, str]:
        config = {**single(driver, **options), "DEFAULT": {"debug": True}}
        server = serve(config)
        image_id = str(server.client().create()["id"])
        assert server.client().upload(image_id, DATA).status == 204
        return server, image_id

    return start


def ask(
    server: Server,
    image_id: str,
    headers: Mapping[str, str] = ASK,
    who: Mapping[str, str] | None = None,
    method: str = "GET",
) -> Answer:
    path = f"/v2/images/{image_id}/file"
    return server.client(who).request(method, path, headers=headers)


def follow(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Return what the service answers to the bare URL."""
    parts = urlsplit(url)
    service = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    service.request("GET", f"{parts.path}?{parts.query}", headers=dict(headers or {}))
    try:
        return read(service)
    finally:
        service.close()


def test_who_asks_reads_from_the_service(make: Make, driver: S3Driver) -> None:
    server, image_id = make()

    answer = ask(server, image_id)
    url = answer.headers["location"]
    whole = follow(url)
    part = follow(url, {"Range": "bytes=1000000-1000009"})

    assert (answer.status, answer.body) == (307, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert urlsplit(url).netloc == driver._options.host
    assert "X-Amz-Expires=300&" in url
    assert (whole.status, whole.body) == (200, DATA)
    assert image_id in whole.headers["content-disposition"]
    assert (part.status, part.body) == (206, DATA[1000000:1000010])
    assert driver._options.secret_key not in url


def test_the_url_is_in_no_log(make: Make, driver: S3Driver) -> None:
    server, image_id = make()

    url = ask(server, image_id).headers["location"]

    signature = url.partition("X-Amz-Signature=")[2].partition("&")[0]
    assert len(signature) == 64
    assert eventually(lambda: image_id in server.log())
    assert signature not in server.log()
    assert "X-Amz" not in server.log()


def test_the_url_is_good_for_one_object_and_for_reading(make: Make) -> None:
    server, image_id = make()
    other = str(server.client().create()["id"])
    server.client().upload(other, b"other bytes")
    url = ask(server, image_id).headers["location"]
    parts = urlsplit(url)

    elsewhere = follow(url.replace(image_id, other))
    changed = follow(url.replace("X-Amz-Expires=300", "X-Amz-Expires=3000"))
    service = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    service.request("DELETE", f"{parts.path}?{parts.query}")
    deleted = read(service)
    service.close()

    assert (elsewhere.status, changed.status, deleted.status) == (403, 403, 403)
    assert server.client().download(image_id).body == DATA


def test_the_url_expires(make: Make) -> None:
    server, image_id = make(redirect_expires=1)

    url = ask(server, image_id).headers["location"]

    assert eventually(lambda: follow(url).status == 403)


@pytest.mark.parametrize(
    ("headers", "method"),
    [
        ({}, "GET"),
        ({"X-Image-Redirect": "no"}, "GET"),
        ({"X-Image-Redirect": ""}, "GET"),
        (ASK, "HEAD"),
    ],
)
def test_who_does_not_ask_is_served_from_here(
    make: Make, headers: dict[str, str], method: str
) -> None:
    server, image_id = make()

    answer = ask(server, image_id, headers, method=method)

    assert answer.status == 200
    assert answer.headers["content-length"] == str(len(DATA))
    assert "location" not in answer.headers


def test_a_store_may_never_redirect(make: Make) -> None:
    server, image_id = make(redirect_downloads="never")

    assert (ask(server, image_id).status, ask(server, image_id).body) == (200, DATA)


def test_a_store_may_always_redirect(make: Make) -> None:
    server, image_id = make(redirect_downloads="always")

    answer = ask(server, image_id, {})

    assert answer.status == 307
    assert follow(answer.headers["location"]).body == DATA
    assert ask(server, image_id, {}, method="HEAD").status == 200


@pytest.mark.parametrize("options", [{}, {"redirect_downloads": "always"}])
def test_nobody_is_redirected_past_the_gate(
    make: Make, options: dict[str, object]
) -> None:
    server, image_id = make(**options)
    refused = {
        "not logged in": (ask(server, image_id, who={}), 401),
        "not visible": (ask(server, image_id, who=as_("b", "project-b")), 404),
        "no right": (ask(server, image_id, who=as_("r", roles=("reader",))), 403),
        "unknown store": (
            server.client().get(
                f"/v2/images/{image_id}/file?prefer=none", X_Image_Redirect="allow"
            ),
            400,
        ),
    }
    path = f"/v2/images/{image_id}/actions/deactivate"
    server.client(ADMIN).request("POST", path)
    refused["out of use"] = (ask(server, image_id), 403)

    for name, (answer, status) in refused.items():
        assert answer.status == status, name
        assert "location" not in answer.headers, name
        assert b"X-Amz" not in answer.body, name


def test_conditions_come_first(make: Make) -> None:
    server, image_id = make()
    tag = ask(server, image_id, {}).headers["etag"]

    answer = ask(server, image_id, {**ASK, "If-None-Match": tag})

    assert answer.status == 304
    assert "location" not in answer.headers


def test_an_object_that_is_gone_or_another_is_no_place_to_go(
    make: Make, driver: S3Driver
) -> None:
    server, image_id = make()

    driver._client.call("put_object", Key=image_id, Body=b"of another size")
    changed = ask(server, image_id)
    driver._client.call("delete_object", Key=image_id)
    gone = ask(server, image_id)
    queued = ask(server, str(server.client().create()["id"]))

    assert (changed.status, gone.status, queued.status) == (503, 204, 204)


@pytest.mark.parametrize(
    ("prefer", "status"), [("cheap", 307), ("fast", 200), ("", 200)]
)
def test_the_store_that_would_be_read_decides(
    serve: Serve, driver: S3Driver, prefer: str, status: int
) -> None:
    config = {
        "DEFAULT": {"enabled_backends": "fast:file, cheap:s3"},
        "glance_store": {
            "stores": None,
            "default_store": None,
            "filesystem_store_datadir": None,
            "default_backend": "fast",
        },
        "fast": {"weight": 10},
        "cheap": s3_options(driver),
    }
    server = serve(config)
    image_id = str(server.client().create()["id"])
    server.client().upload(image_id, DATA)
    driver._client.call("put_object", Key=image_id, Body=DATA)
    options = driver._options
    url = f"s3://{options.host}/{options.bucket}/{image_id}"
    databases.execute(
        server.where,
        "INSERT INTO image_locations (image_id, url, metadata, store) "
        "VALUES (?, ?, '{\"store\": \"cheap\"}', 'cheap')",
        image_id,
        url,
    )

    answer = server.client().get(
        f"/v2/images/{image_id}/file?prefer={prefer}", X_Image_Redirect="allow"
    )

    assert answer.status == status
