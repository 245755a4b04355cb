import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagereg.errors import UnsafeContent
from imagereg.stores.formats import HEAD_BYTES, FormatRules, Inspector, _slices
from tests.stores import disks

KiB = 1024
MiB = 1024 * KiB
GOOD = FormatRules()
LAX = FormatRules(require_match=False)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)  # oslo.utils complains at length
    yield
    logging.disable(logging.NOTSET)


def inspect(
    content: bytes,
    disk_format: str,
    *,
    rules: FormatRules = GOOD,
    container: str = "bare",
    chunk_bytes: int = 64 * KiB,
) -> int | None:
    inspector = Inspector(container, disk_format, rules)
    for start in range(0, len(content), chunk_bytes):
        inspector.feed(content[start : start + chunk_bytes])
    return inspector.finish()


ACCEPTED = [
    # content, disk_format, virtual size
    (disks.qcow2(), "qcow2", MiB),
    (disks.qcow2(version=2), "qcow2", MiB),
    (disks.vhd(), "vhd", MiB),
    (disks.vdi(), "vdi", MiB),
    (disks.vhdx(), "vhdx", MiB),
    (disks.vhdx(metadata_at=256 * KiB), "vhdx", MiB),
    (disks.vmdk(), "vmdk", MiB),
    (disks.stream_vmdk(), "vmdk", MiB),
    (disks.iso(), "iso", 64 * KiB),
    (disks.iso(boot=disks.mbr()), "iso", 64 * KiB),  # a bootable ISO is both
    (disks.disk(), "gpt", 64 * KiB),
    (disks.disk(size=3 * MiB), "gpt", 3 * MiB),  # more than is looked at
    (disks.luks(payload_sectors=8), "luks", 60 * KiB),
    (b"\1" * 1000, "raw", 1000),
    (b"", "raw", None),
    (disks.qcow2(), "raw", 64 * KiB),  # raw may be anything
    (disks.qcow2(backing=9), "raw", 64 * KiB),
    (disks.iso(), "raw", 64 * KiB),
    (disks.iso(boot=disks.qcow2()[:512]), "raw", 64 * KiB),
    (b"\1" * 1000, "ami", None),
    (b"\1" * 1000, "ploop", None),
    (b"", "aki", None),
    (disks.disk(), "aki", None),  # a kernel's boot sector
    (disks.disk(disks.mbr(boot_flag=7)), "ari", None),
    (disks.qcow2(size=0), "qcow2", None),
]


@pytest.mark.parametrize(("content", "disk_format", "virtual_size"), ACCEPTED)
def test_accepts_what_is_as_it_claims(
    content: bytes, disk_format: str, virtual_size: int | None
) -> None:
    assert inspect(content, disk_format) == virtual_size


MISMATCHES = [
    (b"QFI", "qcow2"),
    (bytes(64 * KiB), "qcow2"),
    (b"", "qcow2"),
    (b"\1" * 64 * KiB, "iso"),
    (b"\1" * 64 * KiB, "vhd"),
    (disks.qcow2(), "vmdk"),
    (disks.disk(), "iso"),
    (disks.disk(), "ami"),
    (disks.qcow2(), "aki"),
    (disks.qcow2(), "ploop"),
    (disks.descriptor("monolithicFlat"), "ami"),
    (disks.luks(), "qcow2"),
    (b"text " * 200 + b"\xff" * 99, "qcow2"),  # the inspector for VMDK stumbles
]


@pytest.mark.parametrize(("content", "disk_format"), MISMATCHES)
def test_refuses_what_is_something_else(content: bytes, disk_format: str) -> None:
    with pytest.raises(UnsafeContent, match=f"not match disk_format `{disk_format}`"):
        inspect(content, disk_format)


@pytest.mark.parametrize(("content", "disk_format"), MISMATCHES)
def test_accepts_a_mismatch_when_told_to(content: bytes, disk_format: str) -> None:
    assert inspect(content, disk_format, rules=LAX) is None


UNSAFE = [
    (disks.qcow2(backing=512), "qcow2", "backing file"),
    (disks.qcow2(features=4), "qcow2", "data_file"),
    (disks.qcow2(features=1 << 40), "qcow2", "unknown_features"),
    (disks.qcow2(version=1), "qcow2", "version"),
    (disks.qcow2(size=2**63), "qcow2", "virtual size"),
    (disks.vmdk("monolithicFlat"), "vmdk", "subformat"),
    (disks.vmdk(extent='RW 1 FLAT "/etc/passwd" 0'), "vmdk", "extent"),
    (disks.vmdk(extent="nonsense"), "vmdk", "descriptor"),
    (disks.vmdk(where=9), "vmdk", "descriptor location"),
    (disks.stream_vmdk(footer_where=2), "vmdk", "footer"),
    (disks.stream_vmdk()[:-512], "vmdk", "footer"),
    (disks.descriptor("monolithicFlat"), "vmdk", "subformat"),
    (disks.descriptor("monolithicSparse"), "vmdk", "other files"),
    (disks.disk(disks.mbr(boot_flag=7)), "gpt", "boot flag"),
    (disks.disk(disks.mbr(kind=0)), "gpt", "no partitions"),
    (disks.qed(), "qed", "not allowed"),
    (disks.luks(version=2), "luks", "version"),
    (disks.vhd()[:100], "vhd", "Incomplete"),
    (disks.vhdx()[: 100 * KiB], "vhdx", "Incomplete"),
    (disks.vhdx(regions=9999), "vhdx", "count"),
    (disks.vhdx()[: MiB + 5], "vhdx", "Incomplete"),
]


