"""Ranges of an image, staged with a real server that is cut off and killed.

Source: contract api-images 17, stores S-14; SECURITY on orphaned bytes.
"""

import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import databases
from tests.conftest import Serve
from tests.server import Config, Server, eventually, stored_files
from tests.wire import Answer, Client, End, as_, head, raw

if TYPE_CHECKING:
    from tests.stores.bucket import Service

MIB = 1024 * 1024
PART = MIB
DATA = os.urandom(3 * PART + 12_345)

BYTES = {"Content-Type": "application/octet-stream"}


def ranges() -> Iterator[tuple[int, int]]:
    """Yield first and behind-last byte of each part."""
    for start in range(0, len(DATA), PART):
        yield start, min(start + PART, len(DATA))


def content_range(start: int, stop: int) -> dict[str, str]:
    """Return the headers of a part."""
    return {**BYTES, "Content-Range": f"bytes {start}-{stop - 1}/{len(DATA)}"}


def put(client: Client, image_id: str, start: int, stop: int) -> Answer:
    """Stage one part."""
    return client.request(
        "PUT",
        f"/v2/images/{image_id}/stage",
        body=DATA[start:stop],
        headers=content_range(start, stop),
    )


def told(client: Client, image_id: str) -> list[list[int]]:
    """Return the ranges that the server says are there."""
    found: list[list[int]] = client.get(f"/v2/images/{image_id}/stage").json()["ranges"]
    return found


def staging_dir(server: Server) -> Path:
    """Return where the server keeps staged data."""
    return server.state_dir / "staging"


def staged_bytes(server: Server, image_id: str) -> bytes:
    """Return the bytes of an image's parts, in the order of their offsets."""
    files = staging_dir(server).glob(f"{image_id}.*")
    return b"".join(
        path.read_bytes()
        for path in sorted(files, key=lambda path: int(path.name.split(".")[1]))
    )


def begun(image_id: str, headers: dict[str, str], data: bytes) -> bytes:
    """Return the head of a request to stage, and the beginning of its body."""
    path = f"/v2/images/{image_id}/stage"
    return head("PUT", path, {**as_(), **BYTES, **headers}) + data


def files_of(server: Server, image_id: str) -> list[Path]:
    """Return the files of an image's parts, unfinished ones too; others have theirs."""
    found = stored_files(staging_dir(server))
    return [path for path in found if path.name.startswith(f"{image_id}.")]


