"""The routes of the cache, and its commands.  Source: contract api-images 25."""

import socket
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from tests.api.personas import ABSENT
from tests.cache.conftest import SIZE, Cached, MakeCached


def test_the_list_has_copies_and_queue(cached: Cached) -> None:
    before = time.time()
    kept, queued = cached.image(), cached.image(seed=1)
    cached.fill(kept)
    cached.read(kept)
    admin = cached.registry.admin
    assert admin.request("PUT", f"/v2/cache/{queued.image.id}").status == 202

    document = admin.get("/v2/cache").json()

    (copy,) = document["cached_images"]
    times = (copy.pop("last_modified"), copy.pop("last_accessed"))
    assert copy == {"image_id": kept.image.id, "hits": 1, "size": SIZE}
    assert before <= times[0] <= times[1] <= time.time()
    assert document["queued_images"] == [queued.image.id]


@pytest.mark.parametrize(
    ("target", "left"),
    [
        (None, (0, 0)),
        ("", (0, 0)),
        ("cache", (0, 1)),
        ("queue", (1, 0)),
        ("both", (1, 1)),
        ("Cache", (1, 1)),
    ],
)
def test_clearing(cached: Cached, target: str | None, left: tuple[int, int]) -> None:
    kept, queued = cached.image(), cached.image(seed=1)
    cached.fill(kept)
    cached.cache.directory.enqueue(queued.image.id)
    headers = {} if target is None else {"X-Image-Cache-Clear-Target": target}

    answer = cached.registry.admin.request("DELETE", "/v2/cache", headers=headers)

    document = cached.registry.admin.get("/v2/cache").json()
    found = len(document["cached_images"]), len(document["queued_images"])
    assert answer.status == (400 if left == (1, 1) else 204)
    assert found == left
    assert cached.cache.holds(kept.image) is bool(left[0])


def test_one_image_is_dropped_from_both(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)
    cached.cache.directory.enqueue(kept.image.id)
    path = f"/v2/cache/{kept.image.id}"

    statuses = [cached.registry.admin.request("DELETE", path).status for _ in range(2)]

    assert statuses == [204, 204]
    assert not cached.cache.holds(kept.image)
    assert cached.cache.directory.queued() == []


@pytest.mark.parametrize("remains", ["copy", "queue", "entry"])
def test_what_is_left_of_an_image_can_be_dropped(cached: Cached, remains: str) -> None:
    kept = cached.image()
    cached.fill(kept)
    image_id = kept.image.id
    cached.cache.directory.enqueue(image_id)
    cached.cache.images.delete(image_id)
    if remains != "copy":
        (cached.path / image_id).unlink()
    if remains != "entry":
        cached.cache.books.delete(image_id)
    if remains != "queue":
        cached.cache.directory.dequeue(image_id)

    statuses = [
        cached.registry.admin.request("DELETE", f"/v2/cache/{image_id}").status
        for _ in range(2)
    ]

    assert statuses == [204, 404]
    assert not (cached.path / image_id).exists()


@pytest.mark.parametrize("image_id", [ABSENT, "x", "queue", "incomplete"])
def test_nothing_is_known_of_other_names(cached: Cached, image_id: str) -> None:
    admin = cached.registry.admin

    for method in ("PUT", "DELETE"):
        assert admin.request(method, f"/v2/cache/{image_id}").status == 404
    assert admin.get(f"/v2/cache/nodes/{image_id}").status == 404
    assert (cached.path / "queue").is_dir()


def test_an_image_that_is_not_active_is_not_queued(cached: Cached) -> None:
    kept, queued = cached.image(), str(cached.registry.admin.create()["id"])
    admin = cached.registry.admin
    path = f"/v2/images/{kept.image.id}/actions/deactivate"
    assert admin.request("POST", path).status == 204

    for image_id in (kept.image.id, queued):
        assert admin.request("PUT", f"/v2/cache/{image_id}").status == 400
    assert cached.cache.directory.queued() == []


@pytest.mark.parametrize("url", [None, "http://node7.example.org:9292"])
def test_nodes_are_named_by_their_urls(
    make_cached: MakeCached, url: str | None
) -> None:
    cached = make_cached(worker_self_reference_url=url)
    kept = cached.image()
    path = f"/v2/cache/nodes/{kept.image.id}"

    before = cached.registry.admin.get(path).body
    cached.fill(kept)
    after = cached.registry.admin.get(path).body

    expected = url or f"http://{socket.gethostname()}:9292"
    assert (before, after) == (b"[]", f'["{expected}"]'.encode())


