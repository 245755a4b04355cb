"""What an upload meets, and what is left of it, over sockets and on real disks.

Each row of the two error tables of contract stores 1, and what `test_crash.py` has
not: a disk that is full at a byte, breaks, or may not be written.
"""

import fcntl
import os
import resource
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import pytest

from tests.registry import SEVERAL_STORES, merged
from tests.server import Server, eventually, stored_files
from tests.test_crash import is_status, upload_head
from tests.wire import Answer, as_, head, raw

Serve = Callable[..., Server]

KiB = 1024
MiB = 1024 * KiB
CAP = 5 * MiB
QUOTA = 4 * MiB + 512 * KiB
DATA = os.urandom(4 * MiB)

#: What file systems know to test how they come back.
FS_IOC_SHUTDOWN = 0x8004587D

may_mount = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts disks")

CONFIG = merged(
    SEVERAL_STORES,
    {
        "DEFAULT": {
            **SEVERAL_STORES["DEFAULT"],
            "image_size_cap": str(CAP),
            "user_storage_quota": str(QUOTA),
        }
    },
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("faults"), CONFIG).start()
    yield running
    running.stop()


def blobs(server: Server) -> list[Path]:
    return stored_files(server.where / "images")


@dataclass(frozen=True)
class Row:
    """One way in which an upload fails.

    Attributes:
        length: of the body, of random bytes.
        headers: of the request, beside those that each upload has.
        fields: of the image.
    """

    status: int
    length: int = 10
    headers: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    says: bytes = b""


ROWS = {
    "over the cap": Row(413, CAP + 1),
    "over the quota": Row(413, QUOTA + 1),
    "fewer bytes than announced": Row(
        400,
        headers=(("X-OpenStack-Image-Size", "11"),),
        says=b"Size mismatch: expected 11 bytes, got 10 bytes",
    ),
    "more bytes than announced": Row(
        400,
        headers=(("X-OpenStack-Image-Size", "9"),),
        says=b"Size exceeds: expected 9 bytes, got 10 bytes",
    ),
    "another format than announced": Row(415, fields=(("disk_format", "qcow2"),)),
    "a store that takes no data": Row(410, headers=(("X-Image-Meta-Store", "web"),)),
    "a store that is not there": Row(400, headers=(("X-Image-Meta-Store", "none"),)),
}


def send(
    server: Server, image_id: str, data: bytes, way: str, **headers: str
) -> Answer:
    """Upload ``data`` with its length or in chunks."""
    pieces: Iterable[bytes] = (data[at : at + MiB] for at in range(0, len(data), MiB))
    return server.client().request(
        "PUT",
        f"/v2/images/{image_id}/file",
        body=data if way == "sized" else pieces,
        headers={"Content-Type": "application/octet-stream", **headers},
    )


@pytest.mark.parametrize("way", ["sized", "chunked"])
@pytest.mark.parametrize("name", ROWS)
def test_an_upload_that_fails_can_be_repeated(
    server: Server, name: str, way: str
) -> None:
    row = ROWS[name]
    client = server.client()
    image_id = client.create(**dict(row.fields))["id"]
    before = blobs(server)

    data = (DATA * 2)[: row.length]
    answer = send(server, image_id, data, way, **dict(row.headers))
    shown, left = client.show(image_id), blobs(server)

    assert answer.status == row.status, answer
    assert row.says in answer.body
    assert (shown["status"], shown["size"], shown["checksum"]) == ("queued", None, None)
    assert left == before
    if not row.fields:
        assert send(server, image_id, b"good", way).status == 204
        assert client.download(image_id).body == b"good"
    assert client.request("DELETE", f"/v2/images/{image_id}").status == 204


@pytest.mark.parametrize("length", [CAP + 1, QUOTA + 1, 1 << 62])
def test_what_is_announced_as_too_long_is_not_read(server: Server, length: int) -> None:
    image_id = server.client().create()["id"]
    framing = {"Content-Length": str(length), "Connection": "close"}

    answer = raw(server.base, [upload_head(image_id, framing)])

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert server.client().show(image_id)["status"] == "queued"


