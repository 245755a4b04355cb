"""The file that becomes an image, while its bytes come in.

Bytes come in order and are hashed on the way.  Beside ``NAME.part`` lies
``NAME.part.json``, which says what image the bytes are of: the next run goes on only
with the beginning of the same bytes, and hashes that beginning again.

Source: contract compute-fetch C-5, C-7, C-11.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from imagereg.errors import FetchFailed, FetchNoSpace, FetchNotIntact
from imagereg.fetch import space
from imagereg.fetch.digest import RunningDigest
from imagereg.fetch.facts import Expected
from imagereg.fetch.reporting import Reporter

BLOCK_BYTES = 1024 * 1024

#: How much the file system is handed at a time.  It wants one piece of memory for
#: each, and large pieces are seldom at hand: where a hypervisor lends memory page by
#: page, a MiB at a time took twice the processor time of all else together.
WRITE_BYTES = 16 * 1024

#: How much has to be there before the disk begins with it.  It works while bytes still
#: come, so that little is left to wait for in the end.
EARLY_BYTES = 8 * BLOCK_BYTES

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_ZEROS = bytes(BLOCK_BYTES)


@contextmanager
def disk_failures() -> Iterator[None]:
    """Raise what the file system refuses as a failure of the fetch.

    Raises:
        FetchNoSpace: there is no room.
        FetchFailed: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise FetchNoSpace("there is no room on this node") from error
        reason = error.strerror or str(error)
        raise FetchFailed(f"the file system of this node refuses: {reason}") from error


def part_of(path: Path) -> Path:
    """Return where the bytes for ``path`` come in."""
    return path.with_name(path.name + ".part")


def notes_of(path: Path) -> Path:
    """Return where is written what the bytes beside it are."""
    return path.with_name(path.name + ".json")


class Part:
    """An open ``.part`` file.

    Args:
        path: of the file itself.
        identity: what its bytes are of.
        algorithm: the digest that is worked out on the way, or None.
        resume: whether to go on with what an earlier run left.

    Attributes:
        position: how many bytes are there, all of them hashed.
        inherited: how many of them an earlier run left.
    """

    def __init__(
        self,
        path: Path,
        identity: dict[str, Any],
        algorithm: str | None,
        *,
        resume: bool = True,
    ) -> None:
        self.path = path
        self.position = self.inherited = 0
        self._identity = identity
        self._algorithm = algorithm
        self._digest = RunningDigest(algorithm)
        self._reserved, self._hole = False, 0
        self._begun = 0
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.close(self._fd)
            raise OSError(errno.EINVAL, "the place is taken by something else")
        if not resume or read_notes(notes_of(path)) != identity:
            self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._digest.close()
        os.close(self._fd)

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._fd

    def inherit(self, size: int | None, report: Reporter) -> None:
        """Hash what an earlier run left, or drop it if it is too long."""
        left = os.fstat(self._fd).st_size
        if size is not None and left > size:
            self.restart()
            return
        while self.position < left:
            block = os.pread(self._fd, BLOCK_BYTES, self.position)
            if not block:
                break
            self._digest.update(block)
            self.position += len(block)
            report.check()
        self.inherited = self.position

    def restart(self) -> None:
        """Begin with nothing."""
        self._digest.close()
        self._digest = RunningDigest(self._algorithm)
        self.position = self.inherited = 0
        self._reserved, self._hole = False, 0
        self._begun = 0
        # First no bytes, then the note: never a note above bytes of another image.
        os.ftruncate(self._fd, 0)
        write_notes(notes_of(self.path), self._identity)

    def reserve(self, size: int) -> None:
        """Take the room for what is missing of ``size`` bytes.

        Raises:
            OSError: there is not enough.
        """
        self._reserved = space.reserve(self._fd, self.position, size - self.position)

    def write(self, block: bytes) -> None:
        """Append ``block``, which nobody may change afterwards; zeros are a hole."""
        if _ZEROS.startswith(block):
            self.skip(len(block))
            return
        self._digest.update(block)
        view = memoryview(block)
        while view:
            count = os.pwrite(self._fd, view[:WRITE_BYTES], self.position)
            self.position += count
            view = view[count:]
        self._release(self.position - len(block))
        if self.position - self._begun >= EARLY_BYTES:
            space.start_writing(self._fd, self._begun, self.position - self._begun)
            self._begun = self.position

    def skip(self, count: int) -> None:
        """Append a hole."""
        self._digest.update_zeros(count)
        self.position += count
        self._hole += count

    def _release(self, end: int) -> None:
        """Give back the room of the hole that ends at ``end``.

        That works only before the end of the file, so after something was written.
        """
        if self._reserved:
            space.release(self._fd, end - self._hole, self._hole)
        self._hole = 0

    def fill(self, size: int) -> None:
        """Take bytes that came in otherwise as the first ``size`` ones, unhashed."""
        self._release(self.position)
        self.position = size

    def hash_all(self, report: Reporter) -> None:
        """Hash bytes that came in otherwise."""
        if self._algorithm is None:
            return
        size, self.position = self.position, 0
        while self.position < size:
            block = os.pread(self._fd, BLOCK_BYTES, self.position)
            if not block:
                break
            self._digest.update(block)
            self.position += len(block)
            report.check()

    def complete(self, expected: Expected) -> None:
        """Make the bytes durable, if they are the right ones.

        Raises:
            FetchNotIntact: they are not.
        """
        os.ftruncate(self._fd, self.position)
        self._release(self.position)
        digest = self._digest.finish()
        if expected.size is not None and self.position != expected.size:
            raise FetchNotIntact(
                f"the data have {self.position} bytes, not {expected.size}"
            )
        if expected.algorithm is not None and digest != expected.value:
            raise FetchNotIntact(f"the data have another {expected.algorithm}")
        os.fsync(self._fd)


def discard(path: Path) -> None:
    """Remove a part and its note."""
    for each in (path, notes_of(path)):
        each.unlink(missing_ok=True)


def publish(source: Path, target: Path) -> None:
    """Give a durable file its name, all at once; what had the name is replaced."""
    source.replace(target)
    notes_of(part_of(target)).unlink(missing_ok=True)
    sync_folder(target.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_notes(path: Path) -> dict[str, Any] | None:
    """Return what a side file says, or None where there is none to believe."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None


def write_notes(path: Path, notes: dict[str, Any]) -> None:
    """Write a side file, all at once."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(orjson.dumps(notes, option=orjson.OPT_INDENT_2))
    fresh.replace(path)
