"""Blobs as files of one or several directories: ``<datadir>/<key>``.

Source: contract stores 2, rulings S-1, S-3, S-6, S-7, S-12.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path

from imagereg.errors import (
    BlobExists,
    BlobNotFound,
    ConfigurationError,
    Forbidden,
    ImageRegError,
    StoreFull,
    StoreUnavailable,
)
from imagereg.model import Location
from imagereg.stores.closing import Closing
from imagereg.stores.datadir import (
    NOT_NOW,
    NOTHING,
    DataDir,
    TemporaryFile,
    as_store_error,
    storage_errors,
)
from imagereg.stores.driver import BlobReader, BlobWriter, ListedBlob, is_key
from imagereg.stores.filewriter import FileWriter, Upload
from imagereg.stores.mountpoints import Mountpoints
from imagereg.stores.patience import Patience, PatienceOptions

SCHEMES = ("file://", "filesystem://")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileOptions:
    """How a file store keeps its files.

    Attributes:
        datadirs: directory and priority; higher priorities are filled first.
        mode: permission bits of finished files; 0 leaves them to the umask.
        chunk_bytes: how much is read at once.
        is_thin: runs of zeros become holes.
        reserve_bytes: free space that uploads leave alone.
        fsync: False skips the syncs, and a power loss may then lose images.
        patience: how long operations on the directories themselves may take.
    """

    datadirs: tuple[tuple[Path, int], ...]
    mode: int = 0
    chunk_bytes: int = 64 * 1024
    is_thin: bool = False
    reserve_bytes: int = 0
    fsync: bool = True
    patience: PatienceOptions = field(default_factory=PatienceOptions)


class FilesystemDriver:
    """Blobs as files.  `prepare` must have been called before the first upload."""

    def __init__(
        self, options: FileOptions, mountpoints: Mountpoints | None = None
    ) -> None:
        self._options = options
        self._mountpoints = mountpoints or Mountpoints()
        places = (
            DataDir(path.absolute(), priority, options.reserve_bytes)
            for path, priority in options.datadirs
        )
        self._places = tuple(sorted(places, key=lambda place: -place.priority))
        # Of its own each: a directory that hangs leaves the others their threads.
        self._patience = {place: Patience(options.patience) for place in self._places}

    def prepare(self) -> None:
        """Create the directories and try them out.

        Raises:
            ConfigurationError: one of them cannot be written.
        """
        if self._options.mode and not self._options.mode & 0o400:
            message = "filesystem_store_file_perm: the owner must be able to read"
            raise ConfigurationError([message])
        faults = []
        for place in self._places:
            try:
                place.prepare(self._options.mode)
            except OSError as error:
                faults.append(f"datadir {place.path}: {error.strerror}")
        if faults:
            raise ConfigurationError(faults)

    def check(self, *, writable: bool) -> None:
        """Return if every directory is there, and can be written if it is to be."""
        for place in self._places:
            with storage_errors():
                descriptor = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY)
                os.close(descriptor)
            if writable and not os.access(place.path, os.W_OK | os.X_OK):
                raise StoreUnavailable("a directory of the store cannot be written")

    def writer(self, key: str, announced_bytes: int, *, replace: bool) -> BlobWriter:
        """Begin an upload in the directory that suits it."""
        with storage_errors():
            if not replace and self.find(key):
                message = f"the store holds an object named `{key}` already"
                raise BlobExists(message)
            place, file = self._begin(key, announced_bytes)
        upload = Upload(
            key=key,
            directory=place,
            others=tuple(other for other in self._places if other is not place),
            announced_bytes=announced_bytes,
            replace=replace,
            mode=self._options.mode,
            is_thin=self._options.is_thin,
            fsync=self._options.fsync,
        )
        return FileWriter(upload, file, self._locate)

    def open(self, url: str, offset: int, length: int | None) -> BlobReader:
        """Open a part of the file at ``url`` for reading."""
        place, key = self._parse(url)
        with storage_errors():
            descriptor = self._open(place, key)
            wanted = max(0, os.fstat(descriptor).st_size - offset)
            size = wanted if length is None else min(wanted, length)
        part = range(offset, offset + size)
        path = place.path / key
        return FileReader(descriptor, path, part, self._options.chunk_bytes)

    def size(self, url: str) -> int:
        """Return how many bytes lie at ``url``."""
        place, key = self._parse(url)
        with storage_errors():
            descriptor = self._open(place, key)
            try:
                return os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)

    def delete(self, url: str) -> None:
        """Remove the file at ``url``."""
        place, key = self._parse(url)
        try:
            self._patience[place].call(lambda: place.unlink(key))
        except OSError as error:
            _log.warning("cannot delete %s: %s", key, error)
            raise Forbidden("the object cannot be deleted from the store") from error

    def find(self, key: str) -> str | None:
        """Return the URL of the file with this key, or None."""
        with storage_errors():
            for place in self._places:
                if self._patience[place].call(partial(place.has, key)):
                    return self._locate(place, key).url
        return None

    def owns(self, url: str) -> bool:
        """Return whether ``url`` lies directly in one of the directories."""
        try:
            self._parse(url)
        except BlobNotFound:
            return False
        return True

    def sweep(
        self,
        *,
        key: str | None = None,
        older_than_s: float = 0.0,
        pretend: bool = False,
    ) -> int:
        """Remove temporary files without a writer; say how many."""
        with storage_errors():
            return sum(
                place.sweep(key, older_than_s, pretend=pretend)
                for place in self._places
            )

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yield every ordinary file."""
        for place in self._places:
            with storage_errors():
                for name, facts in place.entries():
                    url = self._locate(place, name).url
                    yield ListedBlob(name, url, facts.st_size, facts.st_mtime)

    def canonical(self, url: str) -> str:
        """Return ``url`` by its usual scheme."""
        return self._locate(*self._parse(url)).url

    def spellings(self, key: str) -> Sequence[str]:
        """Return the URL of this key in each directory."""
        return tuple(self._locate(place, key).url for place in self._places)

    def _open(self, place: DataDir, key: str) -> int:
        # What `open` returns must not come late, with nobody left to close it: so a
        # question that costs nothing hangs in its stead.
        if self._options.patience.limit_s:
            self._patience[place].call(partial(place.has, key))
        return place.open(key)

    def _begin(self, key: str, announced_bytes: int) -> tuple[DataDir, TemporaryFile]:
        """Return a temporary file in the first directory that takes the upload."""
        failure: ImageRegError | None = None
        for place in self._by_preference():
            try:
                if self._options.patience.limit_s:
                    self._patience[place].call(place.has_reserve)
                return place, place.begin(key, announced_bytes)
            except (StoreFull, StoreUnavailable) as refusal:
                failure = refusal
            except OSError as error:
                _log.warning("cannot write to %s: %s", place.path, error)
                failure = failure or as_store_error(error)
        raise failure or StoreUnavailable(NOT_NOW)

    def _by_preference(self) -> Iterator[DataDir]:
        """Yield directories by priority, and inside a priority by free space."""
        if len(self._places) == 1:
            yield self._places[0]
            return
        for _, group in groupby(self._places, key=lambda place: place.priority):
            yield from sorted(group, key=self._free_bytes, reverse=True)

    def _free_bytes(self, place: DataDir) -> int:
        """Return free space; a directory that cannot tell comes last."""
        try:
            return self._patience[place].call(place.free_bytes)
        except (OSError, StoreUnavailable):
            return -1

    def _locate(self, place: DataDir, key: str) -> Location:
        """Return where the file lies; the URL is not quoted, as others expect of it."""
        path = place.path / key
        return Location(f"file://{path}", self._mountpoints.describe(path))

    def _parse(self, url: str) -> tuple[DataDir, str]:
        """Return the directory and key that ``url`` names.

        Nothing outside the directories is ever opened, whatever a row says.
        """
        for scheme in SCHEMES:
            if url.startswith(scheme):
                parent, _, key = url.removeprefix(scheme).rpartition("/")
                for place in self._places:
                    if parent == str(place.path) and is_key(key):
                        return place, key
        raise BlobNotFound(NOTHING)