def test_one_of_two_uploads_wins_whole(server: Server) -> None:
    client = server.client()
    image_id = client.create()["id"]
    contents = [bytes([number]) * 300_000 for number in range(8)]
    answers: list[tuple[int, bytes]] = []

    def upload(data: bytes) -> None:
        answers.append((send(server, image_id, data, "chunked").status, data))

    threads = [threading.Thread(target=upload, args=(data,)) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(status for status, _ in answers) == [204] + [409] * 7
    (winner,) = (data for status, data in answers if status == 204)
    assert client.download(image_id).body == winner
    client.request("DELETE", f"/v2/images/{image_id}")


@pytest.mark.parametrize("way", ["sized", "chunked"])
def test_a_deletion_at_each_piece_leaves_nothing(server: Server, way: str) -> None:
    client = server.client()
    before = blobs(server)
    data = os.urandom(4 * 1000)
    framing = (
        {"Content-Length": str(len(data))}
        if way == "sized"
        else {"Transfer-Encoding": "chunked"}
    )

    def pieces(image_id: str, position: int) -> Iterator[bytes]:
        yield upload_head(image_id, {**framing, "Connection": "close"})
        for number in range(4):
            if number == position:
                assert eventually(is_status(client, image_id, "saving"))
                deleted = client.request("DELETE", f"/v2/images/{image_id}")
                assert deleted.status == 204
            piece = data[number * 1000 :][:1000]
            yield piece if way == "sized" else b"3e8\r\n%s\r\n" % piece
        yield b"" if way == "sized" else b"0\r\n\r\n"

    for position in range(4):
        image_id = client.create()["id"]
        answer = raw(server.base, pieces(image_id, position))

        assert answer.startswith(b"HTTP/1.1 410 "), (position, answer)
        assert client.get(f"/v2/images/{image_id}").status == 404
        assert blobs(server) == before


@pytest.mark.parametrize("way", ["sized", "chunked"])
def test_an_object_in_the_way_gives_way(server: Server, way: str) -> None:
    client = server.client()
    image_id = client.create()["id"]
    (server.where / "images" / "fast" / image_id).write_bytes(b"of a crash")

    assert send(server, image_id, b"bytes", way).status == 204
    assert client.download(image_id).body == b"bytes"
    client.request("DELETE", f"/v2/images/{image_id}")


# Disks.


@contextmanager
def mounted(where: Path, *arguments: str) -> Iterator[Path]:
    """Mount a file system for the block."""
    where.mkdir()
    subprocess.run(["mount", *arguments, str(where)], check=True)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


def on(disk: Path) -> dict[str, dict[str, str]]:
    return {"glance_store": {"filesystem_store_datadir": str(disk / "images")}}


@pytest.mark.parametrize("way", ["sized", "chunked"])
def test_a_disk_may_be_full_at_any_byte(serve: Serve, way: str) -> None:
    server = serve()
    client = server.client()
    image_id = client.create()["id"]
    (worker,) = workers(server)
    ends = [MiB, MiB + 1, 2 * MiB - 1, 2 * MiB + 4095, 3 * MiB + 4097, 4 * MiB - 1]

    for end in ends:
        resource.prlimit(worker, resource.RLIMIT_FSIZE, (end, resource.RLIM_INFINITY))
        answer = send(server, image_id, DATA, way)

        assert answer.status == 413, (end, answer)
        assert client.show(image_id)["status"] == "queued"
        assert stored_files(server.images_dir) == []
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (len(DATA), resource.RLIM_INFINITY))

    assert send(server, image_id, DATA, way).status == 204
    assert client.download(image_id).body == DATA


def workers(server: Server) -> list[int]:
    assert server.process is not None
    pid = server.process.pid
    return [
        int(each)
        for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    ]


