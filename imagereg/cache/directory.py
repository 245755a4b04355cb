"""The directory of the image cache: what its files are called, and who may rename.

A finished copy is ``<image id>``.  ``incomplete/`` and ``invalid/`` have files of the
same names with a mark of the digest behind, because data of one image that differ
must never share a file; ``queue/`` has empty ones.  Whoever makes a copy holds a lock
on its incomplete file for as long as bytes may follow, so every process of the node
can tell a copy that grows from one whose maker is dead.  Names appear and vanish
under one lock of the whole directory, which nobody holds while bytes flow.

Source: contract stores 8.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from imagereg.cache import locks
from imagereg.errors import ConfigurationError

_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"

#: Nothing else in the directory is ours.
_IMAGE_ID = re.compile(_UUID)
_MARKED = re.compile(rf"{_UUID}(?:\.[0-9a-f]+)?")

_MARK_LENGTH = 12
_FOLDERS = ("incomplete", "invalid", "queue")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

# A front-end server in the group may send finished copies by itself.
_FOLDER_MODE = 0o750
_FILE_MODE = 0o640


@dataclass(frozen=True, slots=True)
class Claim:
    """An incomplete copy, as somebody who asked for it found it.

    Attributes:
        name: of its file.
        reader: descriptor to read the growing file by.
        writer: descriptor to write it by, which holds its lock; None when somebody
            else makes the copy.
    """

    image_id: str
    name: str
    reader: int
    writer: int | None


@dataclass(frozen=True, slots=True)
class Held:
    """One finished file.

    Attributes:
        age_s: time since it was written.
    """

    image_id: str
    size: int
    age_s: float


class CacheDirectory:
    """The files of one node's cache.

    Args:
        lock_dir: where processes of this node keep their locks.
    """

    def __init__(self, path: Path, lock_dir: Path) -> None:
        self.path = path
        # Several registries of one machine may share the directory of locks.
        mark = _mark(str(path.absolute()))
        self._lock_dir = lock_dir
        self._lock_name = f"image-cache-{mark}"

    def prepare(self) -> None:
        """Create the directories.

        Raises:
            ConfigurationError: one of them cannot be made, or not be written.
        """
        folders = (self.path, *(self.path / name for name in _FOLDERS))
        try:
            self._lock_dir.mkdir(parents=True, exist_ok=True)
            for folder in folders:
                folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            fault = f"[DEFAULT] image_cache_dir: {error.filename}: {error.strerror}"
            raise ConfigurationError([fault]) from error
        for folder in folders:
            if not os.access(folder, os.W_OK | os.X_OK):
                fault = f"[DEFAULT] image_cache_dir: {folder} cannot be written"
                raise ConfigurationError([fault])

    def file(self, image_id: str) -> Path:
        """Return where the finished copy of an image is, or would be."""
        return self.path / _checked(image_id)

    def open(self, image_id: str) -> int | None:
        """Return a descriptor of the finished copy, or None if there is none."""
        try:
            return os.open(self.file(image_id), _READ)
        except FileNotFoundError:
            return None

    def size(self, image_id: str) -> int | None:
        """Return how long the finished copy is, or None if there is none."""
        try:
            facts = self.file(image_id).lstat()
        except OSError:
            return None
        return facts.st_size if stat.S_ISREG(facts.st_mode) else None

    def claim(self, image_id: str, digest: str) -> Claim:
        """Begin a copy of the data with this digest, or join whoever makes one.

        Remains of a dead maker give way to a new file: others may still read them.
        """
        name = f"{_checked(image_id)}.{_mark(digest)}"
        path = self._incomplete(name)
        with self._names():
            found = os.open(path, _CREATE, _FILE_MODE)
            if not locks.try_lock(found):
                return Claim(image_id, name, found, None)
            try:
                path.unlink()
            finally:
                os.close(found)
            return _created(image_id, path)

    def publish(self, claim: Claim, enter: Callable[[], None]) -> bool:
        """Give a verified copy its final name; False if it was dropped meanwhile.

        ``enter`` writes the books, at a moment when no file has the final name: so
        they can never speak of other bytes than those that are there.
        """
        path, final = self._incomplete(claim.name), self.file(claim.image_id)
        with self._names():
            if not _is_same(path, claim.writer):
                return False
            final.unlink(missing_ok=True)
            enter()
            path.rename(final)
        return True

    def reject(self, claim: Claim, *, keep: bool) -> None:
        """Take an unfinished copy out of the way, into ``invalid/`` if it is kept."""
        path = self._incomplete(claim.name)
        with self._names():
            if not _is_same(path, claim.writer):
                return
            if keep:
                path.rename(self.path / "invalid" / claim.name)
            else:
                path.unlink()

    def remove(self, image_id: str, strike: Callable[[], object]) -> int:
        """Remove the finished copy and what was begun; return the bytes of the first.

        ``strike`` takes the copy off the books.  Whoever is reading may finish; a
        copy that is being made is dropped in the end.
        """
        path = self.file(image_id)
        with self._names():
            strike()
            size = 0
            with suppress(FileNotFoundError):
                size = path.lstat().st_size
                path.unlink()
            for entry in _files(self.path / "incomplete", _MARKED):
                if entry.name.startswith(image_id):
                    Path(entry).unlink()
        return size

    def settle(self, image_id: str, strike: Callable[[], object]) -> None:
        """Take a copy off the books if there is no file of it."""
        with self._names():
            if not self.file(image_id).exists():
                strike()

    def held(self) -> list[Held]:
        """Return all finished copies."""
        return [
            Held(entry.name, _facts(entry).st_size, _age_s(entry))
            for entry in _files(self.path, _IMAGE_ID)
        ]

    def enqueue(self, image_id: str) -> None:
        """Put an image at the end of the queue; in it already, it keeps its place."""
        name = self.path / "queue" / _checked(image_id)
        os.close(os.open(name, _CREATE, _FILE_MODE))

    def dequeue(self, image_id: str) -> bool:
        """Take an image off the queue; return whether it was in it."""
        try:
            (self.path / "queue" / _checked(image_id)).unlink()
        except FileNotFoundError:
            return False
        return True

    def queued(self) -> list[str]:
        """Return the images in the queue, those that waited longest first."""
        waiting = _files(self.path / "queue", _IMAGE_ID)
        waiting.sort(key=lambda entry: (_facts(entry).st_mtime_ns, entry.name))
        return [entry.name for entry in waiting]

    def clean(self, stall_s: float, *, pretend: bool = False) -> int:
        """Remove what failed, and what was begun so long ago and has no maker.

        Returns how many files went, or would go.
        """
        removed = 0
        for entry in _files(self.path / "invalid", _MARKED):
            with suppress(FileNotFoundError):
                if not pretend:
                    Path(entry).unlink()
                removed += 1
        for entry in _files(self.path / "incomplete", _MARKED):
            if _age_s(entry) > stall_s:
                removed += self._remove_stalled(Path(entry), pretend=pretend)
        return removed

    def free_bytes(self) -> int:
        """Return how much room the file system has for us."""
        facts = os.statvfs(self.path)
        return facts.f_bavail * facts.f_frsize

    @contextmanager
    def alone(self, task: str) -> Iterator[bool]:
        """Keep other processes from ``task``; False if one of them is at it."""
        with locks.opened(self._lock_dir / f"{self._lock_name}-{task}") as descriptor:
            yield locks.try_lock(descriptor)

    @contextmanager
    def _names(self) -> Iterator[None]:
        """Hold the lock under which names appear and vanish."""
        with locks.opened(self._lock_dir / f"{self._lock_name}-names") as descriptor:
            locks.lock(descriptor)
            yield

    def _remove_stalled(self, path: Path, *, pretend: bool) -> int:
        with self._names(), suppress(FileNotFoundError):
            descriptor = os.open(path, _READ)
            try:
                if locks.try_lock(descriptor):
                    if not pretend:
                        path.unlink()
                    return 1
            finally:
                os.close(descriptor)
        return 0

    def _incomplete(self, name: str) -> Path:
        return self.path / "incomplete" / name


def is_image_id(text: str) -> bool:
    """Return whether the text can be the name of a copy."""
    return _IMAGE_ID.fullmatch(text) is not None


def _checked(image_id: str) -> str:
    if not is_image_id(image_id):
        message = f"{image_id!r} is no image id"
        raise ValueError(message)
    return image_id


def _mark(text: str) -> str:
    return sha256(os.fsencode(text)).hexdigest()[:_MARK_LENGTH]


def _created(image_id: str, path: Path) -> Claim:
    """Make a new incomplete file, and lock it."""
    writer = os.open(path, _CREATE | os.O_EXCL, _FILE_MODE)
    try:
        locks.try_lock(writer)
        return Claim(image_id, path.name, os.open(path, _READ), writer)
    except BaseException:
        os.close(writer)
        raise


def _is_same(path: Path, descriptor: int | None) -> bool:
    """Return whether the path still leads to the open file."""
    if descriptor is None:
        return False
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(descriptor))


def _files(folder: Path, names: re.Pattern[str]) -> list[os.DirEntry[str]]:
    """Return the plain files of a folder whose names are ours."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                if names.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    # Kept with the entry, should the file go.
                    _facts(entry)
                    found.append(entry)
    return found


def _facts(entry: os.DirEntry[str]) -> os.stat_result:
    return entry.stat(follow_symlinks=False)


def _age_s(entry: os.DirEntry[str]) -> float:
    return time.time() - _facts(entry).st_mtime
