"""One store: a driver, and everything that all drivers share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from imagereg.errors import (
    BlobNotFound,
    SizeMismatch,
    StoreReadOnly,
    StoreUnavailable,
    TooLarge,
)
from imagereg.meters import Meters
from imagereg.model import Blob, Location
from imagereg.stores.driver import (
    BlobReader,
    BlobWriter,
    ChecksItself,
    KeepsLeftovers,
    ListedBlob,
    ListsBlobs,
    SignsURLs,
    StoreDriver,
    check_key,
    is_key,
)
from imagereg.stores.formats import Inspector
from imagereg.stores.hashing import Digests, LaneSupply
from imagereg.stores.signatures import Verifier

PIECE_BYTES = 1024 * 1024
"""What passes through an upload at a time.

Each piece costs its handing over, to two lanes of hashing and to the disk: in pieces
of 64 KiB, as many clients send them, that took a third of the rate (`bench_targets`).
"""

LARGE_BYTES = 256 * 1024
"""What is not worth a copy to be joined with others."""


@dataclass(frozen=True)
class UploadPlan:
    """What the caller knows and wants of an upload.

    Attributes:
        hash_algorithm: hashlib's name of the second digest.
        expected_size: bytes announced; None or 0 when nobody said.
        max_bytes: the first byte beyond is refused.
        too_large: what to tell the person who hits that limit.
        inspector: what the content must be; None looks at nothing.
        verifier: whose signature the content must bear; None is nobody's.
        replace: an object under this key gives way, because no live location
            refers to it (ruling S-3).
    """

    hash_algorithm: str
    expected_size: int | None = None
    max_bytes: int | None = None
    too_large: str = "the data exceed the size limit"
    inspector: Inspector | None = None
    verifier: Verifier | None = None
    replace: bool = False


@dataclass(frozen=True)
class StoredBlob:
    """Bytes that are durable, and where they lie."""

    blob: Blob
    location: Location


@dataclass(frozen=True)
class StoreTraits:
    """What others see of a store, besides its bytes.

    Attributes:
        type: ``file``, ``memory``...
        weight: stores of higher weight are read first.
        properties: what ``/v2/info/stores/detail`` tells an administrator.
        writable: False for a store that takes no uploads.
        redirects: ``never``, ``asked`` or ``always``: whom to send to a signed URL.
        redirect_expires_s: how long such a URL is good.
    """

    type: str
    weight: int = 0
    description: str | None = None
    properties: Mapping[str, object] = field(default_factory=dict)
    writable: bool = True
    redirects: str = "never"
    redirect_expires_s: int = 300


class Store:
    """One place for bytes.

    Args:
        lanes: where uploads get their hashing threads; None hashes in turn.
        meters: are told of what fails.
    """

    def __init__(
        self,
        store_id: str,
        driver: StoreDriver,
        traits: StoreTraits,
        lanes: LaneSupply | None = None,
        meters: Meters | None = None,
    ) -> None:
        self.id = store_id
        self.type = traits.type
        self.weight = traits.weight
        self.description = traits.description
        self.properties = traits.properties
        self.writable = traits.writable
        self._traits = traits
        self._driver = driver
        self._lanes = lanes
        self._meters = meters or Meters()

    def add(self, key: str, chunks: Iterable[bytes], plan: UploadPlan) -> StoredBlob:
        """Store ``chunks`` under ``key``, all of them or nothing.

        Chunks may be of any size; memory in use does not depend on their number.
        An error that ``chunks`` raises passes through.

        Raises:
            StoreReadOnly: the store takes no uploads.
            SizeMismatch: more or fewer bytes than expected.
            TooLarge: more than ``plan.max_bytes``, or `StoreFull`.
            UnsafeContent: the inspector refuses them.
            Invalid: the verifier does.
            BlobExists: the key is taken.
            StoreUnavailable: the backend fails.
        """
        check_key(key)
        if not self.writable:
            raise StoreReadOnly(f"store `{self.id}` takes no data")
        expected = plan.expected_size or 0
        intake = _Intake(plan)
        intake.check(expected)
        with (
            self._watched(),
            self._driver.writer(key, expected, replace=plan.replace) as writer,
            Digests(plan.hash_algorithm, self._lanes) as digests,
        ):
            lookers = [each for each in (plan.inspector, plan.verifier) if each]
            _pump(_pieces(intake.count(chunks)), lookers, digests, writer)
            intake.check_complete()
            virtual_size = plan.inspector.finish() if plan.inspector else None
            if plan.verifier is not None:
                plan.verifier.finish()
            checksum, value = digests.finish()
            location = replace(writer.commit(), store=self.id)
        blob = Blob(intake.received, checksum, plan.hash_algorithm, value, virtual_size)
        return StoredBlob(blob, location)

    def open(
        self, location: Location | str, offset: int = 0, length: int | None = None
    ) -> BlobReader:
        """Open ``length`` bytes from ``offset``, or all that follow, for reading.

        ``location`` may also be the key.

        Raises:
            BlobNotFound: there is nothing.
            StoreUnavailable: nobody can tell.
        """
        if offset < 0 or (length is not None and length < 0):
            message = "offset and length count from zero"
            raise ValueError(message)
        with self._watched():
            return self._driver.open(self._url(location), offset, length)

    def size(self, location: Location | str) -> int:
        """Return how many bytes lie there.  Raises as `open` does."""
        with self._watched():
            return self._driver.size(self._url(location))

    def delete(self, location: Location | str) -> None:
        """Remove the blob; readers that have it open may finish.

        Raises:
            BlobNotFound: there was nothing.
            Forbidden: the backend does not let go of it.
            StoreUnavailable: nobody can tell.
        """
        with self._watched():
            self._driver.delete(self._url(location))

    def has(self, key: str) -> bool:
        """Return whether there is a committed blob with this key."""
        return self._driver.find(check_key(key)) is not None

    def check(self) -> None:
        """Return if the store can be used; one that cannot tell always can.

        Raises:
            StoreUnavailable: it cannot.
        """
        if isinstance(self._driver, ChecksItself):
            with self._watched():
                self._driver.check(writable=self.writable)

    def discard(self, key: str) -> None:
        """Remove whatever an interrupted upload of ``key`` may have left.

        That is a committed blob as well, so the caller must know that no location
        refers to it.  An upload that still runs is left alone.
        """
        with suppress(BlobNotFound):
            self.delete(key)
        if isinstance(self._driver, KeepsLeftovers):
            self._driver.sweep(key=key)

    def sweep(self, older_than_s: float) -> int:
        """Remove abandoned uploads at least this old; say how many there were."""
        if not isinstance(self._driver, KeepsLeftovers):
            return 0
        return self._driver.sweep(older_than_s=older_than_s)

    def signed_url(
        self, location: Location | str, expires_in_s: int, filename: str | None = None
    ) -> str | None:
        """Return a URL that reads the blob for a while, or None if no URL can.

        Never log it: it is a key to the bytes (`SignsURLs`).
        """
        if not isinstance(self._driver, SignsURLs):
            return None
        return self._driver.signed_url(self._url(location), expires_in_s, filename)

    def leftovers(self, older_than_s: float) -> int:
        """Return how many abandoned uploads `sweep` would remove."""
        if not isinstance(self._driver, KeepsLeftovers):
            return 0
        return self._driver.sweep(older_than_s=older_than_s, pretend=True)

    @property
    def can_list(self) -> bool:
        """Whether the store can tell what it holds."""
        return isinstance(self._driver, ListsBlobs)

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yield every committed blob whose name a key can be (see `check_key`).

        They may be of anybody who writes to the same place.  Nothing comes from a
        store that cannot tell.

        Raises:
            StoreUnavailable: the listing broke off.
        """
        if isinstance(self._driver, ListsBlobs):
            yield from filter(lambda b: is_key(b.key), self._driver.list_blobs())

    def canonical(self, url: str) -> str:
        """Return ``url`` as `list_blobs` spells it, or as it is if it never would."""
        if isinstance(self._driver, ListsBlobs):
            with suppress(BlobNotFound):
                return self._driver.canonical(url)
        return url

    def spellings(self, key: str) -> Sequence[str]:
        """Return every URL by which a client may name the blob of this key.

        None of a store that cannot tell what it holds.
        """
        if isinstance(self._driver, ListsBlobs):
            return self._driver.spellings(check_key(key))
        return ()

    def spellings_of(self, url: str) -> Sequence[str]:
        """Return every URL by which a client may name the blob at ``url``."""
        return self.spellings(unquote(self.canonical(url).rpartition("/")[2]))

    def redirect_url(self, location: Location, *, is_asked: bool) -> str | None:
        """Return the signed URL to send a reader to, or None: it is served from here.

        ``is_asked`` says that the reader wants one.  Never log it, see `signed_url`.
        """
        when = self._traits.redirects
        if when == "always" or (when == "asked" and is_asked):
            name = location.url.rpartition("/")[2]
            return self.signed_url(location, self._traits.redirect_expires_s, name)
        return None

    def owns(self, location: Location) -> bool:
        """Return whether the location lies in this store, going by its URL."""
        return self._driver.owns(location.url)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Count what this store fails; a copy's source has counted its own."""
        try:
            yield
        except StoreUnavailable as error:
            if error.store is None:
                error.store = self.id
                self._meters.store_failed(self.id)
            raise

    def _url(self, location: Location | str) -> str:
        if isinstance(location, Location):
            return location.url
        url = self._driver.find(check_key(location))
        if url is None:
            raise BlobNotFound("there is no such object in the store")
        return url


