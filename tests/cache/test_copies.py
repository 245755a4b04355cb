"""Copies are made once, verified, and served to those whose image they are."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from imagereg.cache import copies, filling
from imagereg.errors import RangeNotSatisfiable, StoreUnavailable
from imagereg.model import Status
from imagereg.stores.driver import HasPath
from tests.cache.conftest import SIZE, Cached, Kept, MakeCached, close, is_at_rest
from tests.server import eventually


def test_the_second_download_reads_no_store(cached: Cached) -> None:
    kept = cached.image()

    cached.fill(kept)
    again = cached.read(kept)

    assert again == kept.data
    assert kept.remote.opened == [0]
    assert (cached.path / kept.image.id).read_bytes() == kept.data


def test_a_hit_is_a_file_that_the_kernel_can_send(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)

    with cached.cache.find(kept.image) or pytest.fail("no copy") as reader:
        assert isinstance(reader, HasPath)
        assert reader.path == cached.path / kept.image.id
        assert (reader.position, reader.size) == (0, SIZE)


def test_a_part_is_read_from_the_copy(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)

    reader = cached.cache.find(kept.image, lambda size: range(7, size - 3))

    assert reader is not None
    with reader:
        assert (reader.size, b"".join(reader)) == (SIZE - 10, kept.data[7:-3])


def test_a_part_that_is_none_is_refused_in_front_of_the_copy(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)

    def choose(size: int) -> range:
        raise RangeNotSatisfiable("nothing is there", size)

    with pytest.raises(RangeNotSatisfiable):
        cached.cache.find(kept.image, choose)


def test_many_at_once_read_the_store_once(cached: Cached) -> None:
    kept = cached.image()
    kept.remote.gate = threading.Event()
    count = 12

    with ThreadPoolExecutor(count) as pool:
        begun = [pool.submit(cached.read, kept) for _ in range(count)]
        assert eventually(lambda: len(kept.remote.opened) > 0)
        kept.remote.gate.set()
        read = [each.result(120) for each in begun]

    assert read == [kept.data] * count
    assert kept.remote.opened == [0]


def test_a_client_that_goes_away_loses_no_copy(cached: Cached) -> None:
    kept = cached.image()
    reader = cached.cache.read_through(kept.image, kept.remote.open)
    assert reader is not None

    next(iter(reader))
    reader.close()

    assert eventually(lambda: cached.cache.holds(kept.image))
    assert cached.read(kept) == kept.data
    assert kept.remote.opened == [0]


def test_a_client_that_reads_nothing_yet_holds_up_nobody(cached: Cached) -> None:
    kept = cached.image()
    slow = cached.cache.read_through(kept.image, kept.remote.open)
    assert slow is not None

    cached.fill(kept)

    with slow:
        assert b"".join(slow) == kept.data
    assert kept.remote.opened == [0]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[:-1] + b"?", id="another last byte"),
        pytest.param(lambda data: b"?" + data[1:], id="another first byte"),
        pytest.param(lambda data: data[:-1], id="a byte less"),
        pytest.param(lambda data: data + b"?", id="a byte more"),
    ],
)
def test_what_does_not_match_is_never_a_hit(
    cached: Cached, spoil: Callable[[bytes], bytes]
) -> None:
    kept = cached.image()
    kept.remote.data = spoil(kept.data)
    reader = cached.cache.read_through(kept.image, kept.remote.open)
    assert reader is not None

    reader.close()
    assert eventually(cached.is_idle)

    assert cached.names("invalid") == [kept.image.id]
    assert cached.cache.find(kept.image) is None
    assert cached.cache.books.held() == []
    assert not (cached.path / kept.image.id).exists()


def test_a_client_gets_what_the_store_gives(cached: Cached) -> None:
    """As without a cache: Content-MD5 tells it what to think of them."""
    kept = cached.image()
    kept.remote.data = b"?" + kept.data[1:]

    assert cached.read(kept) == kept.remote.data


def test_where_a_copy_breaks_off_the_store_is_read_on(cached: Cached) -> None:
    kept = cached.image()
    gate = kept.remote.gate = threading.Event()
    kept.remote.fails_at = SIZE // 2
    first, second = (
        cached.cache.read_through(kept.image, kept.remote.open) for _ in range(2)
    )
    assert first is not None
    assert second is not None

    gate.set()
    assert eventually(cached.is_idle)
    kept.remote.fails_at = None
    with first, second:
        read = [b"".join(first), b"".join(second)]

    assert read == [kept.data] * 2
    assert kept.remote.opened[0] == 0
    assert min(kept.remote.opened[1:]) >= SIZE // 2
    assert len(kept.remote.opened) == 3
    assert kept.remote.closed == 3
    assert cached.names("invalid") == [kept.image.id]
    assert cached.cache.find(kept.image) is None


def test_a_download_that_nothing_can_finish_is_not_passed_off_as_whole(
    cached: Cached,
) -> None:
    kept = cached.image()
    kept.remote.fails_at = SIZE // 2

    with pytest.raises(StoreUnavailable):
        cached.read(kept)


def test_a_store_that_is_down_is_told_before_anything_is_sent(cached: Cached) -> None:
    kept = cached.image()
    kept.remote.refuses = True

    with pytest.raises(StoreUnavailable):
        cached.cache.read_through(kept.image, kept.remote.open)
    kept.remote.refuses = False
    cached.fill(kept)

    assert cached.names("invalid") == []


def test_an_image_without_data_is_no_copy(cached: Cached) -> None:
    kept = cached.image()

    assert cached.cache.read_through(kept.image, lambda offset: None) is None
    assert cached.is_idle()


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.DEACTIVATED},
        {"status": Status.IMPORTING},
        {"size": None},
        {"size": 0},
        {"checksum": None, "os_hash_algo": None, "os_hash_value": None},
        {"id": "../../etc/passwd"},
    ],
)
def test_some_images_go_past_the_cache(
    cached: Cached, changes: dict[str, object]
) -> None:
    kept = cached.image()
    kept.image = replace(kept.image, **changes)  # type: ignore[arg-type] # of several types

    reads = [cached.read(kept), cached.read(kept)]

    assert reads == [kept.data] * 2
    assert kept.remote.opened == [0, 0]
    assert [path.name for path in cached.path.iterdir() if path.is_file()] == []


def test_an_older_digest_does_for_verification(cached: Cached) -> None:
    kept = cached.image()
    kept.image = replace(kept.image, os_hash_algo=None, os_hash_value=None)

    cached.fill(kept)

    assert cached.read(kept) == kept.data
    assert kept.remote.opened == [0]


def test_an_image_larger_than_the_cache_is_not_cached(make_cached: MakeCached) -> None:
    cached = make_cached(image_cache_max_size=SIZE - 1)
    kept = cached.image()

    assert cached.read(kept) == kept.data
    assert not cached.cache.holds(kept.image)
    assert cached.is_idle()


def test_deactivated_images_are_not_served_from_the_cache(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)
    path = f"/v2/images/{kept.image.id}/actions/deactivate"
    assert cached.registry.admin.request("POST", path).status == 204

    assert cached.cache.find(cached.stored(kept.image.id)) is None


def test_a_copy_of_former_data_is_not_served(cached: Cached) -> None:
    """As after the last location was removed, and other data came."""
    kept = cached.image()
    cached.fill(kept)
    other = cached.image(seed=1)
    renewed = Kept(replace(other.image, id=kept.image.id), other.data, other.remote)

    reads = [cached.read(renewed)]
    assert eventually(lambda: cached.cache.holds(renewed.image))
    reads.append(cached.read(renewed))

    assert reads == [other.data] * 2
    assert other.remote.opened == [0]
    assert cached.cache.find(kept.image) is None


def test_a_copy_of_former_data_is_not_followed(cached: Cached) -> None:
    kept = cached.image()
    kept.remote.gate = threading.Event()
    former = cached.cache.read_through(kept.image, kept.remote.open)
    assert former is not None
    other = cached.image(seed=1)
    renewed = Kept(replace(other.image, id=kept.image.id), other.data, other.remote)

    assert cached.read(renewed) == other.data

    kept.remote.gate.set()
    former.close()


@pytest.mark.parametrize("size", [0, 1, SIZE - 1, SIZE + 1])
def test_a_file_of_another_size_is_no_copy(cached: Cached, size: int) -> None:
    kept = cached.image()
    cached.fill(kept)
    os.truncate(cached.path / kept.image.id, size)

    cached.fill(kept)

    assert kept.remote.opened == [0, 0]
    assert cached.read(kept) == kept.data


def test_a_link_is_no_copy(cached: Cached, tmp_path: Path) -> None:
    kept = cached.image()
    cached.fill(kept)
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * SIZE)
    (cached.path / kept.image.id).unlink()
    (cached.path / kept.image.id).symlink_to(secret)

    assert cached.read(kept) == kept.data
    assert secret.read_bytes() == b"x" * SIZE


def test_a_file_without_an_entry_is_no_copy(cached: Cached) -> None:
    kept = cached.image()
    (cached.path / kept.image.id).write_bytes(b"x" * SIZE)

    assert cached.read(kept) == kept.data


def test_a_cache_that_is_gone_fails_no_download(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)
    for folder in ("incomplete", "invalid", "queue"):
        for path in (cached.path / folder).iterdir():
            path.unlink()
        (cached.path / folder).rmdir()
    (cached.path / kept.image.id).unlink()
    cached.path.rmdir()

    assert [cached.read(kept), cached.read(kept)] == [kept.data] * 2
    assert kept.remote.opened == [0, 0, 0]


def test_a_full_disk_fails_no_download_and_leaves_nothing(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = cached.image()
    left = [SIZE // 2]

    def write(descriptor: int, data: bytes) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        taken = os.write(descriptor, data[: left[0]])
        left[0] -= taken
        return taken

    monkeypatch.setattr(filling, "write", write)

    assert cached.read(kept) == kept.data
    assert eventually(cached.is_idle)
    assert cached.names("invalid") == []
    assert not cached.cache.holds(kept.image)
    assert kept.remote.opened == [0, SIZE // 2]


def test_a_disk_that_has_no_room_is_not_begun_with(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = cached.image()
    monkeypatch.setattr(cached.cache.directory, "free_bytes", lambda: SIZE - 1)

    assert cached.read(kept) == kept.data
    assert not cached.cache.holds(kept.image)


def test_copies_beyond_the_most_go_past_the_cache(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "MOST_FILLINGS", 1)
    small = copies.ImageCache(
        cached.cache.directory,
        cached.cache.books,
        cached.cache.images,
        cached.cache.rules,
    )
    slow, other = cached.image(), cached.image(seed=1)
    slow.remote.gate = threading.Event()
    first = small.read_through(slow.image, slow.remote.open)

    second = small.read_through(other.image, other.remote.open)
    assert first is not None
    assert second is not None
    with second:
        read = b"".join(second)

    assert read == other.data
    assert not small.holds(other.image)
    slow.remote.gate.set()
    with first:
        assert b"".join(first) == slow.data
    assert eventually(lambda: small.holds(slow.image))
    assert eventually(lambda: _is_cached(small, other))
    assert eventually(lambda: is_at_rest(small), 60)


def _is_cached(cache: copies.ImageCache, kept: Kept) -> bool:
    """Download, and return whether there is a copy by now."""
    reader = cache.read_through(kept.image, kept.remote.open)
    assert reader is not None
    reader.close()
    return cache.holds(kept.image)


def test_an_image_that_is_deleted_meanwhile_leaves_no_copy(cached: Cached) -> None:
    kept = cached.image()
    gate = kept.remote.gate = threading.Event()
    reader = cached.cache.read_through(kept.image, kept.remote.open)
    assert reader is not None

    path = f"/v2/images/{kept.image.id}"
    assert cached.registry.admin.request("DELETE", path).status == 204
    gate.set()
    with reader:
        read = b"".join(reader)

    assert read == kept.data
    assert eventually(cached.is_idle)
    assert not (cached.path / kept.image.id).exists()
    assert cached.cache.books.held() == []


def test_an_image_that_another_node_deletes_meanwhile_leaves_no_copy(
    cached: Cached,
) -> None:
    kept = cached.image()
    gate = kept.remote.gate = threading.Event()
    reader = cached.cache.read_through(kept.image, kept.remote.open)
    assert reader is not None

    cached.cache.images.delete(kept.image.id)
    gate.set()
    with reader:
        read = b"".join(reader)

    assert read == kept.data
    assert eventually(
        lambda: cached.is_idle() and not (cached.path / kept.image.id).exists()
    )
    assert eventually(lambda: cached.cache.books.held() == [])


def test_an_image_that_is_deleted_loses_its_copy(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)
    cached.cache.directory.enqueue(kept.image.id)

    path = f"/v2/images/{kept.image.id}"
    assert cached.registry.admin.request("DELETE", path).status == 204

    assert not (cached.path / kept.image.id).exists()
    assert cached.cache.books.held() == []
    assert cached.cache.directory.queued() == []


def test_a_copy_that_is_dropped_while_it_is_made_stays_dropped(cached: Cached) -> None:
    kept = cached.image()
    gate = kept.remote.gate = threading.Event()
    reader = cached.cache.read_through(kept.image, kept.remote.open)
    assert reader is not None

    cached.cache.drop(kept.image.id)
    gate.set()
    with reader:
        read = b"".join(reader)
    assert eventually(lambda: kept.remote.closed == 1)

    assert read == kept.data
    assert not cached.cache.holds(kept.image)
    assert cached.names("invalid") == []


def test_uses_are_counted_and_written_down_together(cached: Cached) -> None:
    kept = cached.image()
    cached.fill(kept)
    before = cached.cache.books.find(kept.image.id)

    for _ in range(3):
        cached.read(kept)
    unwritten = cached.cache.books.find(kept.image.id)
    cached.cache.write_books()
    after = cached.cache.books.find(kept.image.id)

    assert before is not None
    assert after is not None
    assert (before.hits, unwritten, after.hits) == (0, before, 3)
    assert after.last_accessed_us > before.last_accessed_us
    assert after.last_modified_us == before.last_modified_us


def test_a_file_store_is_read_beside_the_client(cached: Cached) -> None:
    kept = cached.image()
    client, path = cached.registry.admin, f"/v2/images/{kept.image.id}/file"

    bodies = [client.get(path).body]
    assert eventually(lambda: cached.cache.holds(kept.image))
    (cached.registry.where / "images" / kept.image.id).unlink()
    bodies.append(client.get(path).body)

    assert bodies == [kept.data] * 2


def test_file_stores_may_be_left_out(tmp_path: Path) -> None:
    from tests.registry import CACHE, LocalRegistry, merged

    config = merged(CACHE, {"imagereg": {"cache_file_stores": "false"}})
    registry = LocalRegistry(tmp_path, config)
    upkeep = registry.registry.cache
    assert upkeep is not None
    kept = Cached(registry, upkeep).image()
    path = f"/v2/images/{kept.image.id}/file"

    bodies = [registry.admin.get(path).body for _ in range(2)]

    assert bodies == [kept.data] * 2
    assert not any((upkeep.cache.directory.path / "incomplete").iterdir())
    assert not upkeep.cache.holds(kept.image)
    close(registry)


def test_neither_head_nor_a_part_makes_a_copy(cached: Cached) -> None:
    kept = cached.image()
    path = f"/v2/images/{kept.image.id}/file"

    head = cached.registry.admin.request("HEAD", path)
    part = cached.registry.admin.get(path, Range="bytes=1-5")

    assert (head.status, part.status) == (200, 206)
    assert cached.is_idle()
    assert not cached.cache.holds(kept.image)


def test_a_copy_that_turns_out_short_is_read_on_from_the_store(cached: Cached) -> None:
    """Such as by a disk that fails while a client reads."""
    kept = cached.image()
    cached.fill(kept)
    image_id = kept.image.id
    response = cached.registry.registry.app.test_client().get(
        f"/v2/images/{image_id}/file", headers=cached.registry.admin.headers
    )
    os.truncate(cached.path / image_id, 1000)

    assert response.data == kept.data