@may_mount
@pytest.mark.parametrize("way", ["sized", "chunked"])
def test_a_full_disk_takes_an_upload_when_it_has_room_again(
    serve: Serve, tmp_path: Path, way: str
) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=8m", "tmpfs") as disk:
        server = serve(on(disk))
        client = server.client()
        image_id = client.create()["id"]
        filler = disk / "filler"

        for room in (0, 4 * KiB, MiB, 3 * MiB, 4 * MiB - 4 * KiB):
            filler.unlink(missing_ok=True)
            space = os.statvfs(disk)
            filler.write_bytes(bytes(space.f_bavail * space.f_frsize - room))
            answer = send(server, image_id, DATA, way)
            assert answer.status == 413, (room, answer)
            assert client.show(image_id)["status"] == "queued"
            assert stored_files(disk / "images") == []
        # Announced, it is refused before the body (ruling S-12).
        framing = {"Content-Length": str(len(DATA)), "Connection": "close"}
        early = raw(server.base, [upload_head(image_id, framing)])
        filler.unlink()
        good = send(server, image_id, DATA, way)

        assert early.startswith(b"HTTP/1.1 413 ")
        assert good.status == 204
        assert client.download(image_id).body == DATA
        server.stop()


@may_mount
@pytest.mark.parametrize("way", ["sized", "chunked"])
def test_a_disk_that_may_not_be_written_is_unavailable(
    serve: Serve, tmp_path: Path, way: str
) -> None:
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=16m", "tmpfs") as disk:
        server = serve(on(disk))
        client = server.client()
        stored = client.create()["id"]
        image_id = client.create()["id"]
        assert send(server, stored, b"bytes", way).status == 204

        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        answer = send(server, image_id, DATA, way)
        shown = client.show(image_id)
        read = client.download(stored)
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)

        assert answer.status == 503
        assert str(disk).encode() not in answer.body
        assert shown["status"] == "queued"
        assert read.body == b"bytes"
        assert send(server, image_id, DATA, way).status == 204
        server.stop()


def break_disk(disk: Path) -> None:
    """Let the file system fail as if its device were gone: each call says EIO."""
    handle = os.open(disk, os.O_RDONLY)
    try:
        fcntl.ioctl(handle, FS_IOC_SHUTDOWN, pack("I", 2))
    finally:
        os.close(handle)


@may_mount
@pytest.mark.parametrize("way", ["sized", "chunked"])
@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_disk_that_breaks_is_unavailable(
    serve: Serve, tmp_path: Path, way: str, position: int
) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as file:
        file.truncate(64 * MiB)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    with mounted(tmp_path / "disk", "-o", "loop", str(image)) as disk:
        server = serve(on(disk))
        client = server.client()
        stored, image_id = client.create()["id"], client.create()["id"]
        assert send(server, stored, b"bytes", way).status == 204
        framing = (
            {"Content-Length": str(len(DATA))}
            if way == "sized"
            else {"Transfer-Encoding": "chunked"}
        )

        def pieces() -> Iterator[bytes]:
            if position == 0:
                break_disk(disk)
            yield upload_head(image_id, {**framing, "Connection": "close"})
            for number in range(4):
                if number == position != 0:
                    assert eventually(is_status(client, image_id, "saving"))
                    break_disk(disk)
                piece = DATA[number * MiB :][:MiB]
                yield piece if way == "sized" else b"%x\r\n%s\r\n" % (MiB, piece)
            yield b"" if way == "sized" else b"0\r\n\r\n"

        answer = raw(server.base, pieces())
        shown = client.show(image_id)
        read = client.download(stored)
        # A disk that is back is found again, without a new start.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
        again = send(server, image_id, DATA, way)

        assert answer.startswith(b"HTTP/1.1 503 "), answer
        assert shown["status"] == "queued"
        assert read.status == 503
        assert again.status == 204
        assert client.download(image_id).body == DATA
        assert client.download(stored).body == b"bytes"
        server.stop()


# Downloads.


def test_data_that_are_in_no_store_are_none(server: Server) -> None:
    client = server.client()
    image_id = client.create()["id"]
    send(server, image_id, b"bytes", "sized")
    (server.where / "images" / "fast" / image_id).unlink()

    answer = raw(
        server.base,
        [head("GET", f"/v2/images/{image_id}/file", {**as_(), "Connection": "close"})],
    )

    assert answer.startswith(b"HTTP/1.1 204 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-type" not in answer.lower()