class _Intake:
    """Counts what arrives, and stops what should not."""

    def __init__(self, plan: UploadPlan) -> None:
        self._plan = plan
        self.received = 0

    def count(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the chunks on while they are welcome."""
        for chunk in chunks:
            self.received += len(chunk)
            self._check_exceeds()
            self.check(self.received)
            yield chunk if isinstance(chunk, bytes) else bytes(chunk)

    def check(self, size_bytes: int) -> None:
        """Refuse ``size_bytes`` if they are more than the limit."""
        limit = self._plan.max_bytes
        if limit is not None and size_bytes > limit:
            raise TooLarge(self._plan.too_large)

    def check_complete(self) -> None:
        """Refuse a stream that ended too early."""
        expected = self._plan.expected_size
        if expected and self.received != expected:
            raise self._mismatch("Size mismatch")

    def _check_exceeds(self) -> None:
        expected = self._plan.expected_size
        if expected and self.received > expected:
            raise self._mismatch("Size exceeds")

    def _mismatch(self, what: str) -> SizeMismatch:
        """Return the failure in the contract's own words (stores 1)."""
        expected, received = self._plan.expected_size, self.received
        return SizeMismatch(f"{what}: expected {expected} bytes, got {received} bytes")


def _pump(
    pieces: Iterable[bytes],
    lookers: Sequence[Inspector | Verifier],
    digests: Digests,
    writer: BlobWriter,
) -> None:
    """Give each piece to the digests, to those who look at it, and to the writer.

    The digests come first, so that lanes work while the writer waits for the disk;
    the inspector comes before the writer, so that what it refuses is not written.
    """
    for piece in pieces:
        digests.update(piece)
        for looker in lookers:
            looker.feed(piece)
        writer.write(piece)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Join small chunks as far as they fit into a piece, and cut huge ones."""
    small: list[bytes] = []
    held = 0
    for chunk in chunks:
        size = len(chunk)
        if held and (size >= LARGE_BYTES or held + size > PIECE_BYTES):
            yield b"".join(small)
            small, held = [], 0
        if size < LARGE_BYTES:
            small.append(chunk)
            held += size
        elif size <= PIECE_BYTES:
            yield chunk
        else:
            yield from _cut(chunk)
    if held:
        yield b"".join(small)


def _cut(piece: bytes) -> Iterator[bytes]:
    for start in range(0, len(piece), PIECE_BYTES):
        yield piece[start : start + PIECE_BYTES]
