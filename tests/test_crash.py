"""Uploads that do not end well: nothing of them may be left, and nothing accepted."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.server import Server, eventually, is_as_before, stored_files
from tests.wire import ADMIN, Client, End, as_, head, raw

MiB = 1024 * 1024
PIECE = os.urandom(64 * 1024)
WHOLE_BYTES = 4 * len(PIECE)
GOOD = os.urandom(100_001)


def chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass(frozen=True)
class Break:
    """An upload that goes wrong after it began.

    Attributes:
        framing: the headers that announce the body.
        begin: the part of the body that is in order.
        then: what follows once the server is at work.
        end: how the peer ends.
    """

    framing: dict[str, str]
    begin: bytes
    then: bytes
    end: End


SIZED = {"Content-Length": str(WHOLE_BYTES)}
CHUNKED = {"Transfer-Encoding": "chunked"}

# The rows of DATAPATH, section 1, that break off or are malformed.
BREAKS = {
    "length, peer closes": Break(SIZED, PIECE, b"", End.CLOSE),
    "length, peer stops sending": Break(SIZED, PIECE, b"", End.SHUT),
    "length, reset": Break(SIZED, PIECE, b"", End.RESET),
    "length, one byte short": Break(SIZED, PIECE * 3, PIECE[:-1], End.SHUT),
    "chunked, closed before the last chunk": Break(
        CHUNKED, chunk(PIECE), chunk(PIECE), End.CLOSE
    ),
    "chunked, stopped before the last chunk": Break(
        CHUNKED, chunk(PIECE), chunk(PIECE), End.SHUT
    ),
    "chunked, reset": Break(CHUNKED, chunk(PIECE), chunk(PIECE), End.RESET),
    "chunked, closed inside a chunk": Break(
        CHUNKED, chunk(PIECE), chunk(PIECE)[:1000], End.CLOSE
    ),
    "chunked, stopped inside a chunk": Break(
        CHUNKED, chunk(PIECE), chunk(PIECE)[:1000], End.SHUT
    ),
    "chunked, closed inside a size": Break(CHUNKED, chunk(PIECE), b"10", End.CLOSE),
    "chunked, `0 CRLF` then close": Break(CHUNKED, chunk(PIECE), b"0\r\n", End.CLOSE),
    "chunked, `0 CRLF` then no more": Break(CHUNKED, chunk(PIECE), b"0\r\n", End.SHUT),
    "chunked, size `zz`": Break(
        CHUNKED, chunk(PIECE), b"zz\r\nhello\r\n0\r\n\r\n", End.READ
    ),
    "chunked, size `0x5`": Break(
        CHUNKED, chunk(PIECE), b"0x5\r\nhello\r\n0\r\n\r\n", End.READ
    ),
    "chunked, size `-5`": Break(
        CHUNKED, chunk(PIECE), b"-5\r\nhello\r\n0\r\n\r\n", End.READ
    ),
    "chunked, size `+5`": Break(
        CHUNKED, chunk(PIECE), b"+5\r\nhello\r\n0\r\n\r\n", End.READ
    ),
    "chunked, no CRLF after the data": Break(
        CHUNKED, chunk(PIECE), b"5\r\nhello0\r\n\r\n", End.READ
    ),
    "chunked, data longer than its size": Break(
        CHUNKED, chunk(PIECE), b"5\r\nhello world\r\n0\r\n\r\n", End.READ
    ),
}

# Framings that are refused before the upload begins.
REFUSED = {
    "both Transfer-Encoding and Content-Length": [
        *("Transfer-Encoding: chunked", "Content-Length: 5"),
    ],
    "Content-Length before Transfer-Encoding": [
        *("Content-Length: 5", "Transfer-Encoding: chunked"),
    ],
    "two differing Content-Length": ["Content-Length: 5", "Content-Length: 10"],
    "a blank before the colon": ["Transfer-Encoding : chunked"],
    "a negative Content-Length": ["Content-Length: -5"],
    "a Content-Length in hexadecimal": ["Content-Length: 0x5"],
    "an unknown Transfer-Encoding": ["Transfer-Encoding: xchunked"],
}


def upload_head(image_id: str, framing: dict[str, str]) -> bytes:
    """Return the head of an upload by the owner of the image."""
    return head(
        "PUT",
        f"/v2/images/{image_id}/file",
        {**as_(), "Content-Type": "application/octet-stream", **framing},
    )


def is_status(client: Client, image_id: str, status: str) -> Callable[[], bool]:
    """Return the question whether the image has this status."""
    return lambda: bool(client.show(image_id)["status"] == status)


def broken_off(client: Client, image_id: str, case: Break) -> bytes:
    """Hold an upload up to its break, and return the answer if one is waited for."""

    def pieces() -> Iterator[bytes]:
        yield upload_head(image_id, case.framing) + case.begin
        # Only a server that is at work can be interrupted in it.
        assert eventually(is_status(client, image_id, "saving"))
        yield case.then

    return raw(client.base, pieces(), case.end)


@pytest.mark.parametrize("name", BREAKS)
def test_an_upload_that_breaks_leaves_a_queued_image_and_no_bytes(
    server: Server, name: str
) -> None:
    case = BREAKS[name]
    client = server.client()
    image_id = client.create(name=name)["id"]
    before = server.stored_files()
    log_bytes = len(server.log())

    answer = broken_off(client, image_id, case)
    is_queued = eventually(is_status(client, image_id, "queued"))
    document = client.show(image_id)

    assert is_queued, document
    assert is_as_before(server, before)
    assert (document["size"], document["checksum"]) == (None, None)
    assert eventually(lambda: image_id in server.log()[log_bytes:])
    if case.end in (End.READ, End.SHUT):
        assert answer.startswith(b"HTTP/1.1 400 "), answer
    # One answer and no second: the rest of the body was not taken for a request.
    assert answer.count(b"HTTP/1.1 ") <= 1


@pytest.mark.parametrize("name", ["length, peer closes", "chunked, size `zz`"])
def test_the_upload_works_after_one_that_broke(server: Server, name: str) -> None:
    client = server.client()
    image_id = client.create(name=name)["id"]
    broken_off(client, image_id, BREAKS[name])
    assert eventually(is_status(client, image_id, "queued"))

    uploaded = client.upload(image_id, GOOD)

    assert uploaded.status == 204, uploaded
    assert client.download(image_id).body == GOOD


@pytest.mark.parametrize("name", REFUSED)
def test_an_ambiguous_framing_is_refused(server: Server, name: str) -> None:
    client = server.client()
    image_id = client.create(name=name)["id"]
    before = server.stored_files()
    log_bytes = len(server.log())
    request = upload_head(image_id, {})[:-2] + "\r\n".join(REFUSED[name]).encode()

    answer = raw(server.base, [request + b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"])

    assert answer[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 501"), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert client.show(image_id)["status"] == "queued"
    assert is_as_before(server, before)
    assert eventually(lambda: len(server.log()) > log_bytes)


def test_one_chunk_of_32_mib_is_accepted(server: Server) -> None:
    client = server.client()
    image_id = client.create()["id"]

    uploaded = client.upload(image_id, [bytes(32 * MiB)])

    assert uploaded.status == 204, uploaded
    assert client.show(image_id)["size"] == 32 * MiB


def test_a_peer_that_waits_for_100_continue_is_told_to_go_on(server: Server) -> None:
    client = server.client()
    image_id = client.create()["id"]
    framing = {"Content-Length": "5", "Expect": "100-continue", "Connection": "close"}

    answer = raw(server.base, [upload_head(image_id, framing), b"hello"])

    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 "), answer
    assert client.download(image_id).body == b"hello"


def test_an_underscore_in_a_header_name_does_not_pass_for_a_hyphen(
    server: Server,
) -> None:
    image_id = server.client(ADMIN).create(visibility="private")["id"]
    forged = {name.replace("-", "_"): value for name, value in ADMIN.items()}
    path = f"/v2/images/{image_id}"

    alone = raw(server.base, [head("GET", path, {**forged, "Connection": "close"})])
    added = raw(
        server.base, [head("GET", path, {**as_(), **forged, "Connection": "close"})]
    )

    assert alone[:12] in (b"HTTP/1.1 401", b"HTTP/1.1 400"), alone
    assert added[:12] in (b"HTTP/1.1 404", b"HTTP/1.1 400"), added


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("framing", [SIZED, CHUNKED], ids=["sized", "chunked"])
def test_a_power_cut_in_the_middle_of_an_upload_leaves_nothing_behind(
    serve: Serve, framing: dict[str, str], workers: int
) -> None:
    server = serve(workers=workers)
    client = server.client()
    image_id = client.create()["id"]

    def pieces() -> Iterator[bytes]:
        yield upload_head(image_id, framing)
        yield PIECE if framing is SIZED else chunk(PIECE)
        assert eventually(is_status(client, image_id, "saving"))
        server.kill9()

    raw(server.base, pieces(), End.CLOSE)
    final_names = [path.name for path in server.images_dir.glob(f"{image_id}*")]
    server.start()
    is_queued = eventually(is_status(client, image_id, "queued"))
    left = server.stored_files()
    uploaded = client.upload(image_id, GOOD)

    assert final_names == []
    assert is_queued, client.show(image_id)
    assert left == []
    assert uploaded.status == 204, uploaded
    assert client.download(image_id).body == GOOD


def test_workers_that_die_in_the_middle_of_an_upload_leave_nothing_behind(
    serve: Serve,
) -> None:
    server = serve(workers=2)
    client = server.client()
    image_id = client.create()["id"]

    def pieces() -> Iterator[bytes]:
        yield upload_head(image_id, CHUNKED) + chunk(PIECE)
        assert eventually(is_status(client, image_id, "saving"))
        server.kill9_workers()

    raw(server.base, pieces(), End.CLOSE)
    is_queued = eventually(is_status(client, image_id, "queued"))
    left = server.stored_files()
    uploaded = client.upload(image_id, GOOD)

    assert is_queued, client.show(image_id)
    assert left == []
    assert uploaded.status == 204, uploaded
    assert client.download(image_id).body == GOOD


@dataclass(frozen=True)
class SmallDisk:
    """A place for image data that takes less than a few MiB.

    Attributes:
        prefix: the command a server must be run with for that to be so.
    """

    images_dir: Path
    prefix: tuple[str, ...]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Yield a file system of 2 MiB, or a limit on file sizes where none may be made."""
    images_dir = tmp_path / "small"
    images_dir.mkdir()
    mount = shutil.which("mount") or "mount"
    with ExitStack() as undo:
        prefix: tuple[str, ...] = ()
        if os.geteuid() == 0 and is_done(
            *(mount, "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"), str(images_dir)
        ):
            undo.callback(is_done, "umount", "--lazy", str(images_dir))
        else:
            prefix = ("prlimit", f"--fsize={2 * MiB}")
        yield SmallDisk(images_dir, prefix)


def is_done(*command: str) -> bool:
    """Run a command and return whether it succeeded."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("way", ["sized", "chunked"])
def test_a_full_disk_is_answered_413_and_keeps_nothing(
    serve: Serve, small_disk: SmallDisk, way: str
) -> None:
    store = {"filesystem_store_datadir": str(small_disk.images_dir)}
    server = serve({"glance_store": store}, prefix=small_disk.prefix)
    client = server.client()
    image_id = client.create()["id"]
    pieces = [PIECE] * 48

    refused = client.upload(image_id, b"".join(pieces) if way == "sized" else pieces)
    left = stored_files(small_disk.images_dir)
    status = client.show(image_id)["status"]
    uploaded = client.upload(image_id, GOOD)

    assert refused.status == 413, refused
    assert status == "queued"
    assert left == []
    assert uploaded.status == 204, uploaded
    assert client.download(image_id).body == GOOD