class FileReader(Closing):
    """A part of one open file.  Also a `HasPath`: the kernel can send it."""

    def __init__(
        self, descriptor: int, path: Path, part: range, chunk_bytes: int
    ) -> None:
        self._descriptor = descriptor
        self._path = path
        self._size = len(part)
        self._position = part.start
        self._stop = part.stop
        self._chunk_bytes = chunk_bytes

    def __del__(self) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._path

    @property
    def position(self) -> int:
        """Where in the file the next byte lies."""
        return self._position

    @property
    def size(self) -> int:
        """How many bytes the reader stands for."""
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes in chunks."""
        while chunk := self._read(self._stop - self._position):
            yield chunk

    def _read(self, left: int) -> bytes:
        """Return the next bytes, none at the end.

        Raises:
            StoreUnavailable: the disk failed, or the file ends too early.
        """
        if left <= 0:
            return b""
        wanted = min(left, self._chunk_bytes)
        with storage_errors():
            chunk = os.pread(self._descriptor, wanted, self._position)
        if not chunk:
            raise StoreUnavailable("the object in the store ends too early")
        self._position += len(chunk)
        return chunk

    def fileno(self) -> int:
        """Return the open file's descriptor."""
        return self._descriptor

    def seek(self, position: int) -> int:
        """Go to ``position`` of the file."""
        self._position = position
        return position

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        self._position = self._stop
        if descriptor >= 0:
            os.close(descriptor)
