"""Read an image from a file system that this node shares with the store.

Nothing here believes a location: it comes from whoever may change an image.  A path
is taken apart on its slashes, walked from the mountpoint without following a single
symbolic link, and what lies at its end has to be an ordinary file of the image's
size.

Source: contract compute-fetch 3.2, C-2, C-3.
"""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from imagereg.fetch.config import FileSystem
from imagereg.fetch.part import BLOCK_BYTES, Part
from imagereg.fetch.reporting import Reporter

#: "Share the blocks of that file", which only some file systems can.
FICLONE = 0x40049409

#: What is the fault of the target, whoever copies.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


#: What is mounted where; blanks and the like in paths are written in octal.
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


class NotHere(Exception):
    """A location cannot be read on this node; the message says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an image lies on this node.

    Attributes:
        mountpoint: the root that is never left.
        parts: the names below it.
    """

    mountpoint: Path
    parts: tuple[str, ...]


def translate(
    url: str,
    metadata: Mapping[str, Any],
    filesystems: Sequence[FileSystem],
    schemes: Sequence[str],
) -> tuple[Place, ...]:
    """Return where the file behind ``url`` may lie here, longest mountpoint first.

    Raises:
        NotHere: it does not lie in a file system that this node has.
    """
    path = _path_of(url, schemes)
    fs_id, root = metadata.get("id"), metadata.get("mountpoint")
    if not isinstance(fs_id, str) or not isinstance(root, str):
        raise NotHere("the location has no id and mountpoint")
    parts = _below(path, root)
    known = [each for each in filesystems if each.id == fs_id and each.mountpoint]
    if not known:
        raise NotHere(f"no file system `{fs_id}` is configured here")
    places = [Place(each.mountpoint, parts) for each in known if each.mountpoint]
    return tuple(
        sorted(places, key=lambda place: len(place.mountpoint.parts), reverse=True)
    )


def as_is(url: str, schemes: Sequence[str]) -> Place:
    """Return where ``url`` says, for a node that has the tree of the store.

    Raises:
        NotHere: it leads nowhere.
    """
    return Place(Path("/"), _below(_path_of(url, schemes), "/"))


def _path_of(url: str, schemes: Sequence[str]) -> str:
    scheme, mark, path = url.partition("://")
    if not mark or scheme not in schemes:
        raise NotHere("the location is of another scheme")
    return path


def _below(path: str, root: str) -> tuple[str, ...]:
    """Return the names that lead from ``root`` to ``path``, on path boundaries."""
    if not path.startswith("/") or not root.startswith("/") or "\0" in path + root:
        raise NotHere("the location has no absolute path")
    names, above = PurePosixPath(path).parts, PurePosixPath(root).parts
    if ".." in names or ".." in above:
        raise NotHere("the location leads through `..`")
    rest = names[len(above) :]
    if names[: len(above)] != above or not rest:
        raise NotHere("the location is not below its mountpoint")
    return rest


@contextmanager
def opened(place: Place, size: int | None) -> Iterator[int]:
    """Yield the file at ``place``, open for reading.

    Raises:
        NotHere: there is none, a link leads to it, or it has another size.
    """
    descriptor = _walk(place)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotHere("it is no ordinary file")
        if size is None or found.st_size != size:
            raise NotHere(f"the file has {found.st_size} bytes, not {size}")
        yield descriptor
    finally:
        os.close(descriptor)


def _walk(place: Place) -> int:
    """Open the file name by name, so that nothing can be swapped under the walk."""
    folder_flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    # A pipe would wait for a writer, a terminal would become ours.
    file_flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
    try:
        folder = os.open(place.mountpoint, folder_flags)
    except OSError as error:
        raise NotHere(f"the mountpoint cannot be opened: {error.strerror}") from error
    try:
        for name in place.parts[:-1]:
            inner = os.open(name, folder_flags | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(place.parts[-1], file_flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise NotHere("a symbolic link or a file stands in the way") from error
        raise NotHere(f"the file cannot be opened: {error.strerror}") from error
    finally:
        os.close(folder)


def check_mounted(filesystem: FileSystem) -> bool:
    """Return whether a file system is there, as far as the operator wants to know."""
    if not filesystem.readonly_check:
        return True
    if filesystem.mountpoint is None:
        return False
    # A folder of the same file system that is bound there shows in the table alone.
    return (
        filesystem.mountpoint.is_mount()
        or os.path.realpath(filesystem.mountpoint) in _mounted()
    )


def _mounted() -> frozenset[str]:
    """Return the paths where something is mounted, by the kernel's own table."""
    try:
        table = _MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return frozenset()
    return frozenset(
        _ESCAPED.sub(lambda found: chr(int(found[1], 8)), line.split(" ")[4])
        for line in table.splitlines()
    )


def copy(source: int, part: Part, size: int, report: Reporter, *, hashed: bool) -> None:
    """Copy ``source`` into ``part``, which is empty: holes stay holes.

    The very bytes that are written are hashed; where nothing is hashed, the kernel
    copies alone.  Where the source has no holes, the room is taken before.
    """
    if os.fstat(source).st_blocks * 512 >= size:
        part.reserve(size)
    move = _carry if hashed else _kernel_copy
    for first, last in _extents(source, size):
        part.skip(first - part.position)
        move(source, part, last, report)
    part.skip(size - part.position)
    report.moved(part.position)


def share(source: int, part: Part) -> bool:
    """Have ``part`` share all blocks of ``source``; return whether that can be."""
    try:
        fcntl.ioctl(part.fileno(), FICLONE, source)
    except OSError:
        # Every reason is a reason to copy: another file system, an old kernel, NFS.
        return False
    return True


def _extents(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where data begin and end; file systems without holes have one extent."""
    position = 0
    while position < size:
        try:
            first = os.lseek(source, position, os.SEEK_DATA)
            last = os.lseek(source, first, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            first, last = position, size
        yield first, min(last, size)
        position = last


def _carry(source: int, part: Part, last: int, report: Reporter) -> None:
    while part.position < last:
        wanted = min(BLOCK_BYTES, last - part.position)
        try:
            block = os.pread(source, wanted, part.position)
        except OSError as error:
            raise NotHere(f"the file cannot be read: {error.strerror}") from error
        if not block:
            raise NotHere("the file has become shorter")
        part.write(block)
        report.moved(part.position)


def _kernel_copy(source: int, part: Part, last: int, report: Reporter) -> None:
    while part.position < last:
        start, wanted = part.position, min(64 * BLOCK_BYTES, last - part.position)
        try:
            count = os.copy_file_range(source, part.fileno(), wanted, start, start)
        except OSError as error:
            if error.errno in _FULL:
                raise
            # Between these file systems the kernel cannot, or the source is broken.
            _carry(source, part, last, report)
            return
        if not count:
            raise NotHere("the file has become shorter")
        part.fill(start + count)
        report.moved(part.position)
