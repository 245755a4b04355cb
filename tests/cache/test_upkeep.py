"""Pruning, cleaning and fetching ahead.  Source: contract stores 8."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.cache import upkeep as upkeep_module
from imagereg.cache.upkeep import Pruned, Upkeep
from tests.cache.conftest import SIZE, Cached, Kept, MakeCached
from tests.server import eventually

DAY_S = 86400


def fill(cached: Cached, count: int) -> list[Kept]:
    """Fill the cache; the copies were used in the order of the list."""
    filled = [cached.image(seed=seed) for seed in range(count)]
    for kept in filled:
        cached.fill(kept)
    return filled


def files(cached: Cached) -> set[str]:
    """Return the names of the finished copies."""
    return {path.name for path in cached.path.iterdir() if path.is_file()}


@contextlib.contextmanager
def started(upkeep: Upkeep) -> Iterator[None]:
    """Have a thread keep order during a block: later tests may have its database."""
    before = set(threading.enumerate())
    stop = upkeep.start()
    others = set(threading.enumerate()) - before
    (thread,) = (each for each in others if each.name == "cache")
    try:
        yield
    finally:
        stop()
        thread.join(30)
        assert not thread.is_alive()


def aged(path: Path, age_s: float) -> Path:
    """Make a file look as if it had not been written to for a while."""
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_pruning_takes_the_least_recently_used_down_to_the_limit(
    make_cached: MakeCached,
) -> None:
    cached = make_cached(image_cache_max_size=2 * SIZE)
    first, second, third, fourth = fill(cached, 4)
    cached.read(first)

    pruned = cached.upkeep.prune()

    assert pruned == Pruned(2, 2 * SIZE)
    assert files(cached) == {fourth.image.id, first.image.id}
    held = [copy.image_id for copy in cached.cache.books.held()]
    assert held == [fourth.image.id, first.image.id]
    assert cached.cache.find(second.image) is None
    assert cached.read(third) == third.data


def test_a_failure_that_lasts_is_told_once(
    make_cached: MakeCached,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "imagereg.cache.upkeep")
    monkeypatch.setattr(upkeep_module, "ROUND_S", 0.0)
    cached = make_cached()
    aside = cached.path.with_name("aside")

    for is_gone in (False, True, True, True, False, False, True):
        if is_gone and cached.path.exists():
            cached.path.rename(aside)
        if not is_gone and aside.exists():
            aside.rename(cached.path)
        cached.upkeep.try_run(is_wanted=True)

    told = [text for text in caplog.messages if "in order" in text]
    failed = "the cache could not be kept in order; it will be again"
    assert told == [failed, "the cache is kept in order again", failed]
    aside.rename(cached.path)


def test_pruning_leaves_a_cache_that_is_not_too_large(make_cached: MakeCached) -> None:
    cached = make_cached(image_cache_max_size=2 * SIZE)
    fill(cached, 2)

    assert cached.upkeep.prune() == Pruned(0, 0)
    assert len(files(cached)) == 2


def test_who_reads_a_copy_that_is_pruned_reads_on(cached: Cached) -> None:
    (kept,) = fill(cached, 1)
    reader = cached.cache.find(kept.image)
    assert reader is not None

    cached.cache.remove(kept.image.id)

    with reader:
        assert b"".join(reader) == kept.data


def test_cleaning_removes_what_failed_and_what_stalled(cached: Cached) -> None:
    (kept,) = fill(cached, 1)
    image_id = kept.image.id
    incomplete, invalid = cached.path / "incomplete", cached.path / "invalid"
    (invalid / f"{image_id}.abc").write_bytes(b"wrong")
    (invalid / image_id).write_bytes(b"wrong, and from before imagereg")
    (incomplete / f"{image_id}.fff").write_bytes(b"young")
    (incomplete / image_id).write_bytes(b"old")
    aged(incomplete / image_id, DAY_S + 60)
    aged(incomplete / f"{image_id}.fff", DAY_S - 60)

    removed = cached.upkeep.clean()

    assert removed == 3
    assert list(invalid.iterdir()) == []
    assert [path.name for path in incomplete.iterdir()] == [f"{image_id}.fff"]
    assert cached.cache.holds(kept.image)


def test_a_copy_that_is_being_made_has_not_stalled(cached: Cached) -> None:
    kept = cached.image()
    claim = cached.cache.directory.claim(kept.image.id, "md5:0")
    assert claim.writer is not None
    path = aged(cached.path / "incomplete" / claim.name, 2 * DAY_S)

    while_made = cached.upkeep.clean()
    os.close(claim.writer)
    os.close(claim.reader)
    after = cached.upkeep.clean()

    assert (while_made, after) == (0, 1)
    assert not path.exists()


def test_cleaning_removes_what_is_in_no_book(cached: Cached) -> None:
    (kept,) = fill(cached, 1)
    cached.cache.books.delete(kept.image.id)

    young = cached.upkeep.clean()
    aged(cached.path / kept.image.id, upkeep_module.UNKNOWN_S + 60)
    old = cached.upkeep.clean()

    assert (young, old) == (0, 1)
    assert files(cached) == set()


def test_cleaning_strikes_off_what_is_no_more(cached: Cached) -> None:
    kept, other = fill(cached, 2)
    (cached.path / kept.image.id).unlink()

    cached.upkeep.clean()

    (held,) = cached.cache.books.held()
    assert held.image_id == other.image.id


def test_cleaning_removes_copies_of_images_deleted_through_another_node(
    cached: Cached,
) -> None:
    (kept,) = fill(cached, 1)
    cached.cache.images.delete(kept.image.id)

    removed = cached.upkeep.clean()

    assert removed == 1
    assert files(cached) == set()
    assert cached.cache.books.held() == []


def test_cleaning_leaves_what_is_not_ours(cached: Cached) -> None:
    for folder in (cached.path, cached.path / "invalid", cached.path / "incomplete"):
        aged_file = folder / "lost+found.txt"
        aged_file.write_bytes(b"precious")
        aged(aged_file, 30 * DAY_S)

    assert cached.upkeep.clean() == 0
    assert files(cached) == {"lost+found.txt"}


def test_what_is_queued_is_fetched_in_its_order(cached: Cached) -> None:
    directory = cached.cache.directory
    images = [cached.image(seed=seed) for seed in range(3)]
    for age_s, kept in zip((10, 30, 20), images, strict=True):
        directory.enqueue(kept.image.id)
        aged(cached.path / "queue" / kept.image.id, age_s)
    directory.enqueue(images[1].image.id)  # which keeps its place

    waiting = directory.queued()
    fetched = cached.upkeep.prefetch()

    order = [images[1], images[2], images[0]]
    assert waiting == [kept.image.id for kept in order]
    assert fetched == 3
    assert directory.queued() == []
    made = sorted(cached.cache.books.held(), key=lambda copy: copy.last_modified_us)
    assert [copy.image_id for copy in made] == waiting
    assert [cached.read(kept) for kept in images] == [kept.data for kept in images]
    assert [kept.remote.opened for kept in images] == [[], [], []]


def test_what_is_cached_already_leaves_the_queue(cached: Cached) -> None:
    (kept,) = fill(cached, 1)
    before = cached.cache.books.held()
    cached.cache.directory.enqueue(kept.image.id)

    cached.upkeep.prefetch()

    assert cached.cache.directory.queued() == []
    assert cached.cache.books.held() == before


def test_a_copy_that_was_cut_is_fetched_anew(cached: Cached) -> None:
    (kept,) = fill(cached, 1)
    os.truncate(cached.path / kept.image.id, SIZE - 1)
    cached.cache.directory.enqueue(kept.image.id)

    assert cached.upkeep.prefetch() == 1
    assert cached.read(kept) == kept.data
    assert kept.remote.opened == [0]


def test_what_cannot_be_cached_leaves_the_queue(cached: Cached) -> None:
    gone, queued = cached.image(), str(cached.registry.admin.create()["id"])
    for image_id in (gone.image.id, queued):
        cached.cache.directory.enqueue(image_id)
    cached.cache.images.delete(gone.image.id)

    assert cached.upkeep.prefetch() == 0
    assert cached.cache.directory.queued() == []


def test_what_cannot_be_read_now_stays_in_the_queue(cached: Cached) -> None:
    kept = cached.image()
    stored = cached.registry.where / "images" / kept.image.id
    stored.rename(stored.with_name("away"))
    cached.cache.directory.enqueue(kept.image.id)

    in_vain = cached.upkeep.prefetch()
    still = cached.cache.directory.queued()
    stored.with_name("away").rename(stored)
    at_last = cached.upkeep.prefetch()

    assert (in_vain, still) == (0, [kept.image.id])
    assert at_last == 1
    assert cached.cache.holds(kept.image)


def test_what_somebody_else_fetches_stays_until_it_is_there(cached: Cached) -> None:
    kept = cached.image()
    cached.cache.directory.enqueue(kept.image.id)
    digest = f"{kept.image.os_hash_algo}:{kept.image.os_hash_value}"
    claim = cached.cache.directory.claim(kept.image.id, digest)
    assert claim.writer is not None

    assert cached.upkeep.prefetch() == 0
    assert cached.cache.directory.queued() == [kept.image.id]

    os.close(claim.writer)
    os.close(claim.reader)
    assert cached.upkeep.prefetch() == 1


def test_one_process_at_a_time_keeps_order(cached: Cached) -> None:
    kept = cached.image()
    cached.cache.directory.enqueue(kept.image.id)

    with cached.cache.directory.alone("upkeep") as is_alone:
        cached.upkeep.run(is_wanted=True)
        meanwhile = cached.cache.directory.queued()
    cached.upkeep.run(is_wanted=False)

    assert is_alone
    assert meanwhile == [kept.image.id]
    assert cached.cache.directory.queued() == []


def test_a_round_prunes_and_cleans(make_cached: MakeCached) -> None:
    cached = make_cached(image_cache_max_size=SIZE)
    _, second = fill(cached, 2)
    (cached.path / "invalid" / second.image.id).write_bytes(b"wrong")

    cached.upkeep.run(is_wanted=False)

    assert files(cached) == {second.image.id}
    assert cached.names("invalid") == []


def test_nothing_is_looked_through_between_rounds(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.upkeep.run(is_wanted=False)
    (cached.path / "invalid" / cached.image().image.id).write_bytes(b"wrong")

    cached.upkeep.run(is_wanted=False)
    between = cached.names("invalid")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + upkeep_module.ROUND_S)
    cached.upkeep.run(is_wanted=False)

    assert len(between) == 1
    assert cached.names("invalid") == []


def test_what_is_asked_for_is_begun_with_at_once(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is looked at by itself while this lasts.
    monkeypatch.setattr(upkeep_module, "BOOKS_S", 600.0)
    kept = cached.image()
    path = f"/v2/cache/{kept.image.id}"

    with started(cached.upkeep):
        assert cached.registry.admin.request("PUT", path).status == 202

        assert eventually(lambda: cached.cache.holds(kept.image))
        assert eventually(lambda: cached.cache.directory.queued() == [])
