"""What a fetched file turns out to be, before any other program opens it.

Source: contract compute-fetch 5.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagereg.errors import (
    FetchFailed,
    FetchNoSpace,
    FetchNotIntact,
    FetchUnsafe,
    Invalid,
    StoreFull,
    StoreUnavailable,
    UnsafeContent,
)
from imagereg.fetch.facts import Facts
from imagereg.fetch.part import BLOCK_BYTES
from imagereg.fetch.reporting import Reporter
from imagereg.stores import qemu, signatures
from imagereg.stores.formats import HEAD_BYTES, FormatRules, Inspector
from imagereg.stores.signatures import Signatures

RULES = FormatRules()

_log = logging.getLogger(__name__)

#: Formats that no machine's disk has, so that nobody converts them.
_NO_DISKS = frozenset({"aki", "ari", "ami"})

#: Containers whose content is the disk itself; the one of OVF never is a package,
#: which has several files.
_OF_DISKS = frozenset({"bare", "ovf"})


def inspect(path: Path, facts: Facts) -> None:
    """Look at the bytes, without any other program.

    Raises:
        FetchUnsafe: they are not what ``disk_format`` says, or not safe.
    """
    claim, head_only = facts.disk_format, False
    if claim == "raw" or not _is_disk(facts):
        # A raw disk may be anything that no program takes for a format, or have a
        # partition table: that is what is asked of a kernel, too.  What is wrapped
        # must not be a disk after all, which somebody would open unseen.
        claim, head_only = "aki", True
    inspector = Inspector("bare", claim, RULES)
    with _failures(), path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            inspector.feed(block)
            if inspector.is_settled or (head_only and file.tell() >= HEAD_BYTES):
                break
        inspector.finish()


def examine(path: Path, facts: Facts) -> None:
    """Have qemu look at the bytes, where this node has it.

    Raises:
        FetchUnsafe: it sees another format, or a disk that needs other files.
    """
    if not _is_disk(facts) or qemu.missing_programs():
        return
    with _failures():
        qemu.examine(path, str(facts.disk_format), RULES.vmdk_allowed_types)


def is_signed(
    path: Path, facts: Facts, mode: str, folder: Path | None, report: Reporter
) -> bool:
    """Return whether the bytes are what a trusted certificate signed.

    Args:
        path: of the bytes.
        facts: whose properties hold the signature.
        mode: ``require``, ``if-present`` or ``off``.
        folder: the certificates that are trusted; without any, only ``require``
            looks at signatures.
        report: may be cancelled meanwhile.

    Raises:
        FetchNotIntact: they are not, or that cannot be told.
    """
    has_all = all(facts.properties.get(name) for name in signatures.PROPERTIES)
    if mode == "require" and not has_all:
        raise FetchNotIntact(f"image {facts.id} is not signed")
    if mode == "off" or not has_all:
        return False
    if mode == "if-present" and folder is None:
        _log.warning("image %s is signed, and no certificate is trusted", facts.id)
        return False
    try:
        verifier = Signatures(folder).verifier(facts.properties)
        if verifier is None:
            return False
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                verifier.feed(block)
                report.check()
        verifier.finish()
    except Invalid as error:
        raise FetchNotIntact(error.message) from error
    return True


def needs_conversion(facts: Facts, wanted: str) -> bool:
    """Return whether the bytes are not in format ``wanted``, a disk format or keep.

    Raises:
        FetchUnsafe: there is no disk that could have that format.
    """
    if wanted == "keep" or facts.disk_format in _NO_DISKS:
        return False
    if not _is_disk(facts):
        raise FetchUnsafe(f"image {facts.id} is no disk, and cannot become {wanted}")
    return qemu.driver_of(str(facts.disk_format)) != qemu.driver_of(wanted)


def convert(
    source: Path, facts: Facts, target: Path, wanted: str, report: Reporter
) -> None:
    """Write the disk inside ``source`` to ``target``, durably.

    Raises:
        FetchUnsafe: it cannot be converted, or not within bounds.
        FetchNoSpace: there is no room.
    """
    with _failures():
        qemu.convert(
            source,
            str(facts.disk_format),
            target,
            wanted,
            RULES.vmdk_allowed_types,
            report.check,
        )
        target.chmod(source.stat().st_mode & 0o777)
        qemu.examine(target, wanted)


def missing_programs() -> tuple[str, ...]:
    """Return what has to be installed before anything can be converted."""
    return qemu.missing_programs()


def _is_disk(facts: Facts) -> bool:
    is_known = facts.disk_format is not None and facts.disk_format not in _NO_DISKS
    return is_known and facts.container_format in _OF_DISKS


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except UnsafeContent as error:
        raise FetchUnsafe(error.message) from error
    except StoreFull as error:
        raise FetchNoSpace(error.message) from error
    except StoreUnavailable as error:
        raise FetchFailed(error.message) from error
