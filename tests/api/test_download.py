"""Ranges, entity tags and HEAD of image data.

Source: contract api-images 16, compute-fetch C-15; RFC 9110.
"""

import hashlib

import pytest

from tests.api.personas import ABSENT, DATA, an_image
from tests.registry import LocalRegistry
from tests.wire import Answer, as_

TAG = f'"sha512:{hashlib.sha512(DATA).hexdigest()}"'


@pytest.fixture(scope="module")
def image_id(registry: LocalRegistry) -> str:
    """Return the id of a public image with data."""
    return an_image()(registry, "public")["image_id"]


def get(
    registry: LocalRegistry, image_id: str, headers: dict[str, str], method: str = "GET"
) -> Answer:
    path = f"/v2/images/{image_id}/file"
    return registry.client().request(method, path, headers=headers)


def test_data_are_described(registry: LocalRegistry, image_id: str) -> None:
    answer = get(registry, image_id, {})

    assert (answer.status, answer.body) == (200, DATA)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["content-md5"] == hashlib.md5(DATA).hexdigest()
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == TAG
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=2-4"}])
def test_head_says_what_get_would(
    registry: LocalRegistry, image_id: str, headers: dict[str, str]
) -> None:
    whole, alone = (
        get(registry, image_id, headers, method) for method in ("GET", "HEAD")
    )

    assert alone.status == whole.status
    assert alone.body == b""
    drop = "x-openstack-request-id"
    assert {**alone.headers, drop: ""} == {**whole.headers, drop: ""}


@pytest.mark.parametrize(
    ("tags", "status"),
    [
        (TAG, 304),
        (f"W/{TAG}", 304),
        (f'"other", {TAG}', 304),
        ('"other"', 200),
        ("*", 304),
        (TAG.strip('"'), 200),
        ("", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_data_that_the_client_has_are_not_sent_again(
    registry: LocalRegistry, image_id: str, tags: str, status: int, method: str
) -> None:
    answer = get(registry, image_id, {"If-None-Match": tags}, method)

    assert answer.status == status
    assert answer.headers["etag"] == TAG
    assert answer.body == (DATA if (status, method) == (200, "GET") else b"")


@pytest.mark.parametrize(
    ("tag", "status"), [(TAG, 206), ('"other"', 200), (f"W/{TAG}", 200), ("", 200)]
)
def test_a_part_is_sent_only_of_the_data_the_client_knows(
    registry: LocalRegistry, image_id: str, tag: str, status: int
) -> None:
    answer = get(registry, image_id, {"Range": "bytes=2-4", "If-Range": tag})

    assert answer.status == status
    assert answer.body == (DATA[2:5] if status == 206 else DATA)


def test_a_part_says_which_it_is(registry: LocalRegistry, image_id: str) -> None:
    answer = get(registry, image_id, {"Range": "bytes=-3"})

    first, size = len(DATA) - 3, len(DATA)
    assert answer.body == DATA[-3:]
    assert answer.headers["content-range"] == f"bytes {first}-{size - 1}/{size}"
    assert answer.headers["content-length"] == "3"
    assert answer.headers["content-md5"] == hashlib.md5(DATA).hexdigest()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Range": "bytes=999-"}, 416),
        ({"Range": "bytes=-0"}, 416),
        ({"Range": "bytes=-"}, 416),
        ({"Range": "lines=1-2"}, 416),
        ({"Range": "bytes=0-1,3-4"}, 400),
        ({"Content-Range": "bytes 0-999/*"}, 416),
        ({"Content-Range": f"bytes 0-4/{len(DATA)}"}, 206),
        ({"Content-Range": "nonsense", "Range": "bytes=0-1"}, 206),
    ],
)
def test_ranges_that_are_none_are_refused(
    registry: LocalRegistry, image_id: str, headers: dict[str, str], status: int
) -> None:
    answer = get(registry, image_id, headers)

    assert answer.status == status
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(DATA)}"


def test_an_empty_image_has_no_part(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create(visibility="public")["id"])
    registry.admin.upload(image_id, b"")

    whole = get(registry, image_id, {})
    part = get(registry, image_id, {"Range": "bytes=0-"})

    assert (whole.status, whole.body) == (200, b"")
    assert part.status == 416


@pytest.mark.parametrize(
    "headers", [{}, {"Range": "bytes=0-1"}, {"If-None-Match": "*"}]
)
def test_an_image_without_data_has_none(
    registry: LocalRegistry, headers: dict[str, str]
) -> None:
    image_id = str(registry.admin.create(visibility="public")["id"])

    answer = get(registry, image_id, headers)

    assert (answer.status, answer.body) == (204, b"")
    assert "content-type" not in answer.headers
    assert "etag" not in answer.headers


def test_data_that_vanished_from_the_store_are_none(registry: LocalRegistry) -> None:
    image_id = an_image()(registry, "public")["image_id"]
    for path in (registry.where / "images").rglob(f"*{image_id}*"):
        path.unlink()

    assert get(registry, image_id, {}).status == 204


@pytest.mark.parametrize(
    "headers", [{}, {"If-None-Match": TAG}, {"Range": "bytes=0-1"}, {"If-Range": TAG}]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions_open_no_door(
    registry: LocalRegistry, headers: dict[str, str], method: str
) -> None:
    out_of_use = an_image("deactivated")(registry, "public")["image_id"]
    private = an_image()(registry, "private")["image_id"]
    reader = registry.client(as_("r", "project-a", ("reader",)))

    def status(client: object, image: str) -> int:
        path = f"/v2/images/{image}/file"
        return registry.client().request(method, path, headers=headers).status

    assert status(None, out_of_use) == 403
    assert status(None, private) == status(None, ABSENT) == 404
    public = an_image()(registry, "public")["image_id"]
    path = f"/v2/images/{public}/file"
    assert reader.request(method, path, headers=headers).status == 403
