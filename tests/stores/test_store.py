"""What `Store` adds to a driver: counting, limits, digests, inspection."""

import hashlib
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from imagereg.errors import (
    BlobExists,
    BlobNotFound,
    Invalid,
    SizeMismatch,
    StoreReadOnly,
    TooLarge,
    TransferBroken,
    UnsafeContent,
)
from imagereg.model import Location
from imagereg.stores.driver import BlobWriter
from imagereg.stores.filesystem import FileOptions, FilesystemDriver
from imagereg.stores.formats import FormatRules, Inspector
from imagereg.stores.hashing import LaneSupply
from imagereg.stores.memory import MemoryDriver
from imagereg.stores.store import PIECE_BYTES, Store, StoreTraits, UploadPlan
from tests.stores import disks

MiB = 1024 * 1024
TRAITS = StoreTraits("memory", weight=3, description="fast")


@pytest.fixture
def driver() -> MemoryDriver:
    return MemoryDriver()


@pytest.fixture
def store(driver: MemoryDriver) -> Store:
    return Store("fast", driver, TRAITS)


def plan(
    *,
    expected_size: int | None = None,
    max_bytes: int | None = None,
    inspector: Inspector | None = None,
    replace: bool = False,
) -> UploadPlan:
    return UploadPlan(
        "sha512",
        expected_size=expected_size,
        max_bytes=max_bytes,
        too_large="the quota is used up",
        inspector=inspector,
        replace=replace,
    )


def inspector(disk_format: str) -> Inspector:
    return Inspector("bare", disk_format, FormatRules())


def test_tells_all_about_what_it_stored(store: Store) -> None:
    stored = store.add("key", [b"by", b"", b"tes"], plan(inspector=inspector("raw")))

    assert stored.blob.size == 5
    assert stored.blob.checksum == hashlib.md5(b"bytes").hexdigest()
    assert stored.blob.os_hash_algo == "sha512"
    assert stored.blob.os_hash_value == hashlib.sha512(b"bytes").hexdigest()
    assert stored.blob.virtual_size == 5
    assert stored.location == Location("memory://memory/key", store="fast")


def test_gives_back_what_it_stored(store: Store) -> None:
    location = store.add("key", [b"0123", b"456789"], plan()).location

    assert b"".join(store.open(location)) == b"0123456789"
    assert b"".join(store.open(location, 2, 3)) == b"234"
    assert b"".join(store.open("key", 8)) == b"89"
    assert store.size(location) == store.size("key") == 10
    assert store.has("key")


@pytest.mark.parametrize(("offset", "length"), [(-1, None), (0, -1)])
def test_ranges_count_from_zero(store: Store, offset: int, length: int | None) -> None:
    location = store.add("key", [b"x"], plan()).location

    with pytest.raises(ValueError, match="from zero"):
        store.open(location, offset, length)


def test_a_missing_blob_is_not_found(store: Store) -> None:
    assert not store.has("key")
    with pytest.raises(BlobNotFound):
        store.open("key")
    with pytest.raises(BlobNotFound):
        store.delete(Location("memory://memory/key"))


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "/a",
        "a\\b",
        "a\0b",
        "a\nb",
        "k" * 201,
        "\udc80",
    ],
)
def test_only_plain_names_are_keys(store: Store, key: str) -> None:
    with pytest.raises(Invalid):
        store.add(key, [b"x"], plan())
    with pytest.raises(Invalid):
        store.has(key)
    with pytest.raises(Invalid):
        store.discard(key)


# Sizes.


@pytest.mark.parametrize("expected", [None, 0, 5])
def test_an_honest_or_unknown_size_is_accepted(
    store: Store, expected: int | None
) -> None:
    stored = store.add("key", [b"bytes"], plan(expected_size=expected))

    assert stored.blob.size == 5


