"""The images that a node keeps: where they lie, and what is written about them.

An entry is a data file and a side file of JSON.  The side file says what the data
should be, so that a hit can be checked without asking the service.

Source: contract compute-fetch 4, C-4, C-9.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imagereg.errors import ConfigurationError
from imagereg.fetch.acquire import Acquired
from imagereg.fetch.config import CacheSection
from imagereg.fetch.digest import RunningDigest
from imagereg.fetch.part import BLOCK_BYTES, notes_of, read_notes, write_notes
from imagereg.fetch.reporting import Reporter

#: The digest of a file that was converted, when the image itself has none.
USUAL_ALGORITHM = "sha512"

#: Names at the top of the directory that only one of the layouts has.
_NATIVE_FOLDER = re.compile("[0-9a-f]{2}")
_COMPAT_NAME = re.compile("[0-9a-f]{40}")

#: What a file is named that was found to be damaged.
BAD_SUFFIX = ".bad"


@dataclass(frozen=True, slots=True)
class Notes:
    """What the side file says.

    Attributes:
        id, size, algorithm, hash, checksum, disk_format: of the image.
        asked_format: what it was to be converted to, or ``keep``.
        kept_format, kept_size, kept_algorithm, kept_hash: of the file that lies here,
            which may have been converted.
        fetched_at, verified_at: seconds since 1970.
        verified: the bytes were compared with a digest of the service.
        signed: their signature was checked.
        pinned: never removed by ageing.
    """

    id: str
    size: int | None
    algorithm: str | None
    hash: str | None
    checksum: str | None
    disk_format: str | None
    asked_format: str
    kept_format: str | None
    kept_size: int
    kept_algorithm: str | None
    kept_hash: str | None
    source: str
    fetched_at: float
    verified_at: float
    verified: bool
    signed: bool = False
    pinned: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one image lies."""

    path: Path
    lock: Path

    @property
    def bad(self) -> Path:
        """Where a damaged file is put aside."""
        return self.path.with_name(self.path.name + BAD_SUFFIX)

    def read(self) -> Notes | None:
        """Return what is written of a file that is there; None is no usable entry."""
        found = read_notes(notes_of(self.path))
        if found is None or not self.path.is_file() or self.path.is_symlink():
            return None
        try:
            return Notes(**found)
        except TypeError:
            return None  # Another program's, or of another version.

    def write(self, notes: Notes) -> None:
        """Write the side file."""
        write_notes(notes_of(self.path), asdict(notes))

    def touch(self) -> None:
        """Note that the image was asked for just now."""
        os.utime(self.path)

    def put_aside(self) -> None:
        """Take a damaged file out of use; the one before it is forgotten."""
        notes_of(self.path).unlink(missing_ok=True)
        self.path.replace(self.bad)

    def remove(self) -> None:
        """Remove data and side file, in that order: a side file alone is nothing."""
        self.path.unlink(missing_ok=True)
        notes_of(self.path).unlink(missing_ok=True)


class Layout:
    """Where images lie, by one of the two layouts.

    Attributes:
        root: the directory of the images.
        locks: the directory of their locks.
        converts_to: the disk format that everything is kept in, or ``keep``.

    Raises:
        ConfigurationError: the directory is not set.
    """

    def __init__(self, options: CacheSection) -> None:
        self.is_compat = options.layout == "compat"
        root = options.root
        if root is None:
            name = "instances_path" if self.is_compat else "cache_dir"
            fault = f"[image_cache] {name}: must be set for layout {options.layout}"
            raise ConfigurationError([fault])
        self.root = root
        self.locks = root / "locks"
        if self.is_compat and options.instances_path:
            self.locks = options.instances_path / "locks"
        self.converts_to = "raw" if self.is_compat else "keep"

    def entry(self, image_id: str) -> Entry:
        """Return where an image lies, or would."""
        if self.is_compat:
            name = sha1_name(image_id)
            return Entry(self.root / name, self.locks / f"nova-{name}")
        return Entry(
            self.root / image_id[:2] / image_id, self.locks / f"{image_id}.lock"
        )

    def prepare(self, entry: Entry) -> None:
        """Make the directories for an entry.

        Raises:
            ConfigurationError: the directory holds images of the other layout.
        """
        if self.root.is_dir() and any(map(self._is_foreign, self.root.iterdir())):
            other = "native" if self.is_compat else "compat"
            fault = f"[image_cache] layout: the directory has images of layout {other}"
            raise ConfigurationError([fault])
        for folder in (entry.path.parent, entry.lock.parent):
            folder.mkdir(parents=True, exist_ok=True)

    def _is_foreign(self, path: Path) -> bool:
        """Return whether only the other layout has such a name."""
        form = _NATIVE_FOLDER if self.is_compat else _COMPAT_NAME
        return form.fullmatch(path.name) is not None

    def files(self) -> Iterator[Path]:
        """Yield every file where images lie, by name."""
        pattern = "*" if self.is_compat else "??/*"
        for path in sorted(self.root.glob(pattern)):
            if path.is_file() and not path.is_symlink():
                yield path

    def lock_of(self, path: Path) -> Path:
        """Return the lock that stands for a file of any kind."""
        name = re.split(r"[._]", path.name)[0]
        kind = f"nova-{name}" if self.is_compat else f"{name}.lock"
        return self.locks / kind

    def entries(self) -> Iterator[tuple[Entry, Notes]]:
        """Yield all entries, by name."""
        pattern = "*.json" if self.is_compat else "??/*.json"
        for side in sorted(self.root.glob(pattern)):
            notes = Entry(side.with_suffix(""), side).read()
            if notes is not None:
                entry = self.entry(notes.id)
                if entry.path == side.with_suffix(""):
                    yield entry, notes


def sha1_name(image_id: str) -> str:
    """Return the name that compute services give an image's file."""
    return hashlib.sha1(image_id.encode(), usedforsecurity=False).hexdigest()


def describe(acquired: Acquired, path: Path, asked: str, report: Reporter) -> Notes:
    """Return the notes on an image that has just come, to be of format ``asked``."""
    facts, expected, now = acquired.facts, acquired.expected, time.time()
    algorithm, value = expected.algorithm, expected.value
    if acquired.is_converted:
        algorithm = facts.os_hash_algo or USUAL_ALGORITHM
        value = digest_of(path, algorithm, report)
    return Notes(
        **facts.identity(),
        disk_format=facts.disk_format,
        asked_format=asked,
        kept_format=acquired.kept_format,
        kept_size=path.stat().st_size,
        kept_algorithm=algorithm,
        kept_hash=value,
        source=acquired.source,
        fetched_at=now,
        verified_at=now,
        verified=expected.value is not None,
        signed=acquired.signed,
        properties=dict(facts.properties),
    )


def digest_of(path: Path, algorithm: str, report: Reporter) -> str | None:
    """Return the digest of a file."""
    digest = RunningDigest(algorithm)
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
                report.check()
        return digest.finish()
    finally:
        digest.close()


def is_intact(path: Path, notes: Notes, report: Reporter, *, read: bool) -> bool:
    """Return whether a file is still what its notes say; ``read`` hashes it, too."""
    if path.stat().st_size != notes.kept_size:
        return False
    if not read or notes.kept_algorithm is None:
        return True
    return digest_of(path, notes.kept_algorithm, report) == notes.kept_hash
