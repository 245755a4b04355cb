"""Limits of a project hold, also against many requests at once."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.images.quotas import LimitTable, ProjectLimits, load_limits
from tests.server import Server, eventually
from tests.wire import Answer, Client, as_

RAW = {"disk_format": "raw", "container_format": "bare"}
LIMITS = """
[default]
image_count_total = 5
image_size_total = 1

[busy]
image_count_total = -1
image_count_uploading = 1
"""


@pytest.fixture
def limited(serve: Callable[..., Server], tmp_path: Path) -> Server:
    (tmp_path / "limits.ini").write_text(LIMITS)
    return serve({"imagereg": {"limits_file": str(tmp_path / "limits.ini")}}, workers=2)


def upload(client: Client, image: str, size: int, *, chunked: bool = False) -> Answer:
    body: bytes | Iterator[bytes] = bytes(size)
    if chunked:
        body = iter([bytes(size)])
    headers = {"Content-Type": "application/octet-stream"}
    return client.request("PUT", f"/v2/images/{image}/file", body=body, headers=headers)


def create(client: Client) -> str:
    answer = client.request("POST", "/v2/images", document=RAW)
    return str(answer.json()["id"])


def test_parallel_creates_never_exceed_the_count_together(limited: Server) -> None:
    def one(_: int) -> int:
        client = Client(limited.base, as_())
        return client.request("POST", "/v2/images", document=RAW).status

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(one, range(40)))

    assert sorted(set(statuses)) == [201, 413]
    assert statuses.count(201) == 5
    usage = Client(limited.base, as_()).request("GET", "/v2/info/usage").json()
    assert usage["usage"]["image_count_total"] == {"usage": 5, "limit": 5}


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_parallel_uploads_never_exceed_the_size_together(
    limited: Server, chunked: bool
) -> None:
    owner = Client(limited.base, as_())
    images = [create(owner) for _ in range(5)]

    def one(image: str) -> int:
        return upload(owner, image, 400 * 1024, chunked=chunked).status

    with ThreadPoolExecutor(5) as pool:
        statuses = list(pool.map(one, images))

    assert statuses.count(204) <= 2
    assert set(statuses) <= {204, 413}
    listed = owner.request("GET", "/v2/images").json()["images"]
    assert sum(image["size"] or 0 for image in listed) <= 1024 * 1024
    assert {image["status"] for image in listed} <= {"active", "queued"}
    freed = next(image for image in listed if image["status"] == "queued")
    assert upload(owner, freed["id"], 100 * 1024).status == 204


def test_no_more_uploads_run_at_a_time_than_a_project_may(limited: Server) -> None:
    def client() -> Client:
        return Client(limited.base, as_("bea", "busy"))

    first, *others = [create(client()) for _ in range(6)]
    meanwhile: list[int] = []

    def uploading() -> object:
        usage = client().request("GET", "/v2/info/usage").json()["usage"]
        return usage["image_count_uploading"]

    def body() -> Iterator[bytes]:
        yield b"one"
        assert eventually(lambda: uploading() == {"usage": 1, "limit": 1})
        with ThreadPoolExecutor(5) as pool:
            answers = pool.map(lambda each: upload(client(), each, 3), others)
            meanwhile.extend(answer.status for answer in answers)
        yield b"two"

    headers = {"Content-Type": "application/octet-stream"}
    path = f"/v2/images/{first}/file"
    done = client().request("PUT", path, body=body(), headers=headers)

    assert (done.status, meanwhile) == (204, [413] * 5)
    assert upload(client(), others[0], 3).status == 204
    assert uploading() == {"usage": 0, "limit": 1}


def test_reaching_a_limit_is_allowed(limited: Server) -> None:
    owner = Client(limited.base, as_())

    assert upload(owner, create(owner), 1024 * 1024).status == 204
    assert upload(owner, create(owner), 1).status == 413


def test_one_project_does_not_use_up_the_limits_of_another(limited: Server) -> None:
    for _ in range(5):
        create(Client(limited.base, as_()))
    other = Client(limited.base, as_("bob", "project-b"))

    assert other.request("POST", "/v2/images", document=RAW).status == 201
    report = other.request("GET", "/v2/info/usage").json()["usage"]
    assert report["image_count_total"] == {"usage": 1, "limit": 5}


def test_the_storage_quota_counts_in_the_byte_loop(
    serve: Callable[..., Server],
) -> None:
    server = serve({"DEFAULT": {"user_storage_quota": "1MB"}})
    owner = Client(server.base, as_())
    first, second = create(owner), create(owner)

    assert upload(owner, first, 600 * 1024, chunked=True).status == 204
    refused = upload(owner, second, 600 * 1024, chunked=True)

    assert refused.status == 413
    assert b"quota" in refused.body
    after = owner.request("GET", f"/v2/images/{second}").json()
    assert (after["status"], after["size"]) == ("queued", None)
    assert owner.request("GET", "/v2/info/usage").json() == {"usage": {}}


def test_a_limits_file_gives_projects_what_the_default_leaves_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "limits.ini"
    path.write_text(LIMITS)

    table = load_limits(path)

    assert table.of("anyone") == ProjectLimits(image_count_total=5, image_size_total=1)
    assert table.of("busy") == ProjectLimits(
        image_count_total=-1, image_size_total=1, image_count_uploading=1
    )
    assert LimitTable().of("anyone") == ProjectLimits()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[a]\nimage_count_total = many\n", "[a] image_count_total"),
        ("[a]\nimage_count_total = -2\n", "[a] image_count_total"),
        ("[a]\nimages = 3\n", "[a] images"),
        ("image_count_total = 3\n", "no section headers"),
        ("[a]\n[a]\n", "already exists"),
    ],
)
def test_a_faulty_limits_file_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "limits.ini"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=fault.replace("[", r"\[")):
        load_limits(path)


def test_a_missing_limits_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_limits(tmp_path / "limits.ini")