def test_too_few_bytes_are_a_mismatch(store: Store) -> None:
    with pytest.raises(SizeMismatch) as failure:
        store.add("key", [b"byt", b"es"], plan(expected_size=9))

    assert str(failure.value) == "Size mismatch: expected 9 bytes, got 5 bytes"
    assert not store.has("key")


def _endless(limit: int) -> Iterator[bytes]:
    for _ in range(limit):
        yield b"x"
    raise AssertionError("read on")


def test_too_many_bytes_are_refused_at_the_first(store: Store) -> None:
    with pytest.raises(SizeMismatch) as failure:
        store.add("key", _endless(10), plan(expected_size=9))

    assert str(failure.value) == "Size exceeds: expected 9 bytes, got 10 bytes"
    assert not store.has("key")


def test_the_limit_is_counted(store: Store) -> None:
    with pytest.raises(TooLarge, match="quota is used up"):
        store.add("key", _endless(10), plan(max_bytes=9))

    assert not store.has("key")
    assert store.add("key", [b"x" * 9], plan(max_bytes=9)).blob.size == 9


def test_an_announced_size_over_the_limit_is_not_read(store: Store) -> None:
    with pytest.raises(TooLarge):
        store.add("key", _endless(0), plan(max_bytes=9, expected_size=10))


def test_a_limit_of_nothing_lets_an_empty_image_in(store: Store) -> None:
    assert store.add("key", [], plan(max_bytes=0)).blob.size == 0
    with pytest.raises(TooLarge):
        store.add("other", [b"x"], plan(max_bytes=0))


# Refusals.


