"""Unpack compressed images, within limits.

What a file is packed with is read from its first bytes, never from a name.  Runs of
zeros become holes, so that an empty disk costs no room however long it is; what is
longer than a packed image may sensibly be is refused as a bomb.

Source: contract config 6 (image_decompression); SECURITY on parser bombs.
"""

import bz2
import errno
import lzma
import os
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Protocol

from imagereg.errors import StoreFull, TooLarge, UnsafeContent

MiB = 1024 * 1024

#: Read and written at a time.
_PIECE_BYTES = MiB

#: Zeros of this length become a hole.
_HOLE_BYTES = 64 * 1024

#: A dictionary of the strongest xz preset is 64 MiB; more is an attack on memory.
_XZ_MEMORY_BYTES = 128 * MiB

#: What is longer than a GiB may have been packed to a thousandth, no further.
_FREE_BYTES = 1024 * MiB
_MAX_RATIO = 1000

#: How often somebody may say that the work is no longer wanted, in seconds.
_LOOK_S = 1.0

_BROKEN = "the compressed data are damaged or cut short"


class _Decompressor(Protocol):
    """What bz2, lzma and zlib have in common."""

    def decompress(self, data: bytes, max_length: int) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...


def compression_of(head: bytes) -> str | None:
    """Return how data that begin with ``head`` are packed: gzip, xz..., or None."""
    for name, (offset, magic) in _MAGIC.items():
        if head[offset : offset + len(magic)] == magic:
            return name
    # The method of LHA stands between two hyphens after size and checksum.
    if head[2:5] in (b"-lh", b"-lz") and head[6:7] == b"-":
        return "lha"
    return None


def unpack(
    source: Path,
    target: Path,
    max_bytes: int,
    look: Callable[[], None] = lambda: None,
) -> str | None:
    """Write what is packed in ``source`` to ``target``; return how it was packed.

    Returns None, and writes nothing, if it is not packed.  The result is durable.

    Args:
        source: the file as it came in.
        target: where the result goes.
        max_bytes: the most that the result may have.
        look: called now and then; what it raises stops the work.

    Raises:
        UnsafeContent: damaged, of several files, or packed in an unsupported way.
        TooLarge: the result would be longer than it may.
        StoreFull: there is no room for it.
    """
    with source.open("rb") as packed:
        name = compression_of(packed.read(HEAD_BYTES))
        if name is None:
            return None
        if name not in _READERS:
            raise UnsafeContent(f"data packed with {name} are not supported")
        packed.seek(0)
        limit = max(_FREE_BYTES, source.stat().st_size * _MAX_RATIO)
        limit = min(max_bytes, limit)
        try:
            _write(target, _watched(_READERS[name](packed), look), limit)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return name


def _watched(pieces: Iterator[bytes], look: Callable[[], None]) -> Iterator[bytes]:
    looked = time.monotonic()
    for piece in pieces:
        yield piece
        if time.monotonic() - looked > _LOOK_S:
            look()
            looked = time.monotonic()


def _write(target: Path, pieces: Iterator[bytes], limit: int) -> None:
    zeros = bytes(_HOLE_BYTES)
    length = 0
    try:
        with target.open("wb") as file:
            for piece in pieces:
                length += len(piece)
                if length > limit:
                    raise TooLarge(f"the unpacked data exceed {limit} bytes")
                for start in range(0, len(piece), _HOLE_BYTES):
                    part = piece[start : start + _HOLE_BYTES]
                    if part == zeros:
                        file.seek(len(part), os.SEEK_CUR)
                    else:
                        file.write(part)
            file.truncate(length)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StoreFull("there is no room to unpack the data") from error
        raise


def _streamed(
    packed: IO[bytes], begin: Callable[[], _Decompressor], magic: bytes
) -> Iterator[bytes]:
    """Yield the content of one or more streams that follow each other."""
    decompressor = begin()
    data = packed.read(_PIECE_BYTES)
    while data or not decompressor.eof:
        if decompressor.eof:
            if not data.strip(b"\0"):
                data = packed.read(_PIECE_BYTES)  # Padding, as tapes leave it.
                continue
            data = data.lstrip(b"\0") + packed.read(len(magic))
            if not data.startswith(magic):
                raise UnsafeContent("other data follow the compressed data")
            decompressor = begin()
        elif not data:
            raise UnsafeContent(_BROKEN)
        try:
            yield from _drained(decompressor, data)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise UnsafeContent(_BROKEN) from error
        data = decompressor.unused_data if decompressor.eof else b""
        data = data or packed.read(_PIECE_BYTES)


def _drained(decompressor: _Decompressor, data: bytes) -> Iterator[bytes]:
    piece = decompressor.decompress(data, _PIECE_BYTES)
    while piece:
        yield piece
        if decompressor.eof:
            return
        piece = decompressor.decompress(b"", _PIECE_BYTES)


class _Gzip:
    """A gzip member, with the manners of bz2 and lzma."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(16 + zlib.MAX_WBITS)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        held = self._inner.unconsumed_tail
        return self._inner.decompress(held + data if held else data, max_length)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


def _gzip(packed: IO[bytes]) -> Iterator[bytes]:
    return _streamed(packed, _Gzip, _MAGIC["gzip"][1])


def _bzip2(packed: IO[bytes]) -> Iterator[bytes]:
    return _streamed(packed, bz2.BZ2Decompressor, _MAGIC["bzip2"][1])


def _xz(packed: IO[bytes]) -> Iterator[bytes]:
    def begin() -> _Decompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)

    return _streamed(packed, begin, _MAGIC["xz"][1])


def _zip(packed: IO[bytes]) -> Iterator[bytes]:
    """Yield the one file of an archive; its name is of no interest."""
    try:
        with zipfile.ZipFile(packed) as archive:
            members = archive.infolist()
            if len(members) != 1 or members[0].is_dir():
                raise UnsafeContent("the zip archive does not hold exactly one file")
            if members[0].compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                raise UnsafeContent("the zip archive is packed in an unsupported way")
            with archive.open(members[0]) as member:
                while piece := member.read(_PIECE_BYTES):
                    yield piece
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        RuntimeError,
        ValueError,
    ) as error:
        # RuntimeError is what an encrypted member brings about.
        raise UnsafeContent(_BROKEN) from error


#: Name -> where its first bytes stand, and what they are.
_MAGIC = {
    "gzip": (0, b"\x1f\x8b\x08"),
    "bzip2": (0, b"BZh"),
    "xz": (0, b"\xfd7zXZ\x00"),
    "zip": (0, b"PK\x03\x04"),
    "zstd": (0, b"\x28\xb5\x2f\xfd"),
    "lz4": (0, b"\x04\x22\x4d\x18"),
}
HEAD_BYTES = 16

_READERS: dict[str, Callable[[IO[bytes]], Iterator[bytes]]] = {
    "gzip": _gzip,
    "bzip2": _bzip2,
    "xz": _xz,
    "zip": _zip,
}