@pytest.mark.parametrize("driver", ["sqlite", "xattr"])
def test_other_drivers_know_no_nodes(make_cached: MakeCached, driver: str) -> None:
    cached = make_cached(image_cache_driver=driver)
    kept = cached.image()

    path = f"/v2/cache/nodes/{kept.image.id}"
    assert cached.registry.admin.get(path).status == 409


def test_pruning_and_cleaning_tell_what_they_did(make_cached: MakeCached) -> None:
    cached = make_cached(image_cache_max_size=SIZE)
    for seed in range(3):
        cached.fill(cached.image(seed=seed))
    (cached.path / "invalid" / ABSENT).write_bytes(b"wrong")
    admin = cached.registry.admin

    pruned = admin.request("POST", "/v2/cache/prune").json()
    cleaned = admin.request("POST", "/v2/cache/clean")

    assert pruned == {"total_files_pruned": 2, "total_bytes_pruned": 2 * SIZE}
    assert (cleaned.status, cleaned.body) == (200, b"")
    assert cached.names("invalid") == []


def test_a_directory_that_is_gone_is_told_as_such(cached: Cached) -> None:
    kept = cached.image()
    (cached.path / "queue").rmdir()
    admin = cached.registry.admin

    assert admin.request("PUT", f"/v2/cache/{kept.image.id}").status == 503
    assert admin.request("DELETE", "/v2/cache").status == 503
    assert admin.get("/v2/cache").status == 503


def run(cached: Cached, *arguments: str) -> Result:
    """Run a command on the node of a registry."""
    conf = str(cached.registry.where / "imagereg.conf")
    return CliRunner().invoke(
        main, ["cache", arguments[0], "--config", conf, *arguments[1:]]
    )


def test_commands_list_fetch_and_drop(cached: Cached) -> None:
    kept, other = cached.image(), cached.image(seed=1)

    queued = run(cached, "queue", kept.image.id)
    fetched = run(cached, "prefetch", other.image.id)
    listed = run(cached, "list")
    dropped = run(cached, "delete", kept.image.id)
    emptied = run(cached, "delete", "--all")
    nothing = run(cached, "list")

    assert queued.output == "1 queued\n"
    assert fetched.output == "2 fetched, 0 still queued\n"
    # Both may have been queued within one tick of the clock.
    *lines, total = [line.split()[:3] for line in listed.output.splitlines()]
    assert sorted(lines) == sorted(
        [image.id, str(SIZE), "0"] for image in (kept.image, other.image)
    )
    assert total == ["2", "images,", str(2 * SIZE)]
    assert dropped.output == f"1 dropped, {SIZE} bytes freed\n"
    assert emptied.output == f"1 dropped, {SIZE} bytes freed\n"
    assert nothing.output.startswith("0 images, 0 of ")
    assert cached.read(kept) == kept.data
    assert kept.remote.opened == [0]


def test_commands_prune_and_clean(make_cached: MakeCached) -> None:
    cached = make_cached(image_cache_max_size=SIZE)
    for seed in range(2):
        cached.fill(cached.image(seed=seed))
    (cached.path / "invalid" / ABSENT).write_bytes(b"wrong")

    assert run(cached, "prune").output == f"1 images removed, {SIZE} bytes freed\n"
    assert run(cached, "clean").output == "1 files removed\n"


def test_a_prefetch_that_fails_says_so(cached: Cached) -> None:
    kept = cached.image()
    (cached.registry.where / "images" / kept.image.id).unlink()

    done = run(cached, "prefetch", kept.image.id)

    assert (done.exit_code, done.output) == (1, "0 fetched, 1 still queued\n")
    assert run(cached, "list").output.endswith(f"{kept.image.id}  queued\n")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("queue", ABSENT), 1),
        (("queue", "x"), 1),
        (("delete", "x"), 1),
        (("delete", "../../etc/passwd"), 1),
        (("delete",), 2),
        (("delete", "--all", ABSENT), 2),
    ],
)
def test_commands_refuse(
    cached: Cached, arguments: tuple[str, ...], status: int
) -> None:
    assert run(cached, *arguments).exit_code == status
    assert cached.cache.directory.queued() == []


def test_an_image_without_a_hash_is_not_queued_by_command(cached: Cached) -> None:
    image_id = str(cached.registry.admin.create()["id"])

    done = run(cached, "queue", image_id)

    assert done.exit_code == 1
    assert "not active" in done.output


def test_without_a_cache_commands_say_so(tmp_path: Path) -> None:
    conf = tmp_path / "imagereg.conf"
    conf.write_text(f"[imagereg]\nstate_dir = {tmp_path}/state\n")

    done = CliRunner().invoke(main, ["cache", "list", "--config", str(conf)])

    assert done.exit_code == 1
    assert done.output == "imagereg: [DEFAULT] image_cache_dir: is not set\n"
