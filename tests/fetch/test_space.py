"""Room on the disk: shared blocks, holes, what is taken before, what is not there."""

import fcntl
import os
import struct
from pathlib import Path

import pytest

from imagereg.errors import FetchNoData, FetchNoSpace, Invalid
from imagereg.fetch import Progress, space
from imagereg.fetch.upkeep import Upkeep
from tests.fetch.conftest import DATA, MIB, Node, blob, upload
from tests.mounts import mounted
from tests.server import Server
from tests.stores import disks


@pytest.fixture(scope="module")
def image_id(shared: Server) -> str:
    return upload(shared)


def shares_blocks(path: Path) -> bool:
    """Return whether another file has blocks of this one: FS_IOC_FIEMAP."""
    head, extent = struct.Struct("=QQLLLL"), struct.Struct("=QQQQQLLLL")
    room = 64
    request = bytearray(head.size + room * extent.size)
    head.pack_into(request, 0, 0, 1 << 62, 1, 0, room, 0)
    with path.open("rb") as file:
        fcntl.ioctl(file, 0xC020660B, request)
    count = head.unpack_from(request)[3]
    assert 0 < count < room
    extents = (
        extent.unpack_from(request, head.size + number * extent.size)
        for number in range(count)
    )
    return any(flags & 0x2000 for *_, flags, _, _, _ in extents)


# Shared blocks


def test_a_shared_file_system_gives_its_blocks(
    volume: Path, shared: Server, image_id: str
) -> None:
    store = volume / "store"
    store.mkdir()
    (store / image_id).write_bytes(DATA)
    node = Node.of(volume, shared).sharing(mountpoint=store)

    result = node.fetcher(direct="only").fetch(image_id, node.dest)

    assert (result.source, result.verified) == ("direct", True)
    assert node.dest.read_bytes() == DATA
    assert shares_blocks(node.dest)
    # The copy is a file of its own.
    with node.dest.open("r+b") as file:
        file.write(b"!")
    assert (store / image_id).read_bytes() == DATA

    with (store / image_id).open("r+b") as file:
        file.seek(MIB)
        file.write(b"!")
    assert node.fetcher().fetch(image_id, node.dest).source == "http"
    assert node.dest.read_bytes() == DATA
    assert node.litter() == []


def test_a_path_gets_its_blocks_from_the_cache(
    volume: Path, shared: Server, image_id: str
) -> None:
    node = Node.of(volume, shared)

    for way, sharing_blocks in (("copy", False), ("reflink", True)):
        node.fetcher(place=way).fetch(image_id, node.dest)
        assert node.dest.read_bytes() == DATA
        assert shares_blocks(node.dest) is sharing_blocks
    assert node.litter() == []


# From the cache to a path


@pytest.mark.parametrize("way", ["hardlink", "reflink", "copy"])
def test_a_path_gets_what_the_cache_has(node: Node, image_id: str, way: str) -> None:
    node.dest.write_bytes(b"older")
    fetcher = node.fetcher(place=way)

    sources = [fetcher.fetch(image_id, node.dest).source for _ in range(2)]

    assert sources == ["http", "cache"]
    assert node.dest.read_bytes() == DATA
    kept = Upkeep(node.config.cache).show(image_id)[0].path
    assert node.dest.samefile(kept) is (way == "hardlink")
    assert node.litter() == []


def test_a_copy_is_compared_and_a_damaged_cache_is_mended(
    node: Node, image_id: str
) -> None:
    kept = node.fetcher().fetch(image_id).path
    kept.write_bytes(DATA[::-1])

    result = node.fetcher(place="copy").fetch(image_id, node.dest)

    assert (result.source, result.path) == ("http", node.dest)
    assert node.dest.read_bytes() == kept.read_bytes() == DATA
    assert kept.with_name(kept.name + ".bad").exists()
    assert node.litter() == []


def test_no_hard_link_leads_to_another_file_system(node: Node, image_id: str) -> None:
    with mounted(["-t", "tmpfs", "none"], node.where / "far") as far:
        with pytest.raises(Invalid, match="no hard link"):
            node.fetcher(place="hardlink").fetch(image_id, far / "disk")
        assert list(far.iterdir()) == []

        node.fetcher(place="reflink").fetch(image_id, far / "disk")
        assert (far / "disk").read_bytes() == DATA


# Holes, and what is taken before


def test_zeros_become_holes_on_the_way(node: Node, shared: Server) -> None:
    data = bytes(3 * MIB) + DATA[:MIB] + bytes(6 * MIB) + DATA[:MIB] + bytes(5 * MIB)
    image_id = upload(shared, data)

    for connections in (1, 3):
        result = node.fetcher(connections=connections).fetch(image_id, node.dest)
        assert (result.source, result.verified) == ("http", True)
        assert node.dest.read_bytes() == data
        assert node.dest.stat().st_blocks * 512 < 3 * MIB