def has_leftovers(server: Server, image_id: str) -> bool:
    """Return whether the server has bytes of an image in an unfinished file."""
    with suppress(FileNotFoundError):
        found = (path for path in files_of(server, image_id) if ".tmp" in path.parts)
        return any(path.stat().st_size for path in found)
    return False


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["at once", "in chunks", "a range"])
def test_a_power_cut_while_the_first_bytes_come_leaves_nothing(
    serve: Serve, kind: str, workers: int
) -> None:
    server = serve(workers=workers)
    client = server.client()
    image_id = client.create()["id"]
    # Of chunks the server joins what comes, up to a MiB, before it writes anything.
    piece, joined = DATA[: MIB // 2], DATA[: 3 * MIB]
    headers, body = {
        "at once": ({"Content-Length": str(len(DATA))}, piece),
        "in chunks": (
            {"Transfer-Encoding": "chunked"},
            b"%x\r\n%s\r\n" % (len(joined), joined),
        ),
        "a range": ({"Content-Length": str(PART), **content_range(0, PART)}, piece),
    }[kind]

    def pieces() -> Iterator[bytes]:
        yield begun(image_id, headers, body)
        assert eventually(lambda: has_leftovers(server, image_id))
        server.kill9()

    raw(server.base, pieces(), End.CLOSE)
    server.start()
    is_queued = eventually(lambda: client.show(image_id)["status"] == "queued")
    left = stored_files(staging_dir(server))
    again = put(client, image_id, 0, PART)

    assert is_queued, client.show(image_id)
    assert left == []
    assert again.status == 204, again
    assert told(client, image_id) == [[0, PART - 1]]


def killed(
    server: Server, image_id: str, start: int, stop: int, cut: int
) -> Iterator[bytes]:
    """Yield the beginning of a part, and kill the server at work on it."""
    headers = {"Content-Length": str(stop - start), **content_range(start, stop)}
    yield begun(image_id, headers, DATA[start : start + cut])
    # What is less than the server reads at a time is not written yet.
    assert eventually(lambda: has_leftovers(server, image_id) or cut < 64 * 1024)
    server.kill9()


def test_parts_outlive_any_number_of_power_cuts(serve: Serve) -> None:
    server = serve()
    client = server.client()
    image_id = client.create()["id"]
    chance = random.Random(14)
    todo = list(ranges())
    chance.shuffle(todo)

    for start, stop in todo:
        cut = chance.randrange(1, stop - start)

        before = told(client, image_id)
        raw(server.base, killed(server, image_id, start, stop, cut), End.CLOSE)
        server.start()
        assert told(client, image_id) == before
        assert put(client, image_id, start, stop).status == 204

    assert told(client, image_id) == [[0, len(DATA) - 1]]
    assert client.show(image_id)["size"] == len(DATA)
    server.restart()
    assert eventually(lambda: len(stored_files(staging_dir(server))) == len(todo))
    assert staged_bytes(server, image_id) == DATA


@pytest.mark.parametrize("end", [End.CLOSE, End.RESET, End.SHUT])
def test_a_connection_that_breaks_costs_its_own_part_alone(
    server: Server, end: End
) -> None:
    client = server.client()
    image_id = client.create()["id"]
    put(client, image_id, 0, PART)
    (first,) = files_of(server, image_id)
    headers = {"Content-Length": str(PART), **content_range(PART, 2 * PART)}

    def pieces() -> Iterator[bytes]:
        yield begun(image_id, headers, DATA[PART : PART + MIB // 2])
        assert eventually(lambda: has_leftovers(server, image_id))

    raw(server.base, pieces(), end)

    assert eventually(lambda: files_of(server, image_id) == [first])
    assert told(client, image_id) == [[0, PART - 1]]
    assert put(client, image_id, PART, 2 * PART).status == 204
    assert client.request("DELETE", f"/v2/images/{image_id}").status == 204


def test_a_part_is_not_kept_from_its_client_by_its_own_stalled_connection(
    server: Server,
) -> None:
    client = server.client()
    image_id = client.create()["id"]
    headers = {"Content-Length": str(PART), **content_range(0, PART)}
    answers: list[Answer] = []

    def pieces() -> Iterator[bytes]:
        yield begun(image_id, headers, DATA[: MIB // 2])
        assert eventually(lambda: has_leftovers(server, image_id))
        answers.append(put(client, image_id, 0, PART))
        yield DATA[MIB // 2 : PART]

    late = raw(server.base, pieces(), End.SHUT)

    assert answers[0].status == 204
    assert late.startswith(b"HTTP/1.1 204 "), late
    assert eventually(lambda: len(files_of(server, image_id)) == 1)
    client.request("DELETE", f"/v2/images/{image_id}")


def test_parts_come_side_by_side(serve: Serve) -> None:
    server = serve(workers=2)
    client = server.client()
    image_id = client.create()["id"]
    # Each of them twice, as two clients send them that do not know each other.
    todo = [*ranges(), *ranges()]
    random.Random(5).shuffle(todo)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda part: put(client, image_id, *part), todo))

    assert {answer.status for answer in answers} == {204}
    assert client.show(image_id)["size"] == len(DATA)
    assert eventually(lambda: len(files_of(server, image_id)) == len(todo) // 2)
    assert staged_bytes(server, image_id) == DATA


@pytest.fixture
def nodes(serve: Serve, s3: "Service", tmp_path: Path) -> tuple[Server, Server]:
    """Return two nodes that share a database and a bucket, and no directory."""
    options = s3.options()
    s3.client(options).call("create_bucket")
    config: Config = {
        "DEFAULT": {"enabled_backends": "near:file, bucket:s3"},
        "database": {"connection": f"sqlite:///{tmp_path}/shared.sqlite"},
        "glance_store": {
            "stores": None,
            "default_store": None,
            "filesystem_store_datadir": None,
            "default_backend": "bucket",
        },
        "bucket": {
            "s3_store_host": f"http://{s3.host}",
            "s3_store_access_key": s3.access_key,
            "s3_store_secret_key": s3.secret_key,
            "s3_store_bucket": options.bucket,
        },
        "imagereg": {"staging_store": "bucket"},
    }
    first, second = serve(config), serve(config)
    return first, second


def test_nodes_that_share_a_bucket_stage_one_image_together(
    nodes: tuple[Server, Server],
) -> None:
    first, second = (node.client() for node in nodes)
    image_id = first.create()["id"]

    for number, (start, stop) in enumerate(ranges()):
        client = (first, second)[number % 2]
        assert put(client, image_id, start, stop).status == 204
    shown = [client.show(image_id)["size"] for client in (first, second)]
    again = put(second, image_id, 0, PART)

    assert shown == [len(DATA)] * 2
    assert again.status == 204
    assert [stored_files(staging_dir(node)) for node in nodes] == [[], []]
    assert second.request("DELETE", f"/v2/images/{image_id}").status == 204


def test_a_node_that_dies_leaves_nothing_in_the_bucket(
    nodes: tuple[Server, Server], tmp_path: Path
) -> None:
    first, second = nodes
    client = second.client()
    image_id = client.create()["id"]
    put(client, image_id, 0, PART)
    headers = {"Content-Length": str(PART), **content_range(PART, 2 * PART)}

    def pieces() -> Iterator[bytes]:
        yield begun(image_id, headers, DATA[PART : PART + MIB // 2])
        assert eventually(lambda: under_way(tmp_path) == 1)
        first.kill9()

    raw(first.base, pieces(), End.CLOSE)
    first.start()

    assert eventually(lambda: under_way(tmp_path) == 0)
    assert told(client, image_id) == [[0, PART - 1]]
    assert put(client, image_id, PART, 2 * PART).status == 204


def under_way(folder: Path) -> int:
    """Return how many parts the journal of the shared database knows to be coming."""
    with databases.opened(databases.connection(folder / "shared.sqlite")) as engine:
        ((count,),) = engine.rows(
            "SELECT COUNT(*) FROM staged_parts WHERE worker IS NOT NULL"
        )
    return int(str(count))


def test_what_is_not_complete_is_not_imported(server: Server) -> None:
    client = server.client()
    image_id = client.create()["id"]
    path = f"/v2/images/{image_id}"
    wanted = {"method": {"name": "glance-direct"}}
    *most, last = ranges()
    for part in most:
        put(client, image_id, *part)

    early = client.request("POST", f"{path}/import", document=wanted)
    put(client, image_id, *last)
    accepted = client.request("POST", f"{path}/import", document=wanted)

    assert (early.status, accepted.status) == (409, 202)
    assert eventually(lambda: client.show(image_id)["status"] == "active")
    assert client.download(image_id).body == DATA
    assert eventually(lambda: not list(staging_dir(server).glob(f"{image_id}.*")))
    assert told(client, image_id) == []
    assert put(client, image_id, 0, PART).status == 409
    assert client.request("DELETE", path).status == 204


def test_memory_does_not_depend_on_the_size_of_a_part(serve: Serve) -> None:
    server = serve()
    client = server.client()
    warm, image_id = (client.create()["id"] for _ in range(2))
    size = 256 * MIB

    def stage(image: str, count: int) -> Answer:
        return client.request(
            "PUT",
            f"/v2/images/{image}/stage",
            body=(bytes(MIB) for _ in range(count)),
            headers=BYTES,
        )

    assert stage(warm, 16).status == 204
    before = peak_rss(server)
    assert stage(image_id, size // MIB).status == 204

    assert client.show(image_id)["size"] == size
    assert peak_rss(server) - before <= 32 * MIB


def peak_rss(server: Server) -> int:
    """Return the most memory that any worker of the server ever had, in bytes."""
    assert server.process is not None
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return max(
        int(line.split()[1]) * 1024
        for child in children
        for line in Path(f"/proc/{child}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )
