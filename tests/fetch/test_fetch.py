"""One image to one path: over HTTP, directly, verified, checked, published."""

import os
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from imagereg.errors import (
    FetchCancelled,
    FetchNoData,
    FetchNoSpace,
    FetchNotFound,
    FetchNotIntact,
    FetchRefused,
    FetchUnreachable,
    FetchUnsafe,
    Invalid,
)
from imagereg.fetch import Progress
from tests.fetch.conftest import DATA, MIB, Change, Node, blob, upload
from tests.server import Server, free_port
from tests.signed import Signer
from tests.stores import disks
from tests.wire import ADMIN

UNKNOWN = "11111111-2222-4333-8444-555555555555"


def test_an_image_comes_over_http_whole_and_verified(
    node: Node, shared: Server
) -> None:
    image_id = upload(shared, hw_firmware_type="uefi")

    result = node.fetcher().fetch(image_id, node.dest)

    assert (result.source, result.size, result.verified) == ("http", len(DATA), True)
    assert result.properties["hw_firmware_type"] == "uefi"
    assert node.dest.read_bytes() == DATA
    assert [path.name for path in node.where.iterdir()] == ["disk"]


def test_an_empty_image_is_an_empty_file(node: Node, shared: Server) -> None:
    result = node.fetcher(inspect=False).fetch(upload(shared, b""), node.dest)

    assert (result.size, node.dest.read_bytes()) == (0, b"")


def test_what_had_the_name_is_replaced_at_once(node: Node, shared: Server) -> None:
    node.dest.write_bytes(b"older")
    before = node.dest.stat().st_ino

    node.fetcher().fetch(upload(shared), node.dest)

    assert node.dest.read_bytes() == DATA
    assert node.dest.stat().st_ino != before


def test_progress_is_told_in_order(node: Node, shared: Server) -> None:
    told: list[Progress] = []
    image_id, begun = upload(shared), time.monotonic()

    node.fetcher(limit_rate=8 * MIB).fetch(image_id, node.dest, progress=told.append)

    most = 1 + 5 * (time.monotonic() - begun)
    events = [each.event for each in told]
    assert (events[0], events[-2:]) == ("start", ["verify", "done"])
    assert 1 <= events.count("progress") <= most
    assert (told[-1].done, told[-1].total, told[-1].source) == (
        len(DATA),
        len(DATA),
        "http",
    )


def test_the_rate_is_limited(node: Node, shared: Server) -> None:
    image_id = upload(shared)
    begun = time.monotonic()

    node.fetcher(limit_rate=10 * MIB).fetch(image_id, node.dest)

    assert time.monotonic() - begun >= 0.4


def test_a_cancelled_fetch_goes_on_later(node: Node, shared: Server) -> None:
    image_id, enough = upload(shared), threading.Event()

    def stop(progress: Progress) -> None:
        if progress.done:
            enough.set()

    with pytest.raises(FetchCancelled):
        node.fetcher(limit_rate=4 * MIB).fetch(
            image_id, node.dest, progress=stop, cancel=enough
        )
    left = (node.where / "disk.part").stat().st_size
    told: list[Progress] = []
    node.fetcher().fetch(image_id, node.dest, progress=told.append)

    assert 0 < left < len(DATA)
    assert told[0].done == left
    assert node.dest.read_bytes() == DATA
    assert node.litter() == []


# What an earlier run left


@pytest.mark.parametrize("left", [0, 1, 4095, MIB, len(DATA) - 1, len(DATA)])
def test_what_is_there_is_not_fetched_again(
    node: Node, shared: Server, left: int
) -> None:
    image_id = upload(shared)
    leave(node, shared, image_id, DATA[:left])
    told: list[Progress] = []

    node.fetcher().fetch(image_id, node.dest, progress=told.append)

    assert told[0].done == left
    assert node.dest.read_bytes() == DATA


@pytest.mark.parametrize(
    "left",
    [
        pytest.param(b"X" + DATA[1:MIB], id="damaged"),
        pytest.param(b"X" + DATA[1:], id="damaged and whole"),
        pytest.param(DATA + b"more", id="too long"),
    ],
)
def test_what_is_there_and_wrong_is_fetched_again(
    node: Node, shared: Server, left: bytes
) -> None:
    image_id = upload(shared)
    leave(node, shared, image_id, left)

    result = node.fetcher().fetch(image_id, node.dest)

    assert (node.dest.read_bytes(), result.verified) == (DATA, True)
    assert node.litter() == []


