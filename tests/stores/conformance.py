"""The meaning of the driver contract: every driver passes `StoreConformance`."""

import random
import time
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from imagereg.errors import BlobExists, BlobNotFound, StoreReadOnly
from imagereg.stores.driver import (
    BlobReader,
    KeepsLeftovers,
    ListedBlob,
    ListsBlobs,
    StoreDriver,
)

MiB = 1024 * 1024


def put(driver: StoreDriver, key: str, data: bytes, *, replace: bool = False) -> str:
    """Store ``data`` and return its URL."""
    with driver.writer(key, len(data), replace=replace) as writer:
        for start in range(0, len(data), MiB):
            writer.write(data[start : start + MiB])
        return writer.commit().url


def read(reader: BlobReader) -> bytes:
    with reader:
        return b"".join(reader)


def listing(driver: StoreDriver) -> Iterator[ListedBlob]:
    """Return the listing, which every driver that takes data must have."""
    assert isinstance(driver, ListsBlobs)
    return driver.list_blobs()


class StoreConformance:
    """Subclass it, and give it a ``driver`` fixture.

    Attributes:
        store_type: the type in the catalogue whose driver this is, if it is there.
    """

    store_type: ClassVar[str | None] = None

    @pytest.fixture
    def driver(self) -> StoreDriver:
        raise NotImplementedError

    def test_gives_back_what_was_committed(self, driver: StoreDriver) -> None:
        url = put(driver, "key", b"bytes")

        assert read(driver.open(url, 0, None)) == b"bytes"
        assert driver.size(url) == 5
        assert driver.find("key") == url
        assert driver.owns(url)

    def test_its_url_is_one_of_the_usual_spellings(self, driver: StoreDriver) -> None:
        url = put(driver, "key", b"bytes")
        assert isinstance(driver, ListsBlobs)

        spellings = driver.spellings("key")

        assert url in spellings
        assert driver.canonical(url) in spellings
        assert all(map(driver.owns, spellings))
        assert not set(spellings) & set(driver.spellings("other"))

    def test_keeps_an_empty_blob(self, driver: StoreDriver) -> None:
        url = put(driver, "empty", b"")

        assert driver.size(url) == 0
        assert read(driver.open(url, 0, None)) == b""

    def test_keeps_a_large_blob(self, driver: StoreDriver) -> None:
        data = random.Random(1).randbytes(9 * MiB + 17)

        url = put(driver, "large", data)

        assert read(driver.open(url, 0, None)) == data

    def test_keeps_zeros_among_data(self, driver: StoreDriver) -> None:
        data = b"a" + bytes(70_000) + b"b" + bytes(9_000)

        url = put(driver, "zeros", data)

        assert read(driver.open(url, 0, None)) == data

    @pytest.mark.parametrize("announced", [0, 3, 100_000])
    @pytest.mark.parametrize("data", [b"bytes", b"a" + bytes(9000), bytes(5000), b""])
    def test_what_was_written_counts_not_what_was_announced(
        self, driver: StoreDriver, data: bytes, announced: int
    ) -> None:
        with driver.writer("key", announced, replace=False) as writer:
            writer.write(data)
            url = writer.commit().url

        assert driver.size(url) == len(data)
        assert read(driver.open(url, 0, None)) == data

    @pytest.mark.parametrize(
        ("offset", "length"),
        [
            (0, 4),
            (3, 4),
            (3, None),
            (9, 1),
            (9, 100),  # clipped to the blob
            (10, None),  # nothing follows the last byte
            (10**9, 5),
            (4, 0),
        ],
    )
    def test_reads_a_range(
        self, driver: StoreDriver, offset: int, length: int | None
    ) -> None:
        url = put(driver, "key", b"0123456789")
        stop = None if length is None else offset + length

        reader = driver.open(url, offset, length)

        assert reader.size == len(b"0123456789"[offset:stop])
        assert read(reader) == b"0123456789"[offset:stop]

    def test_shows_nothing_before_commit(self, driver: StoreDriver) -> None:
        with driver.writer("key", 5, replace=False) as writer:
            writer.write(b"bytes")

            assert driver.find("key") is None

    def test_discards_what_is_not_committed(self, driver: StoreDriver) -> None:
        with driver.writer("key", 5, replace=False) as writer:
            writer.write(b"bytes")

        assert driver.find("key") is None
        self.assert_no_leftovers(driver)

    def test_discards_when_the_block_fails(self, driver: StoreDriver) -> None:
        with (
            pytest.raises(ZeroDivisionError),
            driver.writer("key", 5, replace=False) as writer,
        ):
            writer.write(b"bytes")
            raise ZeroDivisionError

        assert driver.find("key") is None
        self.assert_no_leftovers(driver)

    def test_a_missing_key_is_not_found(self, driver: StoreDriver) -> None:
        url = put(driver, "key", b"bytes").removesuffix("key") + "other"

        assert driver.find("other") is None
        with pytest.raises(BlobNotFound):
            driver.open(url, 0, None)
        with pytest.raises(BlobNotFound):
            driver.size(url)
        with pytest.raises(BlobNotFound):
            driver.delete(url)

    @pytest.mark.parametrize("url", ["", "file:///etc/passwd", "nowhere://x/y", "key"])
    def test_a_foreign_url_is_not_found(self, driver: StoreDriver, url: str) -> None:
        put(driver, "key", b"bytes")

        assert not driver.owns(url)
        with pytest.raises(BlobNotFound):
            driver.open(url, 0, None)
        with pytest.raises(BlobNotFound):
            driver.delete(url)

    def test_a_taken_key_is_refused_at_once(self, driver: StoreDriver) -> None:
        url = put(driver, "key", b"first")

        with pytest.raises(BlobExists):
            driver.writer("key", 6, replace=False)

        assert read(driver.open(url, 0, None)) == b"first"

    def test_replaces_when_asked(self, driver: StoreDriver) -> None:
        put(driver, "key", b"first")

        url = put(driver, "key", b"second", replace=True)

        assert read(driver.open(url, 0, None)) == b"second"

    def test_keeps_the_old_blob_if_its_replacement_fails(
        self, driver: StoreDriver
    ) -> None:
        url = put(driver, "key", b"first")

        with driver.writer("key", 6, replace=True) as writer:
            writer.write(b"second")

        assert read(driver.open(url, 0, None)) == b"first"

    def test_the_first_of_two_writers_wins(self, driver: StoreDriver) -> None:
        with (
            driver.writer("key", 0, replace=False) as one,
            driver.writer("key", 0, replace=False) as two,
        ):
            one.write(b"one")
            two.write(b"two")
            url = two.commit().url
            with pytest.raises(BlobExists):
                one.commit()

        assert read(driver.open(url, 0, None)) == b"two"
        self.assert_no_leftovers(driver)

    def test_the_last_of_two_replacing_writers_wins(self, driver: StoreDriver) -> None:
        with (
            driver.writer("key", 0, replace=True) as one,
            driver.writer("key", 0, replace=True) as two,
        ):
            one.write(b"one")
            two.write(b"two")
            two.commit()
            url = one.commit().url

        assert read(driver.open(url, 0, None)) == b"one"

    def test_delete_removes_the_blob(self, driver: StoreDriver) -> None:
        url = put(driver, "key", b"bytes")

        driver.delete(url)

        assert driver.find("key") is None
        with pytest.raises(BlobNotFound):
            driver.open(url, 0, None)

    def test_a_deleted_key_is_free_again(self, driver: StoreDriver) -> None:
        driver.delete(put(driver, "key", b"first"))

        url = put(driver, "key", b"second")

        assert read(driver.open(url, 0, None)) == b"second"

    def test_a_reader_outlives_a_delete(self, driver: StoreDriver) -> None:
        data = bytes(range(256)) * 4096 * 3
        url = put(driver, "key", data)
        reader = driver.open(url, 0, None)
        chunks = iter(reader)
        start = next(chunks)

        driver.delete(url)

        assert start + b"".join(chunks) == data
        reader.close()

    def test_a_reader_closes_twice(self, driver: StoreDriver) -> None:
        reader = driver.open(put(driver, "key", b"bytes"), 0, None)

        reader.close()
        reader.close()

    @pytest.mark.parametrize(
        "key",
        [
            "b206a1900c3a4d75b9f0",
            "with blank",
            "a.b.c",
            "100%25",
            "a?b#c",
            "a:b@c",
            "~",
            "größe-日本",
            "k" * 200,
        ],
    )
    def test_keeps_odd_names_apart(self, driver: StoreDriver, key: str) -> None:
        url = put(driver, key, key.encode())
        put(driver, "other", b"other")

        assert driver.find(key) == url
        assert read(driver.open(url, 0, None)) == key.encode()
        driver.delete(url)
        assert driver.find("other") is not None

    def test_lists_what_it_holds(self, driver: StoreDriver) -> None:
        begun = time.time()
        sizes = {"one": 5, "two": 0, "größe 3": 70_000}
        urls = {key: put(driver, key, bytes(size)) for key, size in sizes.items()}
        driver.delete(put(driver, "gone", b"bytes"))

        listed = {blob.key: blob for blob in listing(driver)}

        assert {key: blob.size for key, blob in listed.items()} == sizes
        assert {key: blob.url for key, blob in listed.items()} == urls
        # A store's clock is its own.
        assert all(
            begun - 60 <= blob.changed_at_s <= time.time() + 60
            for blob in listed.values()
        )

    def test_lists_nothing_that_is_not_committed(self, driver: StoreDriver) -> None:
        with driver.writer("key", 5, replace=False) as writer:
            writer.write(b"bytes")

            assert list(listing(driver)) == []

    def test_what_is_listed_can_be_deleted_by_its_url(
        self, driver: StoreDriver
    ) -> None:
        put(driver, "key", b"bytes")

        for blob in list(listing(driver)):
            driver.delete(blob.url)

        assert list(listing(driver)) == []

    def test_knows_its_urls_in_their_usual_spelling(self, driver: StoreDriver) -> None:
        url = put(driver, "key", b"bytes")
        assert isinstance(driver, ListsBlobs)

        assert driver.canonical(url) == url
        with pytest.raises(BlobNotFound):
            driver.canonical("nowhere://x/y")

    def test_pretending_to_sweep_leaves_running_uploads_uncounted(
        self, driver: StoreDriver
    ) -> None:
        if isinstance(driver, KeepsLeftovers):
            with driver.writer("key", 5, replace=False) as writer:
                writer.write(b"bytes")

                assert driver.sweep(pretend=True) == 0

    @staticmethod
    def assert_no_leftovers(driver: StoreDriver) -> None:
        if isinstance(driver, KeepsLeftovers):
            assert driver.sweep() == 0


