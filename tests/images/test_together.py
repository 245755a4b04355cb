"""Several requests on one image at once.  Source: contract api-images D-18, 8, 15.3."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.registry import LocalRegistry, add, remove, replace
from tests.server import Server, eventually, stored_files
from tests.wire import ADMIN, Answer

Do = Callable[[], Answer]


def together(registry: LocalRegistry, requests: list[Do]) -> list[int]:
    """Send all requests at the same time, and return their statuses."""
    start = threading.Barrier(len(requests))

    def send(request: Do) -> int:
        start.wait()
        try:
            return request().status
        finally:
            registry.close()

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(send, requests))


def test_patches_of_different_keys_all_survive(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create(**{f"p{n}": "0" for n in range(16)})["id"])

    statuses = together(
        registry,
        [
            lambda n=n: registry.admin.patch(  # type: ignore[misc] # mypy cannot infer defaults
                image_id, replace(f"p{n}", "1"), add(f"q{n}", "1")
            )
            for n in range(16)
        ],
    )

    shown = registry.admin.show(image_id)
    assert set(statuses) == {200}
    assert {shown[f"{key}{n}"] for n in range(16) for key in "pq"} == {"1"}


def test_of_patches_of_the_same_keys_one_wins_whole(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create()["id"])

    statuses = together(
        registry,
        [
            lambda n=n: registry.admin.patch(  # type: ignore[misc] # mypy cannot infer defaults
                image_id,
                add("a", str(n)),
                replace("name", str(n)),
                add("b", str(n)),
                replace("tags", [str(n)]),
            )
            for n in range(8)
        ],
    )

    shown = registry.admin.show(image_id)
    assert set(statuses) <= {200, 409}
    assert 200 in statuses
    assert shown["a"] == shown["b"] == shown["name"] == shown["tags"][0]


def test_sixteen_writers_of_all_kinds_meet_no_fault(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create(a="1")["id"])
    path = f"/v2/images/{image_id}"
    admin = registry.admin
    requests: list[Do] = [
        lambda: admin.patch(image_id, remove("a")),
        lambda: admin.patch(image_id, add("a", "2")),
        lambda: admin.request("PUT", f"{path}/tags/x"),
        lambda: admin.request("DELETE", f"{path}/tags/x"),
        lambda: admin.request("POST", f"{path}/members", document={"member": "p"}),
        lambda: admin.upload(image_id, b"data"),
        lambda: admin.request("POST", f"{path}/actions/deactivate"),
        lambda: admin.request("POST", "/v2/images", document={}),
    ]

    for _ in range(3):
        statuses = together(registry, requests * 2)

        assert set(statuses) <= {200, 201, 204, 403, 404, 409}


def test_parallel_deletions_succeed_once(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create()["id"])
    registry.admin.upload(image_id, b"data")

    def delete() -> Answer:
        return registry.admin.request("DELETE", f"/v2/images/{image_id}")

    assert sorted(together(registry, [delete] * 8)) == [204] + [404] * 7
    assert list(registry.blobs()) == []


def test_parallel_creations_of_one_id_succeed_once(registry: LocalRegistry) -> None:
    document = {"id": "00000000-0000-4000-8000-000000000001"}

    def create() -> Answer:
        return registry.admin.request("POST", "/v2/images", document=document)

    assert sorted(together(registry, [create] * 8)) == [201] + [409] * 7


def test_a_change_during_an_upload_is_not_lost(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create(a="1")["id"])
    path = f"/v2/images/{image_id}"
    statuses: list[int] = []

    def body() -> Iterator[bytes]:
        yield b"one"
        answers = [
            registry.admin.patch(image_id, replace("name", "new"), replace("a", "2")),
            registry.admin.request("PUT", f"{path}/tags/t"),
            registry.admin.upload(image_id, b"other"),
            registry.admin.patch(image_id, replace("disk_format", "iso")),
        ]
        statuses.extend(answer.status for answer in answers)
        yield b"two"

    answer = registry.admin.upload(image_id, body())

    shown = registry.admin.show(image_id)
    assert (answer.status, statuses) == (204, [200, 204, 409, 403])
    assert (shown["name"], shown["a"], shown["tags"]) == ("new", "2", ["t"])
    assert (shown["status"], shown["size"]) == ("active", 6)
    assert registry.admin.download(image_id).body == b"onetwo"


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_deletion_during_an_upload_ends_it_and_leaves_nothing(
    registry: LocalRegistry, position: int
) -> None:
    image_id = str(registry.admin.create()["id"])

    def body() -> Iterator[bytes]:
        for number in range(3):
            if number == position:
                registry.admin.request("DELETE", f"/v2/images/{image_id}")
            yield b"data"

    answer = registry.admin.upload(image_id, body())

    assert answer.status == 410
    assert list(registry.blobs()) == []
    rows = registry.everything().rows
    assert rows["uploads"] == rows["condemned_locations"] == rows["images"] == []
    assert len(rows["image_tombstones"]) == 1


def test_a_broken_upload_to_a_deleted_image_is_gone_too(
    registry: LocalRegistry,
) -> None:
    image_id = str(registry.admin.create()["id"])

    def body() -> Iterator[bytes]:
        yield b"data"
        registry.admin.request("DELETE", f"/v2/images/{image_id}")
        raise ConnectionResetError

    assert registry.admin.upload(image_id, body()).status == 410
    assert list(registry.blobs()) == []


def test_a_broken_upload_can_be_repeated(registry: LocalRegistry) -> None:
    image_id = str(registry.admin.create()["id"])

    def body() -> Iterator[bytes]:
        yield b"data"
        raise ConnectionResetError

    assert registry.admin.upload(image_id, body()).status == 400
    assert list(registry.blobs()) == []
    assert registry.admin.show(image_id)["status"] == "queued"
    assert registry.admin.upload(image_id, b"data").status == 204


def test_processes_change_different_keys_at_once(
    serve: Callable[..., Server],
) -> None:
    server = serve(workers=2)
    client = server.client(ADMIN)
    image_id = client.create()["id"]
    patch = {"Content-Type": "application/openstack-images-v2.1-json-patch"}

    def write(number: int) -> int:
        return client.request(
            "PATCH",
            f"/v2/images/{image_id}",
            document=[add(f"p{number}", "1")],
            headers=patch,
        ).status

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(write, range(48)))

    shown = client.show(image_id)
    assert set(statuses) == {200}
    assert {shown.get(f"p{number}") for number in range(48)} == {"1"}
    client.request("DELETE", f"/v2/images/{image_id}")
    assert eventually(lambda: stored_files(server.images_dir) == [])
