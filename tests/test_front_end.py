"""nginx in front sends the files, and the gate still decides.

Source: DATAPATH 2; the sample is `conf/nginx-x-accel.conf`, run as it is written.
"""

import hashlib
import os
from collections.abc import Callable, Iterator

import pytest

from tests.nginx import in_front
from tests.server import Server
from tests.wire import ADMIN, Answer, Client, as_

Serve = Callable[..., Server]

DATA = os.urandom(3 * 1024 * 1024)
TAG = f'"sha512:{hashlib.sha512(DATA).hexdigest()}"'
OFFER = {"X-Sendfile-Type": "X-Accel-Redirect"}
REDIRECT = "x-accel-redirect"
PAGE = "https://dashboard.example.org"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {
        "imagereg": {"x_accel_redirect": "{dir}/state/images:/_blobs/"},
        "oslo_middleware": {"enable_proxy_headers_parsing": "true"},
        "cors": {"allowed_origin": PAGE},
    }
    running = Server(tmp_path_factory.mktemp("accel"), config).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def front(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the base URL of nginx."""
    with in_front(server, server.images_dir, tmp_path_factory.mktemp("nginx")) as base:
        yield base


@pytest.fixture(scope="module")
def image_id(server: Server) -> str:
    image_id = str(server.client().create()["id"])
    assert server.client().upload(image_id, DATA).status == 204
    return image_id


def get(base: str, image_id: str, method: str = "GET", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    path = f"/v2/images/{image_id}/file"
    return Client(base).request(method, path, headers=named)


def test_nginx_sends_what_the_answer_describes(front: str, image_id: str) -> None:
    answer = get(front, image_id)

    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-md5"] == hashlib.md5(DATA).hexdigest()
    assert answer.headers["etag"] == TAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-openstack-request-id"].startswith("req-")
    # It was nginx, and nobody sees where from.
    assert answer.headers["server"].startswith("nginx")
    assert "last-modified" in answer.headers
    assert REDIRECT not in answer.headers
    assert "_blobs" not in str(answer.headers)


@pytest.mark.parametrize(
    ("span", "part"),
    [
        ("bytes=0-4", slice(0, 5)),
        ("bytes=1000000-2000000", slice(1000000, 2000001)),
        ("bytes=-3", slice(-3, None)),
        ("bytes=5-", slice(5, None)),
        ("bytes=5-99999999", slice(5, None)),
        ("bytes=-99999999", slice(0, None)),
    ],
)
def test_nginx_sends_parts(front: str, image_id: str, span: str, part: slice) -> None:
    answer = get(front, image_id, Range=span)

    first, stop, _ = part.indices(len(DATA))
    assert (answer.status, answer.body) == (206, DATA[part])
    assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/{len(DATA)}"
    assert answer.headers["content-md5"] == hashlib.md5(DATA).hexdigest()
    assert answer.headers["etag"] == TAG
    assert "last-modified" in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": f"bytes={len(DATA)}-"}, 416),
        ({"Range": "bytes=9-2"}, 416),
        ({"Range": "lines=1-2"}, 416),
        ({"Range": "bytes=0-1,3-4"}, 400),
        ({"If_None_Match": TAG}, 304),
        ({"If_None_Match": f'"x", W/{TAG}'}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": TAG, "Range": "bytes=0-1"}, 304),
    ],
)
def test_what_needs_no_file_is_answered_before(
    front: str,
    image_id: str,
    headers: dict[str, str],
    status: int,
    server: Server,
) -> None:
    through, direct = (get(base, image_id, **headers) for base in (front, server.base))

    assert through.status == direct.status == status
    assert through.headers.get("etag") == direct.headers.get("etag")
    assert through.headers.get("content-range") == direct.headers.get("content-range")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": '"other"'}, 200),
        ({"If_Modified_Since": "Thu, 01 Jan 2099 00:00:00 GMT"}, 200),
        ({"If_Unmodified_Since": "Thu, 01 Jan 1998 00:00:00 GMT"}, 200),
        ({"If_Match": TAG}, 200),
        ({"If_Range": TAG, "Range": "bytes=0-4"}, 206),
        ({"If_Range": '"other"', "Range": "bytes=0-4"}, 200),
        ({"Content_Range": "bytes 0-4/*"}, 206),
    ],
)
def test_conditions_mean_the_same_with_and_without_nginx(
    front: str, image_id: str, headers: dict[str, str], status: int, server: Server
) -> None:
    through, direct = (get(base, image_id, **headers) for base in (front, server.base))

    assert through.status == direct.status == status
    assert through.body == direct.body
    assert through.headers["etag"] == direct.headers["etag"] == TAG


def test_head_is_answered_as_get(front: str, image_id: str) -> None:
    answer = get(front, image_id, "HEAD")

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["etag"] == TAG


def test_links_name_the_front_end_whatever_a_client_claims(front: str) -> None:
    claims = {"X-Forwarded-Host": "evil", "Forwarded": "host=evil"}

    document = Client(front).request("GET", "/versions", headers=claims).json()

    assert document["versions"][0]["links"][0]["href"] == f"{front}/v2/"


def test_pages_of_other_origins_may_read_what_nginx_sends(
    front: str, image_id: str
) -> None:
    mine, other = get(front, image_id, Origin=PAGE), get(front, image_id, Origin="x")

    assert mine.headers["server"].startswith("nginx")
    assert mine.headers["access-control-allow-origin"] == PAGE
    assert mine.headers["access-control-allow-credentials"] == "true"
    assert mine.headers["vary"] == other.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", ["/_blobs/{id}", "/_blobs/", "/x/../_blobs/{id}"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_files_cannot_be_reached_from_outside(
    front: str, image_id: str, path: str, method: str
) -> None:
    answer = Client(front, ADMIN).request(method, path.format(id=image_id))

    assert answer.status == 404
    assert DATA[:100] not in answer.body


def test_a_client_cannot_name_the_place(front: str, image_id: str) -> None:
    answer = Client(front, {}).get(
        f"/v2/images/{image_id}/file", X_Accel_Redirect=f"/_blobs/{image_id}"
    )

    assert answer.status == 401


@pytest.mark.parametrize(
    ("who", "status"),
    [
        (as_("bob", "project-b"), 404),
        (as_("r", "project-a", ("reader",)), 403),
        ({}, 401),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-4"}, OFFER])
def test_a_refusal_stays_one(
    front: str,
    image_id: str,
    who: dict[str, str],
    status: int,
    headers: dict[str, str],
) -> None:
    answer = Client(front, who).request(
        "GET", f"/v2/images/{image_id}/file", headers=headers
    )

    assert answer.status == status
    assert REDIRECT not in answer.headers


def test_an_image_out_of_use_is_refused(front: str, server: Server) -> None:
    image_id = str(server.client().create()["id"])
    server.client().upload(image_id, DATA)
    path = f"/v2/images/{image_id}/actions/deactivate"
    assert Client(server.base, ADMIN).request("POST", path).status == 204

    assert get(front, image_id).status == 403
    assert Client(front, ADMIN).download(image_id).body == DATA


@pytest.mark.parametrize(
    "body", [DATA, [DATA[:100000], DATA[100000:]]], ids=["sized", "chunked"]
)
def test_uploads_pass_through(front: str, body: bytes | list[bytes]) -> None:
    client = Client(front)
    image_id = str(client.create()["id"])

    assert client.upload(image_id, body).status == 204
    assert client.download(image_id).body == DATA


def test_an_image_without_data_has_none(front: str) -> None:
    client = Client(front)
    image_id = str(client.create()["id"])

    assert client.download(image_id).status == 204


def test_a_file_of_another_size_is_not_handed_over(server: Server, front: str) -> None:
    client = Client(front)
    image_id = str(client.create()["id"])
    client.upload(image_id, DATA)
    with (server.images_dir / image_id).open("ab") as file:
        file.write(b"more")

    assert client.download(image_id).body == DATA


@pytest.mark.parametrize(
    "offer", [{}, {"X-Sendfile-Type": "X-Sendfile"}, {"X-Sendfile-Type": ""}]
)
def test_who_does_not_offer_to_send_files_gets_bytes(
    server: Server, image_id: str, offer: dict[str, str]
) -> None:
    answer = get(server.base, image_id, **offer)

    assert answer.body == DATA
    assert REDIRECT not in answer.headers


def test_a_trusted_peer_that_offers_is_told_the_name_and_no_path(
    server: Server, image_id: str
) -> None:
    answer = get(server.base, image_id, **OFFER)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers[REDIRECT] == f"/_blobs/{image_id}"
    assert str(server.where) not in str(answer.headers)


@pytest.mark.parametrize(
    "options",
    [
        {"x_accel_redirect": "{dir}/state/other:/_blobs/"},
        {"x_accel_redirect": "{dir}/state/image:/_blobs/"},
        {"x_accel_redirect": None},
    ],
)
def test_files_elsewhere_are_sent(serve: Serve, options: dict[str, str | None]) -> None:
    server = serve({"imagereg": options})
    image_id = str(server.client().create()["id"])
    server.client().upload(image_id, DATA)

    assert get(server.base, image_id, **OFFER).body == DATA


def test_who_is_not_trusted_gets_bytes(serve: Serve) -> None:
    options = {
        "x_accel_redirect": "{dir}/state/images:/_blobs/",
        "trusted_proxies": "192.0.2.1",
    }
    server = serve({"imagereg": options, "paste_deploy": {"flavor": None}})
    image_id = str(server.client().create()["id"])
    server.client().upload(image_id, DATA)

    assert get(server.base, image_id, **OFFER).body == DATA


def test_the_innermost_directory_decides(serve: Serve) -> None:
    folders = "{dir}/state:/outer/,{dir}/state/images:/inner/"
    server = serve({"imagereg": {"x_accel_redirect": folders}})
    image_id = str(server.client().create()["id"])
    server.client().upload(image_id, DATA)

    answer = get(server.base, image_id, **OFFER)

    assert answer.headers[REDIRECT] == f"/inner/{image_id}"
