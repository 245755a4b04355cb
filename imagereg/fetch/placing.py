"""From the cache of this node to a path: a second name, shared blocks, or a copy.

Source: contract compute-fetch 9.1 (``--hardlink``, ``--reflink``, ``--copy``).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagereg.errors import Invalid
from imagereg.fetch import direct
from imagereg.fetch.entries import Notes
from imagereg.fetch.facts import Expected
from imagereg.fetch.part import Part, discard, part_of, publish, sync_folder
from imagereg.fetch.reporting import Reporter

HARDLINK, REFLINK, COPY = WAYS = ("hardlink", "reflink", "copy")

#: Why a file cannot have a second name there.
_APART = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP})


class _Apart(Exception):
    """The file system shares no blocks between these files."""


def place(source: Path, notes: Notes, target: Path, way: str, report: Reporter) -> None:
    """Give ``target`` what ``source`` in the cache has; the caller holds both locks.

    Args:
        source: a file of the cache.
        notes: what it should be.
        target: what had that name is replaced all at once.
        way: ``hardlink``: one file with two names, which nobody may write to;
            ``reflink``: a file of its own that shares blocks, or is a copy where the
            file system cannot; ``copy``: a file that shares nothing.
        report: of the caller.

    Raises:
        FetchNotIntact: the bytes that were copied are not those of the notes.
        Invalid: a hard link cannot lead there.
    """
    if way == HARDLINK:
        _link(source, target)
    elif way != REFLINK or not _share(source, notes, target):
        _copy(source, notes, target, report)


def _link(source: Path, target: Path) -> None:
    fresh = target.with_name(target.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        fresh.hardlink_to(source)
    except OSError as error:
        if error.errno not in _APART:
            raise
        message = "no hard link leads from the cache there: use --reflink or --copy"
        raise Invalid(message) from error
    fresh.replace(target)
    # Nothing happens to two names of one file when they are exchanged.
    fresh.unlink(missing_ok=True)
    sync_folder(target.parent)


def _share(source: Path, notes: Notes, target: Path) -> bool:
    """Share blocks, in no time; they are as good as the cache's own."""
    try:
        with source.open("rb") as file, _fresh(target, None) as part:
            _share_all(file.fileno(), part)
            part.complete(Expected(notes.kept_size))
    except _Apart:
        return False
    return True


def _share_all(source: int, part: Part) -> None:
    if not direct.share(source, part):
        raise _Apart
    part.fill(os.fstat(source).st_size)


def _copy(source: Path, notes: Notes, target: Path, report: Reporter) -> None:
    size, algorithm = notes.kept_size, notes.kept_algorithm
    with source.open("rb") as file, _fresh(target, algorithm) as part:
        direct.copy(file.fileno(), part, size, report, hashed=True)
        part.complete(Expected(size, algorithm, notes.kept_hash))


@contextmanager
def _fresh(target: Path, algorithm: str | None) -> Iterator[Part]:
    """Yield what becomes ``target`` in the end, unless something is raised."""
    path = part_of(target)
    try:
        with Part(path, {}, algorithm, resume=False) as part:
            yield part
    except BaseException:
        discard(path)
        raise
    # From here on the name of the part may be somebody else's.
    publish(path, target)
