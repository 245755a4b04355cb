"""Run ``qemu-img`` on files that may be hostile.

Three walls stand around each run: `stores.formats` has looked at the same bytes
before, the kernel limits processor time, address space and the size of what is
written, and, where this process is root, the program runs as ``nobody`` in a
directory that holds nothing but its input and its output.  Formats are always said,
never guessed, but for the one question whether qemu would guess the same.

Source: contract compute-fetch 5; SECURITY on qemu-img and hostile images.
"""

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from imagereg.errors import StoreFull, StoreUnavailable, UnsafeContent

MiB = 1024 * 1024
GiB = 1024 * MiB

#: Names inside the private directory: no path of ours ever reaches qemu's parser.
_SOURCE, _TARGET = "source", "target"

#: What ``qemu-img`` calls formats that the Image API names otherwise.
_DRIVERS: Mapping[str, str] = {
    "vhd": "vpc",
    "ploop": "parallels",
    **dict.fromkeys(("iso", "gpt", "ami", "ari", "aki"), "raw"),
}

#: Answers longer than this are no description of an image.
_MAX_ANSWER_BYTES = 4 * MiB

#: How often somebody may say that the work is no longer wanted, in seconds.
_LOOK_S = 1.0

_PROGRAMS = ("qemu-img", "prlimit")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one run may use up.

    Attributes:
        cpu_s: seconds of processor time.
        wall_s: seconds in all.
        memory_bytes: address space.
        output_bytes: length of any file it writes.
    """

    cpu_s: int = 30
    wall_s: float = 60.0
    memory_bytes: int = 2 * GiB
    output_bytes: int = _MAX_ANSWER_BYTES


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """What qemu sees in a file.

    Attributes:
        format: one of qemu's own format names.
        virtual_size: bytes of the disk inside.
        create_type: the variant of a VMDK.
    """

    format: str
    virtual_size: int
    create_type: str | None = None


def missing_programs() -> tuple[str, ...]:
    """Return the programs that this module needs and the machine has not."""
    return tuple(name for name in _PROGRAMS if shutil.which(name) is None)


def examine(source: Path, disk_format: str, vmdk_types: Sequence[str] = ()) -> DiskInfo:
    """Return what qemu sees in ``source``, if that is what it is said to be.

    Args:
        source: a file whose format `stores.formats` has found acceptable.
        disk_format: the Image API's name of that format.
        vmdk_types: the variants of VMDK that are accepted.

    Raises:
        UnsafeContent: another format, or a disk that refers to other files.
        StoreUnavailable: the program cannot be run.
    """
    expected = driver_of(disk_format)
    with _private(source) as room, _answer_file() as answer:
        command = ("info", "--force-share", "--output=json", _SOURCE)
        _run(command, room, Bounds(), answer)
        answer.seek(0)
        info = _parse(answer.read())
    if info.format != expected:
        message = f"the content is {info.format}, not {disk_format}"
        raise UnsafeContent(message)
    if info.format == "vmdk" and info.create_type not in vmdk_types:
        raise UnsafeContent(f"VMDK of type {info.create_type} is not accepted")
    return info


def convert(
    source: Path,
    source_format: str,
    target: Path,
    target_format: str,
    vmdk_types: Sequence[str] = (),
    look: Callable[[], None] = lambda: None,
) -> DiskInfo:
    """Write the disk inside ``source`` to ``target``, which appears when complete.

    Both must lie in one file system.  The result is durable.  Returns what the
    source was.  ``look`` is called now and then; what it raises stops the work.

    Raises:
        UnsafeContent: the content is not what it is said to be, or cannot be
            converted within its bounds.
        StoreFull: there is no room for the result.
        StoreUnavailable: the program cannot be run.
    """
    disk = examine(source, source_format, vmdk_types)
    output = driver_of(target_format)
    with _private(source) as room, _answer_file() as answer:
        command = ("convert", "-f", disk.format, "-O", output, _SOURCE, _TARGET)
        _run(command, room, _bounds_for(disk.virtual_size), answer, look)
        result = room / _TARGET
        with result.open("rb") as file:
            os.fsync(file.fileno())
        os.chown(result, os.geteuid(), os.getegid())
        result.replace(target)
    return disk


def driver_of(disk_format: str) -> str:
    """Return qemu's name of one of the Image API's disk formats."""
    return _DRIVERS.get(disk_format, disk_format)


def _bounds_for(virtual_size: int) -> Bounds:
    """Return what converting a disk of this size may take at most.

    The slowest machine worth the name converts 10 MiB a second; what a sparse or
    compressed format adds to the length of its content stays far below a tenth.
    """
    seconds = 60 + virtual_size // (10 * MiB)
    return Bounds(
        cpu_s=seconds,
        wall_s=4.0 * seconds,
        output_bytes=virtual_size + virtual_size // 8 + 16 * MiB,
    )


@contextmanager
def _private(source: Path) -> Iterator[Path]:
    """Yield a directory that holds ``source`` alone, for whoever runs qemu-img."""
    room = Path(tempfile.mkdtemp(prefix=".qemu-", dir=source.parent))
    try:
        (room / _SOURCE).hardlink_to(source)
        if os.geteuid() != 0:
            yield room
            return
        before = source.stat()
        nobody = pwd.getpwnam("nobody")
        os.chown(room, nobody.pw_uid, nobody.pw_gid)
        os.chown(source, nobody.pw_uid, nobody.pw_gid)
        try:
            yield room
        finally:
            os.chown(source, before.st_uid, before.st_gid)
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _answer_file() -> IO[bytes]:
    return tempfile.TemporaryFile()


def _path(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise StoreUnavailable(f"this machine has no {program}")
    return found


def _run(
    arguments: Sequence[str],
    room: Path,
    bounds: Bounds,
    answer: IO[bytes],
    look: Callable[[], None] = lambda: None,
) -> None:
    limits = (
        f"--cpu={bounds.cpu_s}",
        f"--as={bounds.memory_bytes}",
        f"--fsize={max(bounds.output_bytes, _MAX_ANSWER_BYTES)}",
        "--core=0",
    )
    is_root = os.geteuid() == 0
    with tempfile.TemporaryFile() as complaint:
        try:
            process = subprocess.Popen(  # noqa: S603 - no word of it is a client's
                (_path("prlimit"), *limits, "--", _path("qemu-img"), *arguments),
                stdin=subprocess.DEVNULL,
                stdout=answer,
                stderr=complaint,
                # Set before the account changes, so that no parent of the
                # directory has to be open to it.
                cwd=room,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
                start_new_session=True,
                umask=0o077,
                user="nobody" if is_root else None,
                group=pwd.getpwnam("nobody").pw_gid if is_root else None,
                extra_groups=[] if is_root else None,
            )
        except OSError as error:
            message = "qemu-img cannot be run on this machine"
            raise StoreUnavailable(message) from error
        code = _outcome(process, bounds.wall_s, look)
        complaint.seek(0)
        _check(code, complaint.read(_MAX_ANSWER_BYTES))


def _outcome(
    process: "subprocess.Popen[bytes]", wall_s: float, look: Callable[[], None]
) -> int:
    """Wait for a program's exit code; whatever else ends the wait ends the program."""
    end = time.monotonic() + wall_s
    try:
        while (left := end - time.monotonic()) > 0:
            try:
                return process.wait(min(left, _LOOK_S))
            except subprocess.TimeoutExpired:
                look()
        message = "the content takes too long to read"
        raise UnsafeContent(message)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _check(code: int, complaint: bytes) -> None:
    """Raise what an exit code and a text stand for; the text itself names paths."""
    if code == 0:
        return
    if b"No space left" in complaint:
        raise StoreFull("there is no room to convert the data")
    if code < 0 or b"Cannot allocate memory" in complaint or b"too large" in complaint:
        message = "the content takes more time, memory or room than it may"
        raise UnsafeContent(message)
    if b"prlimit" in complaint:
        raise StoreUnavailable("qemu-img cannot be run on this machine")
    raise UnsafeContent("qemu-img cannot read the content")


def _parse(answer: bytes) -> DiskInfo:
    """Return what qemu-img said, if the disk needs no other file.

    Raises:
        UnsafeContent: it has a backing file, a data file, or other extents.
    """
    info = json.loads(answer)
    details = (info.get("format-specific") or {}).get("data") or {}
    if info.get("backing-filename") or info.get("full-backing-filename"):
        raise UnsafeContent("the disk has a backing file")
    if details.get("data-file"):
        raise UnsafeContent("the disk has an external data file")
    names = {extent.get("filename") for extent in details.get("extents") or ()}
    if names - {_SOURCE}:
        raise UnsafeContent("the disk has external extents")
    return DiskInfo(
        str(info["format"]), int(info["virtual-size"]), details.get("create-type")
    )