def test_what_belongs_to_another_image_is_not_gone_on_with(
    node: Node, shared: Server
) -> None:
    other = DATA[::-1]
    leave(node, shared, upload(shared, other), other[:MIB])
    told: list[Progress] = []

    node.fetcher().fetch(upload(shared), node.dest, progress=told.append)

    assert told[0].done == 0
    assert node.dest.read_bytes() == DATA


def test_nothing_is_gone_on_with_where_nobody_wants_that(
    node: Node, shared: Server
) -> None:
    image_id = upload(shared)
    leave(node, shared, image_id, DATA[:MIB])
    told: list[Progress] = []

    node.fetcher(resume=False).fetch(image_id, node.dest, progress=told.append)

    assert told[0].done == 0


def leave(node: Node, server: Server, image_id: str, data: bytes) -> None:
    """Leave what a killed process would have left."""
    from imagereg.fetch.facts import read_facts
    from imagereg.fetch.part import notes_of, part_of, write_notes

    part = part_of(node.dest)
    part.write_bytes(data)
    identity = read_facts(server.client().show(image_id)).identity()
    write_notes(notes_of(part), identity)


# Directly


def test_an_image_is_read_from_the_shared_file_system(
    node: Node, shared: Server
) -> None:
    result = node.sharing().fetcher().fetch(upload(shared), node.dest)

    assert (result.source, result.verified) == ("direct", True)
    assert node.dest.read_bytes() == DATA
    assert node.litter() == []


@pytest.mark.parametrize("verify", ["hash", "size"])
def test_holes_stay_holes(node: Node, shared: Server, verify: str) -> None:
    data = b"a" * MIB + bytes(8 * MIB) + b"b" * MIB + bytes(6 * MIB)
    image_id = upload(shared, data)
    dig(blob(shared, image_id), data)

    result = node.sharing().fetcher(verify=verify).fetch(image_id, node.dest)

    assert result.source == "direct"
    assert node.dest.read_bytes() == data
    assert node.dest.stat().st_blocks * 512 < 4 * MIB


def dig(path: Path, data: bytes) -> None:
    """Write data again, zeros as holes."""
    with path.open("wb") as file:
        for start in range(0, len(data), MIB):
            if data[start : start + MIB].strip(b"\0"):
                file.seek(start)
                file.write(data[start : start + MIB])
        file.truncate(len(data))


def shorten(path: Path) -> None:
    os.truncate(path, MIB)


