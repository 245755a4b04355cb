"""Unpacking: what was packed comes out, bombs and damage do not."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagereg.errors import TooLarge, UnsafeContent
from imagereg.stores import compression
from imagereg.stores.compression import compression_of, unpack

MIB = 1024 * 1024
PLENTY = 1 << 40


def zipped(*contents: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as archive:
        for number, content in enumerate(contents):
            archive.writestr(f"../../disk{number}", content)
    return target.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped,
}

packed_with = pytest.mark.parametrize("name", PACKERS)


def unpacked(folder: Path, data: bytes, max_bytes: int = PLENTY) -> bytes | None:
    source, target = folder / "source", folder / "target"
    source.write_bytes(data)
    if unpack(source, target, max_bytes) is None:
        return None
    return target.read_bytes()


@packed_with
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=300),
            st.integers(1, 200_000).map(bytes),
            st.integers(1, 70_000).map(lambda size: os.urandom(1) * size),
        ),
        max_size=6,
    )
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_was_packed_comes_out(
    tmp_path: Path, name: str, pieces: list[bytes]
) -> None:
    content = b"".join(pieces)
    packed = PACKERS[name](content)
    assert compression_of(packed[:16]) == name
    assert unpacked(tmp_path, packed) == content


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
@pytest.mark.parametrize("padding", [0, 1, 512, 2 * MIB])
def test_streams_in_a_row_are_one_content(
    tmp_path: Path, name: str, padding: int
) -> None:
    pack = PACKERS[name]
    first, second = os.urandom(3 * MIB), b"second"
    data = pack(first) + bytes(padding) + pack(second) + bytes(padding)
    assert unpacked(tmp_path, data) == first + second


@packed_with
def test_damage_and_missing_ends_are_noticed(tmp_path: Path, name: str) -> None:
    packed = PACKERS[name](os.urandom(100_000))
    middle = len(packed) // 2
    flipped = packed[:middle] + bytes([packed[middle] ^ 1]) + packed[middle + 1 :]
    for data in (flipped, packed[:-1], packed[:middle], packed[:20]):
        with pytest.raises(UnsafeContent):
            unpacked(tmp_path, data)
        assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_other_data_behind_the_stream_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafeContent, match="other data follow"):
        unpacked(tmp_path, PACKERS[name](b"disk") + b"\0\0" + b"more")


@packed_with
def test_nothing_longer_than_allowed_is_written(tmp_path: Path, name: str) -> None:
    packed = PACKERS[name](bytes(3 * MIB))
    with pytest.raises(TooLarge):
        unpacked(tmp_path, packed, 3 * MIB - 1)
    assert not (tmp_path / "target").exists()
    assert unpacked(tmp_path, packed, 3 * MIB) == bytes(3 * MIB)


@packed_with
def test_a_bomb_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(compression, "_FREE_BYTES", MIB)
    monkeypatch.setattr(compression, "_MAX_RATIO", 100)
    with pytest.raises(TooLarge):
        unpacked(tmp_path, PACKERS[name](bytes(8 * MIB)))


def test_zeros_take_no_room(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(gzip.compress(bytes(64 * MIB) + b"end"))
    assert unpack(source, target, PLENTY) == "gzip"
    assert target.stat().st_size == 64 * MIB + 3
    assert target.stat().st_blocks * 512 < MIB


def test_an_xz_that_wants_much_memory_is_refused(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * MIB}]
    packed = lzma.compress(b"small", filters=filters)
    with pytest.raises(UnsafeContent):
        unpacked(tmp_path, packed)


@pytest.mark.parametrize(
    "data",
    [
        zipped(),
        zipped(b"one", b"two"),
        zipped(b"one", method=zipfile.ZIP_LZMA),
        zipped(b"one", method=zipfile.ZIP_BZIP2),
        b"PK\x03\x04" + os.urandom(100),
    ],
    ids=["empty", "two", "lzma", "bzip2", "noise"],
)
def test_a_zip_is_one_plain_file_or_refused(tmp_path: Path, data: bytes) -> None:
    if compression_of(data[:16]) is None:  # An empty archive has no file to begin with.
        assert unpacked(tmp_path, data) is None
        return
    with pytest.raises(UnsafeContent):
        unpacked(tmp_path, data)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    data = bytearray(zipped(b"secret" * 100))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(UnsafeContent):
        unpacked(tmp_path, bytes(data))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("lha", b"\x20\x00-lh5-" + bytes(40)),
        ("zstd", b"\x28\xb5\x2f\xfd" + bytes(40)),
        ("lz4", b"\x04\x22\x4d\x18" + bytes(40)),
    ],
)
def test_unsupported_packers_are_named(tmp_path: Path, name: str, head: bytes) -> None:
    with pytest.raises(UnsafeContent, match=f"packed with {name} are not supported"):
        unpacked(tmp_path, head)


@pytest.mark.parametrize("data", [b"", b"QFI\xfb" + bytes(100), bytes(600), b"x"])
def test_what_is_not_packed_is_left_alone(tmp_path: Path, data: bytes) -> None:
    assert unpacked(tmp_path, data) is None
    assert not (tmp_path / "target").exists()