@pytest.mark.parametrize("rules", [GOOD, LAX])
@pytest.mark.parametrize(("content", "disk_format", "reason"), UNSAFE)
def test_refuses_what_is_unsafe(
    content: bytes, disk_format: str, reason: str, rules: FormatRules
) -> None:
    with pytest.raises(UnsafeContent, match=f"failed safety checks: .*{reason}"):
        inspect(content, disk_format, rules=rules)


@pytest.mark.parametrize("rules", [GOOD, LAX])
def test_refuses_several_formats_at_once(rules: FormatRules) -> None:
    content = disks.iso(boot=disks.qcow2()[:512])

    with pytest.raises(UnsafeContent, match="several formats at once: iso, qcow2"):
        inspect(content, "iso", rules=rules)


@pytest.mark.parametrize(
    ("allowed", "is_accepted"),
    [(("monolithicsparse",), True), (("streamOptimized",), False), ((), False)],
)
def test_vmdk_types_are_those_allowed(
    allowed: tuple[str, ...], is_accepted: bool
) -> None:
    rules = FormatRules(vmdk_allowed_types=allowed)

    if is_accepted:
        assert inspect(disks.vmdk(), "vmdk", rules=rules) == MiB
    else:
        with pytest.raises(UnsafeContent, match="type is not allowed"):
            inspect(disks.vmdk(), "vmdk", rules=rules)


def test_a_bad_partition_table_only_warns_when_told_to() -> None:
    content = disks.disk(disks.mbr(boot_flag=7))

    size = inspect(content, "gpt", rules=FormatRules(gpt_nonfatal=("mbr",)))

    assert size == len(content)


@pytest.mark.parametrize("container", ["ova", "docker", "ami", "compressed"])
def test_other_containers_are_not_looked_at(container: str) -> None:
    content = disks.qcow2(backing=9)

    assert inspect(content, "raw", container=container) is None
    assert inspect(content, "qcow2", container=container) is None


@pytest.mark.parametrize(
    ("start", "disk_format"),
    [
        (disks.qcow2(backing=9), "qcow2"),
        (disks.vmdk("monolithicFlat"), "vmdk"),
        (disks.qcow2(), "vmdk"),
        (disks.qed(), "qed"),
    ],
)
def test_refuses_as_soon_as_the_head_is_there(start: bytes, disk_format: str) -> None:
    inspector = Inspector("bare", disk_format, GOOD)
    inspector.feed(start.ljust(HEAD_BYTES - 1, b"\0"))

    with pytest.raises(UnsafeContent):
        inspector.feed(b"\0")


def test_refuses_a_fault_behind_the_head_when_it_comes() -> None:
    content = bytearray(disks.vhdx())
    content[2 * MiB : 2 * MiB + 8] = b"nonsense"
    inspector = Inspector("bare", "vhdx", GOOD)
    inspector.feed(bytes(content[: 2 * MiB]))

    with pytest.raises(UnsafeContent, match="metadata"):
        inspector.feed(bytes(content[2 * MiB :]))


def test_keeps_no_more_than_the_head() -> None:
    inspector = Inspector("bare", "qcow2", GOOD)
    inspector.feed(disks.qcow2().ljust(HEAD_BYTES, b"\0"))

    assert inspector._head is None
    assert sum(c._inspector.context_info["header"] for c in inspector._candidates) < 999


SMALL = [*ACCEPTED, *((a, b, None) for a, b in MISMATCHES)]
SMALL += [(content, name, None) for content, name, _ in UNSAFE]


@pytest.mark.parametrize(("content", "disk_format", "_size"), SMALL)
def test_the_size_of_chunks_does_not_matter(
    content: bytes, disk_format: str, _size: int | None
) -> None:
    whole = _verdict(content, disk_format, len(content) + 1)

    for chunk_bytes in (1, 511, 4097, 100_003):
        if len(content) // chunk_bytes < 100_000:
            assert _verdict(content, disk_format, chunk_bytes) == whole


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(content, name) for content, name, _ in ACCEPTED]),
    st.lists(st.tuples(st.integers(0, 2200 * KiB), st.binary(max_size=8)), max_size=6),
    st.integers(0, 3 * MiB),
)
def test_nothing_but_a_refusal_comes_of_damaged_images(
    image: tuple[bytes, str], damage: list[tuple[int, bytes]], length: int
) -> None:
    content, disk_format = bytearray(image[0]), image[1]
    for where, data in damage:
        place = where % max(len(content), 1) if where % 3 else where % 600
        content[place : place + len(data)] = data
    damaged = bytes(content[:length])

    assert _verdict(damaged, disk_format, 64 * KiB) == _verdict(
        damaged, disk_format, MiB + 1
    )


def _verdict(content: bytes, disk_format: str, chunk_bytes: int) -> object:
    try:
        return inspect(content, disk_format, chunk_bytes=chunk_bytes)
    except UnsafeContent as refusal:
        return str(refusal)


@given(st.binary(max_size=300), st.integers(0, 99), st.integers(1, 40))
def test_slices_end_at_multiples(chunk: bytes, start: int, slice_bytes: int) -> None:
    parts = list(_slices(chunk, start, slice_bytes))

    assert b"".join(parts) == chunk
    position = start
    for part in parts[:-1]:
        position += len(part)
        assert position % slice_bytes == 0