def spoil(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(b"!")


def link(path: Path) -> None:
    path.rename(path.with_suffix(".real"))
    path.symlink_to(path.with_suffix(".real"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "change", [shorten, spoil, link, pipe, Path.unlink], ids=lambda c: c.__name__
)
def test_a_copy_that_is_no_good_here_is_fetched_over_http(
    node: Node, shared: Server, tmp_path: Path, change: Change
) -> None:
    image_id = upload(shared)
    mount = tmp_path / "mnt"
    mount.mkdir()
    (mount / image_id).write_bytes(DATA)
    change(mount / image_id)

    result = node.sharing(mountpoint=mount).fetcher().fetch(image_id, node.dest)

    assert (result.source, node.dest.read_bytes()) == ("http", DATA)


def test_nothing_is_read_where_nothing_is_mounted(node: Node, shared: Server) -> None:
    image_id = upload(shared)

    result = node.sharing(readonly_check=True).fetcher().fetch(image_id, node.dest)

    assert result.source == "http"
    with pytest.raises(FetchNoData, match="can be read on this node"):
        node.sharing(readonly_check=True).fetcher(direct="only").fetch(
            image_id, node.dest
        )


def test_a_mountpoint_that_is_missing_is_told(node: Node, shared: Server) -> None:
    missing = node.sharing(mountpoint=node.where / "nowhere")
    image_id = upload(shared)

    assert missing.fetcher().fetch(image_id, node.dest).source == "http"
    with pytest.raises(FetchNoData, match="the mountpoint cannot be opened"):
        missing.fetcher(direct="only").fetch(image_id, node.dest)


def test_never_means_never(node: Node, shared: Server) -> None:
    result = node.sharing().fetcher(direct="never").fetch(upload(shared), node.dest)

    assert result.source == "http"


def test_a_damaged_store_is_told(node: Node, shared: Server) -> None:
    image_id = upload(shared)
    spoil(blob(shared, image_id))

    for each in (node, node.sharing()):
        with pytest.raises(FetchNotIntact, match="another sha512"):
            each.fetcher().fetch(image_id, node.dest)

    assert list(node.where.iterdir()) == []


def test_a_trusted_store_is_not_hashed(node: Node, shared: Server) -> None:
    image_id = upload(shared)
    spoil(blob(shared, image_id))

    result = node.sharing().fetcher(verify="size").fetch(image_id, node.dest)

    assert (result.source, result.verified) == ("direct", False)
    assert node.dest.read_bytes() == blob(shared, image_id).read_bytes()


# What is refused


def test_failures_have_their_own_classes(node: Node, shared: Server) -> None:
    queued = shared.client().create()["id"]
    closed = upload(shared)
    path = f"/v2/images/{closed}/actions/deactivate"
    assert shared.client(ADMIN).request("POST", path).status == 204
    hostile = upload(shared, disks.qcow2(backing=512), disk_format="raw")
    fetcher = node.fetcher()

    for image_id, kind in (
        (UNKNOWN, FetchNotFound),
        (queued, FetchNoData),
        (closed, FetchRefused),
        (hostile, FetchUnsafe),
        ("../../etc/passwd", Invalid),
    ):
        with pytest.raises(kind):
            fetcher.fetch(image_id, node.dest)

    assert list(node.where.iterdir()) == []


def test_a_service_that_is_not_there(node: Node) -> None:
    far = node.with_service(f"http://127.0.0.1:{free_port()}", num_retries=1)

    with pytest.raises(FetchUnreachable, match="does not answer"):
        far.fetcher().fetch(UNKNOWN, node.dest)


def test_services_are_asked_in_turn(node: Node, shared: Server) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    several = node.with_service(dead, shared.base, num_retries=1)

    result = several.fetcher().fetch(upload(shared), node.dest)

    assert result.source == "http"


def test_a_full_node_is_known_before(node: Node, shared: Server) -> None:
    image_id = upload(shared)

    with pytest.raises(FetchNoSpace):
        node.fetcher(min_free=1 << 60).fetch(image_id, node.dest)

    assert list(node.where.iterdir()) == []


def test_a_published_image_is_an_ordinary_readable_file(
    node: Node, shared: Server
) -> None:
    node.fetcher().fetch(upload(shared), node.dest)

    assert stat.filemode(node.dest.stat().st_mode) == "-rw-r--r--"


def test_an_image_is_converted_when_that_is_asked(node: Node, shared: Server) -> None:
    raw, packed = node.where / "raw", node.where / "packed"
    raw.write_bytes(bytes(MIB) + DATA[: 3 * MIB])
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, packed], check=True
    )
    image_id = upload(shared, packed.read_bytes(), disk_format="qcow2")

    result = node.fetcher(format="raw").fetch(image_id, node.dest)

    assert node.dest.read_bytes() == raw.read_bytes()
    assert result.size == 4 * MIB
    assert node.litter() == []


# Signed images


@pytest.fixture(scope="module")
def signed(shared: Server) -> str:
    signer = Signer()
    signer.certify(shared.where / "etc")
    return upload(shared, DATA, **signer.properties(DATA))


def test_a_signature_is_checked_where_its_certificate_is_trusted(
    node: Node, shared: Server, signed: str
) -> None:
    trusted, other = shared.where / "etc", node.where / "other"
    other.mkdir()
    Signer("ECC_SECP384R1").certify(other)

    for mode in ("require", "if-present"):
        node.fetcher(signature=mode, certificates=trusted).fetch(signed, node.dest)
        with pytest.raises(FetchNotIntact):
            node.fetcher(signature=mode, certificates=other).fetch(signed, node.dest)
    node.fetcher(signature="off", certificates=other).fetch(signed, node.dest)
    node.fetcher().fetch(signed, node.dest)
    with pytest.raises(FetchNotIntact, match="no certificate"):
        node.fetcher(signature="require").fetch(signed, node.dest)
    with pytest.raises(FetchNotIntact, match="not signed"):
        node.fetcher(signature="require", certificates=trusted).fetch(
            upload(shared), node.dest
        )


def test_a_signature_is_over_the_bytes_that_came(
    node: Node, shared: Server, signed: str
) -> None:
    mount = node.where / "mnt"
    mount.mkdir()
    (mount / signed).write_bytes(DATA)
    spoil(mount / signed)
    fetcher = node.sharing(mountpoint=mount).fetcher(
        verify="size", certificates=shared.where / "etc"
    )

    with pytest.raises(FetchNotIntact, match="signature"):
        fetcher.fetch(signed, node.dest)

    assert not node.dest.exists()
    assert node.litter() == []


def test_a_cached_image_must_have_been_signed_where_that_is_required(
    node: Node, shared: Server, signed: str
) -> None:
    node.fetcher().fetch(signed)
    strict = node.fetcher(signature="require", certificates=shared.where / "etc")

    assert [strict.fetch(signed).source for _ in range(2)] == ["http", "cache"]