def test_an_error_of_the_source_passes_through(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 9 * MiB
        raise TransferBroken("the client went away")

    with pytest.raises(TransferBroken):
        store.add("key", broken(), plan())

    assert not store.has("key")


def test_unsafe_content_is_not_kept(store: Store) -> None:
    with pytest.raises(UnsafeContent):
        store.add("key", [bytes(99)], plan(inspector=inspector("qcow2")))

    assert not store.has("key")


def test_unsafe_content_is_refused_before_the_rest_arrives(store: Store) -> None:
    def upload() -> Iterator[bytes]:
        yield disks.qcow2(backing=7)
        for _ in range(31):
            yield bytes(32 * 1024)
        raise AssertionError("read on")

    with pytest.raises(UnsafeContent, match="backing"):
        store.add("key", upload(), plan(inspector=inspector("qcow2")))


def test_the_virtual_size_is_that_of_the_header(store: Store) -> None:
    content = disks.qcow2(7 * MiB)

    stored = store.add("key", [content], plan(inspector=inspector("qcow2")))

    assert stored.blob.virtual_size == 7 * MiB


def test_a_size_fault_goes_before_a_format_fault(store: Store) -> None:
    with pytest.raises(SizeMismatch):
        store.add("key", [b"x"], plan(expected_size=2, inspector=inspector("iso")))


def test_a_taken_key_is_refused_unless_replaced(store: Store) -> None:
    store.add("key", [b"old"], plan())

    with pytest.raises(BlobExists):
        store.add("key", [b"new"], plan())
    store.add("key", [b"new"], plan(replace=True))

    assert b"".join(store.open("key")) == b"new"


def test_a_store_without_write_access_takes_nothing(driver: MemoryDriver) -> None:
    store = Store("web", driver, StoreTraits("http", writable=False))

    with pytest.raises(StoreReadOnly, match="`web`"):
        store.add("key", _endless(0), plan())


# Recovery.


def test_discard_removes_a_blob_and_its_leftovers(tmp_path: Path) -> None:
    driver = FilesystemDriver(FileOptions(((tmp_path, 0),)))
    driver.prepare()
    store = Store("disk", driver, TRAITS)
    store.add("key", [b"bytes"], plan())
    (tmp_path / ".tmp" / "key.0123").touch()
    (tmp_path / ".tmp" / "other.0123").touch()

    store.discard("key")
    store.discard("key")

    assert not store.has("key")
    assert store.sweep(older_than_s=0) == 1


class _Signing(MemoryDriver):
    def signed_url(
        self, url: str, expires_in_s: int, filename: str | None = None
    ) -> str:
        return f"{url}?for={expires_in_s}&name={filename}"


def test_only_some_drivers_sign_urls(store: Store) -> None:
    location = store.add("key", [b"bytes"], plan()).location
    signing = Store("other", _Signing(), TRAITS)

    assert store.signed_url(location, 60) is None
    assert signing.signed_url(location, 60, "a.img") == (
        "memory://memory/key?for=60&name=a.img"
    )


def test_a_driver_without_leftovers_has_none(store: Store) -> None:
    store.add("key", [b"bytes"], plan())

    store.discard("key")

    assert not store.has("key")
    assert store.sweep(older_than_s=0) == 0


# Memory.


@pytest.mark.parametrize("chunk_bytes", [5000, MiB, 4 * MiB])
def test_memory_does_not_grow_with_the_image(tmp_path: Path, chunk_bytes: int) -> None:
    driver = FilesystemDriver(FileOptions(((tmp_path, 0),), fsync=False))
    driver.prepare()
    store = Store("disk", driver, TRAITS, LaneSupply(1))
    size = 40 * MiB
    chunks = (bytes(chunk_bytes) for _ in range(size // chunk_bytes))

    tracemalloc.start()
    try:
        store.add("key", chunks, plan(inspector=inspector("raw")))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2 * chunk_bytes + 10 * MiB


def test_a_chunk_may_be_anything_like_bytes(store: Store) -> None:
    buffer = bytearray(b"bytes")

    def reused() -> Iterator[bytearray]:
        yield buffer
        buffer[:] = b"other"
        yield buffer

    store.add("key", reused(), plan())  # type: ignore[arg-type]  # servers do this

    assert b"".join(store.open("key")) == b"bytesother"


def test_huge_chunks_are_cut(store: Store) -> None:
    data = bytes(range(256)) * (PIECE_BYTES // 128)

    stored = store.add("key", [data + b"end"], plan())

    assert b"".join(store.open("key")) == data + b"end"
    assert stored.blob.checksum == hashlib.md5(data + b"end").hexdigest()


class _Noting(MemoryDriver):
    """A driver that notes how long the pieces are that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    def writer(self, key: str, announced_bytes: int, *, replace: bool) -> BlobWriter:
        """Return a writer that tells."""
        writer = super().writer(key, announced_bytes, replace=replace)
        write = writer.write

        def noted(chunk: bytes) -> None:
            self.lengths.append(len(chunk))
            write(chunk)

        writer.write = noted  # type: ignore[method-assign] # it is watched
        return writer


KiB = 1024


@pytest.mark.parametrize(
    ("chunks", "pieces"),
    [
        ([64 * KiB] * 40, [MiB, MiB, 512 * KiB]),
        ([1000] * 3000, [1_048_000, 1_048_000, 904_000]),
        # What is long enough is not copied to be longer.
        ([8 * KiB, 1016 * KiB] * 2, [8 * KiB, 1016 * KiB] * 2),
        ([300 * KiB] * 3, [300 * KiB] * 3),
        ([KiB, 3 * MiB + 1, KiB], [KiB, MiB, MiB, MiB, 1, KiB]),
        ([0, 5, 0], [5]),
        ([], []),
    ],
    ids=["64 KiB", "tiny", "large", "middling", "huge", "empty among", "none"],
)
def test_small_chunks_are_joined_before_they_are_handed_on(
    chunks: list[int], pieces: list[int]
) -> None:
    driver = _Noting()
    store = Store("noting", driver, StoreTraits("memory"))
    data = bytes(range(251)) * (sum(chunks) // 251 + 1)
    cuts = [sum(chunks[:number]) for number in range(len(chunks) + 1)]

    store.add("key", (data[a:b] for a, b in pairwise(cuts)), plan())

    assert driver.lengths == pieces
    assert b"".join(store.open("key")) == data[: sum(chunks)]
