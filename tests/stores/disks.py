"""Small disk images of every format, honest and hostile, made by hand."""

import struct

KiB = 1024
MiB = 1024 * 1024


def qcow2(
    size: int = MiB, *, version: int = 3, backing: int = 0, features: int = 0
) -> bytes:
    header = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing, 0, 16, size)
    return (header.ljust(72, b"\0") + struct.pack(">Q", features)).ljust(
        64 * KiB, b"\0"
    )


def vhd(size: int = MiB) -> bytes:
    header = b"conectix".ljust(40, b"\0") + struct.pack(">Q", size)
    return header.ljust(64 * KiB, b"\0")


def vdi(size: int = MiB) -> bytes:
    image = bytearray(64 * KiB)
    image[0x40:0x44] = struct.pack("<I", 0xBEDA107F)
    image[0x170:0x178] = struct.pack("<Q", size)
    return bytes(image)


def iso(blocks: int = 32, *, boot: bytes = b"") -> bytes:
    image = bytearray(64 * KiB)
    image[: len(boot)] = boot
    image[32 * KiB : 32 * KiB + 6] = b"\x01CD001"
    image[32 * KiB + 80 : 32 * KiB + 84] = struct.pack("<L", blocks)
    image[32 * KiB + 128 : 32 * KiB + 130] = struct.pack("<H", 2048)
    return bytes(image)


def mbr(*, boot_flag: int = 0x80, kind: int = 0x83) -> bytes:
    sector = bytearray(512)
    sector[446:462] = struct.pack("<B3BB3BII", boot_flag, 0, 2, 0, kind, 9, 9, 9, 1, 99)
    sector[510:512] = b"\x55\xaa"
    return bytes(sector)


def disk(sector: bytes = b"", size: int = 64 * KiB) -> bytes:
    return (sector or mbr()).ljust(size, b"\0")


def qed() -> bytes:
    return b"QED\0".ljust(64 * KiB, b"\0")


def luks(payload_sectors: int = 8, *, version: int = 1) -> bytes:
    header = struct.pack(
        ">6sH32s32s32sII20s32sI",
        *(b"LUKS\xba\xbe", version, b"aes", b"xts-plain64", b"sha256"),
        *(payload_sectors, 64, b"", b"", 1000),
    )
    return header.ljust(64 * KiB, b"\0")


DESCRIPTOR = (
    "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n"
    'createType="{kind}"\n{extent}\nddb.adapterType = "ide"\n'
)


def descriptor(kind: str, extent: str = 'RW 2048 SPARSE "disk.vmdk"') -> bytes:
    return DESCRIPTOR.format(kind=kind, extent=extent).encode()


def _vmdk_header(sectors: int, where: int, size: int, directory: int) -> bytes:
    fields = (b"KDMV", 1, 3, sectors, 128, where, size, 512, 0, directory)
    return struct.pack("<4sIIQQQQIQQ", *fields).ljust(512, b"\0")


def vmdk(
    kind: str = "monolithicSparse",
    *,
    extent: str = 'RW 2048 SPARSE "disk.vmdk"',
    sectors: int = 2048,
    where: int = 1,
) -> bytes:
    head = _vmdk_header(sectors, where, 20, 21)
    text = descriptor(kind, extent).ljust(20 * 512, b"\0")
    return (head + text).ljust(64 * KiB, b"\0")


def stream_vmdk(*, footer_where: int = 1, body: int = 2 * MiB) -> bytes:
    at_end = 2**64 - 1
    text = descriptor("streamOptimized").ljust(20 * 512, b"\0")
    image = (_vmdk_header(2048, 1, 20, at_end) + text).ljust(body, b"\1")
    marker = struct.pack("<QII", 1, 0, 3).ljust(512, b"\0")
    footer = _vmdk_header(2048, footer_where, 20, 21)
    return image + marker + footer + bytes(512)


def _guid(text: str) -> bytes:
    first, second, third, fourth, fifth = text.split("-")
    numbers = struct.pack("<IHH", int(first, 16), int(second, 16), int(third, 16))
    return numbers + bytes.fromhex(fourth + fifth)


METADATA = _guid("8B7CA206-4790-4B9A-B8FE-575F050F886E")
VIRTUAL_SIZE = _guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8")


def vhdx(size: int = MiB, *, metadata_at: int = 2 * MiB, regions: int = 1) -> bytes:
    image = bytearray(metadata_at + MiB)
    image[:8] = b"vhdxfile"
    table = struct.pack("<IIII", 0x69676572, 0, regions, 0)
    table += METADATA + struct.pack("<QII", metadata_at, MiB, 1)
    image[192 * KiB : 192 * KiB + len(table)] = table
    head = struct.pack("<8sHH", b"metadata", 0, 1).ljust(32, b"\0")
    head += VIRTUAL_SIZE + struct.pack("<III", 64 * KiB, 8, 0)
    image[metadata_at : metadata_at + len(head)] = head
    item = metadata_at + 64 * KiB
    image[item : item + 8] = struct.pack("<Q", size)
    return bytes(image)
