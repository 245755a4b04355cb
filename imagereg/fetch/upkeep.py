"""Looking after the images that a node keeps: what is there, is it right, what goes.

An image is used while somebody holds its lock, another name leads to its file, or a
machine's disk names it as its backing file.

Source: contract compute-fetch 4, C-4, C-10.
"""

import os
import re
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from imagereg.errors import FetchNotFound, FetchNotIntact, FetchRefused
from imagereg.fetch.config import CacheSection
from imagereg.fetch.entries import Entry, Layout, Notes, is_intact
from imagereg.fetch.facts import check_image_id
from imagereg.fetch.lock import held, try_lock
from imagereg.fetch.marks import Marks
from imagereg.fetch.part import disk_failures, notes_of
from imagereg.fetch.reporting import Reporter

_ORIGINAL = re.compile(r"[0-9a-f]{40}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RESIZED = re.compile(r"[0-9a-f]{40}_.+")

#: The beginning of a QCOW2: magic, version, where the backing file's name is, its size.
_QCOW2_HEAD = struct.Struct(">4sIQI")
_LONGEST_NAME = 1023


@dataclass(frozen=True, slots=True)
class Removal:
    """A file that goes, or would."""

    path: Path
    why: str
    size: int


class Upkeep:
    """The cache of a node, for its operator.

    Raises:
        ConfigurationError: the directory is not set.
    """

    def __init__(self, options: CacheSection) -> None:
        self._options = options
        self.layout = Layout(options)

    def entries(self) -> list[tuple[Entry, Notes]]:
        """Return all images."""
        return list(self.layout.entries())

    def show(self, image_id: str) -> tuple[Entry, Notes]:
        """Return one image.

        Raises:
            FetchNotFound: it is not here.
        """
        entry = self.layout.entry(check_image_id(image_id))
        notes = entry.read()
        if notes is None:
            raise FetchNotFound(f"image {image_id} is not in the cache")
        return entry, notes

    def pin(self, image_id: str, *, pinned: bool) -> None:
        """Keep an image for ever, or no longer."""
        with self._held(image_id) as (entry, notes):
            entry.write(replace(notes, pinned=pinned))

    def remove(self, image_id: str, *, dry_run: bool = False) -> None:
        """Remove an image, or with ``dry_run`` only say if that can be.

        Raises:
            FetchRefused: it is pinned, or used by a machine.
        """
        with self._held(image_id) as (entry, notes):
            if notes.pinned:
                raise FetchRefused(f"image {image_id} is pinned")
            if self._is_used(entry.path, self._backing_names()):
                raise FetchRefused(f"image {image_id} is used by a machine")
            if not dry_run:
                entry.remove()
                entry.lock.unlink(missing_ok=True)

    def verify(self, image_id: str) -> None:
        """Read an image and compare it; a damaged one is put aside.

        Raises:
            FetchNotIntact: it was damaged.
        """
        with self._held(image_id) as (entry, notes):
            if not is_intact(entry.path, notes, Reporter(notes.id), read=True):
                entry.put_aside()
                raise FetchNotIntact(f"image {image_id} was damaged, and is put aside")
            entry.write(replace(notes, verified_at=time.time()))

    @contextmanager
    def _held(self, image_id: str) -> Iterator[tuple[Entry, Notes]]:
        entry, _ = self.show(image_id)
        with (
            disk_failures(),
            held(entry.lock, self._options.lock_timeout, Reporter(image_id)),
        ):
            yield self.show(image_id)

    # Ageing

    def collect(
        self,
        *,
        dry_run: bool = False,
        is_gone: Callable[[str], bool] | None = None,
    ) -> list[Removal]:
        """Remove what is not used for too long, then what is too much.

        Args:
            dry_run: remove nothing.
            is_gone: whether the service has an image no more; None asks nobody.
        """
        backing = self._backing_names()
        removed: list[Removal] = []
        with disk_failures():
            for path in list(self.layout.files()):
                if not path.exists():
                    continue  # It went with another one.
                size = path.stat().st_blocks * 512
                why = self._why_old(path, is_gone)
                if why and self._drop(path, backing, dry_run=dry_run):
                    removed.append(Removal(path, why, size))
            removed += self._shrink(backing, removed, dry_run=dry_run)
            if not dry_run and self._options.remove_unused_base_images:
                least = self._options.remove_unused_original_minimum_age_seconds
                Marks(self._options.root, self._options.verify_on_hit).forget(least)
        return removed

    def _why_old(self, path: Path, is_gone: Callable[[str], bool] | None) -> str | None:
        """Return why a file may go, if nobody uses it."""
        options = self._options
        least = options.remove_unused_original_minimum_age_seconds
        if _RESIZED.fullmatch(path.name):
            least = options.remove_unused_resized_minimum_age_seconds
        elif not _ORIGINAL.fullmatch(path.name):
            if path.suffix == ".json" and path.with_suffix("").exists():
                return None  # It goes with what it describes.
            return "left over" if self._age(path) > least else None
        notes = Entry(path, path).read()
        if notes is not None and is_gone is not None and is_gone(notes.id):
            return "gone from the service"
        if options.remove_unused_base_images and self._age(path) > least:
            return "unused"
        return None

    def _shrink(
        self, backing: str, removed: list[Removal], *, dry_run: bool
    ) -> list[Removal]:
        """Remove the least recently used until the rest fits."""
        gone = {each.path for each in removed}
        kept = [
            path
            for path in self.layout.files()
            if path not in gone and _ORIGINAL.fullmatch(path.name)
        ]
        kept.sort(key=lambda path: path.stat().st_mtime)
        excess = self._excess(kept, removed if dry_run else [])
        more: list[Removal] = []
        for path in kept:
            if excess <= 0:
                break
            size = path.stat().st_blocks * 512
            if self._drop(path, backing, dry_run=dry_run):
                more.append(Removal(path, "too much", size))
                excess -= size
        return more

    def _excess(self, kept: list[Path], freed: list[Removal]) -> int:
        """Return how many bytes have to go."""
        options, excess = self._options, 0
        if options.max_size:
            total = sum(path.stat().st_blocks * 512 for path in kept)
            excess = total - options.max_size
        if options.min_free and self.layout.root.exists():
            free = shutil.disk_usage(self.layout.root).free
            free += sum(each.size for each in freed)
            excess = max(excess, options.min_free - free)
        return excess

    def _drop(self, path: Path, backing: str, *, dry_run: bool) -> bool:
        """Remove a file and its side file, unless it is used; return whether."""
        lock = self.layout.lock_of(path)
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = try_lock(lock)
        if descriptor is None:
            return False
        try:
            if not path.exists():
                return False
            if self._is_used(path, backing):
                os.utime(path)
                return False
            notes = Entry(path, lock).read()
            if notes is not None and notes.pinned:
                return False
            if not dry_run:
                path.unlink()
                notes_of(path).unlink(missing_ok=True)
                if _ORIGINAL.fullmatch(path.name):
                    lock.unlink(missing_ok=True)
            return True
        finally:
            os.close(descriptor)

    @staticmethod
    def _age(path: Path) -> float:
        return time.time() - path.stat().st_mtime

    @staticmethod
    def _is_used(path: Path, backing: str) -> bool:
        return path.stat().st_nlink > 1 or path.name in backing

    def _backing_names(self) -> str:
        """Return the names of all backing files of the node's machines, in lines.

        A name counts wherever it stands, since qemu has many ways to write one.
        """
        root = self._options.instances_path
        if root is None:
            return ""
        own = {self.layout.root, self.layout.locks}
        names: list[str] = []
        for folder, folders, files in os.walk(root):
            folders[:] = [name for name in folders if Path(folder, name) not in own]
            names += [_backing_name(Path(folder, name)) for name in files]
        return "\n".join(names)


def _backing_name(path: Path) -> str:
    """Return what a QCOW2 says is below it; other files have nothing below."""
    if path.is_symlink() or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(_QCOW2_HEAD.size)
            if len(head) < _QCOW2_HEAD.size or not head.startswith(b"QFI\xfb"):
                return ""
            _, _, offset, size = _QCOW2_HEAD.unpack(head)
            file.seek(min(offset, 1 << 30))
            return file.read(min(size, _LONGEST_NAME)).decode(errors="replace")
    except FileNotFoundError:
        return ""  # The machine went away meanwhile.