@pytest.mark.parametrize("verify", ["hash", "size"])
def test_what_a_store_reserved_and_never_wrote_is_a_hole(
    node: Node, shared: Server, verify: str
) -> None:
    data = DATA[:MIB] + bytes(2 * MIB) + DATA[:MIB] + bytes(MIB)
    image_id = upload(shared, data)
    with blob(shared, image_id).open("r+b") as file:
        os.ftruncate(file.fileno(), 0)
        space.reserve(file.fileno(), 0, len(data))
        for start in (0, 3 * MIB):
            os.pwrite(file.fileno(), DATA[:MIB], start)
        os.ftruncate(file.fileno(), len(data))
        os.fsync(file.fileno())

    result = node.sharing().fetcher(verify=verify).fetch(image_id, node.dest)

    assert result.source == "direct"
    assert node.dest.read_bytes() == data
    assert node.dest.stat().st_blocks * 512 < 3 * MIB


@pytest.mark.parametrize("direct", [False, True])
def test_the_room_is_taken_before_the_bytes_come(
    node: Node, image_id: str, direct: bool
) -> None:
    node = node.sharing() if direct else node
    sizes: list[tuple[int, int]] = []

    def look(progress: Progress) -> None:
        if progress.event in ("start", "progress"):
            found = (node.where / "disk.part").stat()
            sizes.append((found.st_size, found.st_blocks * 512))

    node.fetcher(limit_rate=8 * MIB).fetch(image_id, node.dest, progress=look)

    assert all(length <= room for length, room in sizes)
    on_the_way = [room for length, room in sizes if 0 < length < len(DATA)]
    assert on_the_way
    assert min(on_the_way) >= len(DATA)
    assert node.dest.stat().st_blocks * 512 < len(DATA) + MIB


@pytest.mark.parametrize("direct", [False, True])
def test_a_file_system_that_is_too_small(
    node: Node, image_id: str, direct: bool
) -> None:
    where = node.where / "small"
    with mounted(["-t", "tmpfs", "-o", "size=2m", "none"], where) as small:
        poor = Node.of(small, node.server)
        poor = poor.sharing() if direct else poor
        with pytest.raises(FetchNoSpace):
            poor.fetcher().fetch(image_id, poor.dest)
        assert list(small.iterdir()) == []


def test_the_room_of_a_conversion_is_asked_for_before(
    node: Node, shared: Server
) -> None:
    huge = disks.qcow2(1 << 50)
    image_id = upload(shared, huge, disk_format="qcow2")
    told: list[Progress] = []

    with pytest.raises(FetchNoSpace):
        node.fetcher(format="raw").fetch(image_id, node.dest, progress=told.append)

    assert told == []
    assert list(node.where.iterdir()) == []


def test_what_others_take_meanwhile_is_no_room(node: Node, image_id: str) -> None:
    where = node.where / "small"
    options = ["-t", "tmpfs", "-o", f"size={len(DATA) + MIB}", "none"]
    with mounted(options, where) as small:
        poor = Node.of(small, node.server).with_service(node.server.base)
        rooms: list[int] = []

        def take(progress: Progress) -> None:
            if progress.event == "start":
                found = os.statvfs(small)
                rooms.append(found.f_bavail * found.f_bsize)

        poor.fetcher().fetch(image_id, poor.dest, progress=take)

        # All that is left while the first byte comes is left in the end, too.
        assert rooms[0] <= MIB
        assert poor.dest.read_bytes() == DATA


# Where the file system of a store is


def test_a_folder_that_is_bound_there_counts_as_mounted(
    node: Node, shared: Server, image_id: str
) -> None:
    what = ["--bind", str(shared.images_dir)]
    with mounted(what, node.where / "mount point") as root:
        bound = node.sharing(mountpoint=root, readonly_check=True)
        result = bound.fetcher(direct="only").fetch(image_id, node.dest)

    assert result.source == "direct"


def test_the_same_path_is_read_only_where_that_is_wanted(
    node: Node, shared: Server, image_id: str
) -> None:
    plain = node.with_service(shared.base)
    same = node.with_service(shared.base, legacy_same_path=True)

    assert plain.fetcher().fetch(image_id, node.dest).source == "http"
    assert same.fetcher().fetch(image_id, node.dest).source == "direct"

    path = blob(shared, image_id)
    real = path.rename(path.with_suffix(".real"))
    path.symlink_to(real)
    with pytest.raises(
        FetchNoData, match="a symbolic link or a file stands in the way"
    ):
        same.fetcher(direct="only").fetch(image_id, node.dest)
    path.unlink()
    real.rename(path)