class ReadOnlyConformance:
    """The contract of a driver that takes no data: what it reads, it reads alike.

    Subclass it, and give it a ``driver`` fixture and ``publish``.

    Attributes:
        store_type: as in `StoreConformance`.
    """

    store_type: ClassVar[str | None] = None

    @pytest.fixture
    def driver(self) -> StoreDriver:
        raise NotImplementedError

    @pytest.fixture
    def publish(self) -> Callable[[bytes], str]:
        """Return what makes data readable, and says at which URL."""
        raise NotImplementedError

    def test_gives_back_what_lies_there(
        self, driver: StoreDriver, publish: Callable[[bytes], str]
    ) -> None:
        url = publish(b"bytes")

        assert read(driver.open(url, 0, None)) == b"bytes"
        assert driver.size(url) == 5
        assert driver.owns(url)

    def test_reads_a_large_blob(
        self, driver: StoreDriver, publish: Callable[[bytes], str]
    ) -> None:
        data = random.Random(1).randbytes(9 * MiB + 17)

        assert read(driver.open(publish(data), 0, None)) == data

    @pytest.mark.parametrize(
        ("offset", "length"),
        [(0, 4), (3, 4), (3, None), (9, 1), (9, 100), (10, None), (10**9, 5), (4, 0)],
    )
    def test_reads_a_range(
        self,
        driver: StoreDriver,
        publish: Callable[[bytes], str],
        offset: int,
        length: int | None,
    ) -> None:
        url = publish(b"0123456789")
        stop = None if length is None else offset + length

        reader = driver.open(url, offset, length)

        assert reader.size == len(b"0123456789"[offset:stop])
        assert read(reader) == b"0123456789"[offset:stop]
        reader.close()

    def test_what_is_missing_is_not_found(
        self, driver: StoreDriver, publish: Callable[[bytes], str]
    ) -> None:
        url = publish(b"bytes") + "-other"

        with pytest.raises(BlobNotFound):
            driver.open(url, 0, None)
        with pytest.raises(BlobNotFound):
            driver.size(url)

    @pytest.mark.parametrize("url", ["", "file:///etc/passwd", "nowhere://x/y", "key"])
    def test_a_foreign_url_is_not_found(self, driver: StoreDriver, url: str) -> None:
        assert not driver.owns(url)
        with pytest.raises(BlobNotFound):
            driver.open(url, 0, None)
        with pytest.raises(BlobNotFound):
            driver.delete(url)

    def test_takes_no_data_and_has_no_keys(self, driver: StoreDriver) -> None:
        with pytest.raises(StoreReadOnly):
            driver.writer("key", 5, replace=True)

        assert driver.find("key") is None

    def test_delete_leaves_the_blob_to_its_owner(
        self, driver: StoreDriver, publish: Callable[[bytes], str]
    ) -> None:
        url = publish(b"bytes")

        driver.delete(url)

        assert read(driver.open(url, 0, None)) == b"bytes"
