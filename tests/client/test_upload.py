"""`imagereg upload` against real servers: cut, killed, repeated, refused.

Source: ruling S-14.
"""

import os
import random
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import bcrypt
import pytest

from tests.conftest import Serve
from tests.registry import SEVERAL_STORES
from tests.server import PROGRAM, Server, eventually
from tests.wire import ADMIN, as_

MIB = 1024 * 1024

DATA = random.Random(20).randbytes(24 * MIB + 321)
PARTS = 25

CALLER = tuple(
    text for name, value in as_().items() for text in ("--header", f"{name}: {value}")
)


Process: TypeAlias = "subprocess.Popen[str]"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    shown: str
    errors: str


@dataclass
class Upload:
    """The command, with a file and a registry."""

    path: Path
    endpoint: str
    caller: tuple[str, ...] = CALLER

    def begin(self, *options: str) -> "subprocess.Popen[str]":
        """Start the command."""
        return subprocess.Popen(
            [
                *(str(PROGRAM), "upload", str(self.path), "--endpoint", self.endpoint),
                *("--part-size", "1", *self.caller, *options),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, *options: str) -> Ended:
        """Run the command to its end."""
        process = self.begin(*options)
        shown, errors = process.communicate(timeout=300)
        return Ended(process.returncode, shown, errors)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(DATA)
    return path


@pytest.fixture
def upload(server: Server, path: Path) -> Upload:
    return Upload(path, server.base)


def staged_bytes(server: Server, image_id: str) -> bytes:
    """Return the bytes of an image's parts, in the order of their offsets."""
    return b"".join(
        path.read_bytes()
        for path in sorted(staged_files(server, image_id), key=offset_of)
    )


def staged_files(server: Server, image_id: str = "") -> list[Path]:
    """Return the parts of one image, or of all."""
    return list((server.state_dir / "staging").glob(f"{image_id}*.*.*"))


def is_staged(server: Server, image_id: str) -> bool:
    """Return whether the whole file comes to be staged, each part once.

    A part that a killed command sent may come late, and is there twice for a moment.
    """

    def is_whole() -> bool:
        with suppress(FileNotFoundError):
            is_once = len(staged_files(server, image_id)) == PARTS
            return is_once and staged_bytes(server, image_id) == DATA
        return False

    return eventually(is_whole)


def is_forgotten(server: Server, image_id: str) -> bool:
    """Return whether the parts of an image go; it is active a moment before."""
    return eventually(lambda: not staged_files(server, image_id))


def has_parts(server: Server, count: int) -> bool:
    """Return whether the server has so many parts, of all images."""
    return len(staged_files(server)) >= count


def offset_of(path: Path) -> int:
    """Return where a part belongs."""
    return int(path.name.split(".")[1])


def stagings(server: Server) -> int:
    """Return how many parts the server has taken in since it was made."""
    return len(re.findall(r"staged \d+ bytes from", server.log()))


def forget(server: Server, ended: Ended) -> None:
    """Delete the image that a command made."""
    path = f"/v2/images/{ended.shown.strip()}"
    assert server.client().request("DELETE", path).status == 204


def test_a_file_arrives_in_parts(server: Server, upload: Upload) -> None:
    ended = upload("--no-import", "--parallel", "3", "--property", "hw_x=1")

    image = server.client().show(ended.shown.strip())
    assert (ended.status, image["status"]) == (0, "uploading"), ended
    assert (image["size"], image["name"], image["hw_x"]) == (len(DATA), "disk.img", "1")
    assert is_staged(server, image["id"])
    forget(server, ended)


def test_the_same_call_finds_its_image_and_sends_nothing_twice(
    server: Server, upload: Upload
) -> None:
    first = upload("--no-import")
    before = stagings(server)

    again = upload("--no-import")

    assert (again.status, again.shown) == (0, first.shown)
    assert "comparing what is there already" in again.errors
    assert stagings(server) == before
    forget(server, first)


def test_another_file_another_name_and_a_wish_make_other_images(
    server: Server, upload: Upload, tmp_path: Path
) -> None:
    upload.path.write_bytes(b"small")
    longer = tmp_path / "other.img"
    longer.write_bytes(b"small too")

    ended = [
        upload("--no-import"),
        upload("--no-import", "--name", "n"),
        upload("--no-import", "--new"),
        upload("--no-import", "--new"),
        Upload(longer, server.base)("--no-import"),
    ]

    assert {each.status for each in ended} == {0}, ended
    assert len({each.shown for each in ended}) == 5
    for each in ended:
        forget(server, each)


def test_an_id_that_was_used_up_is_passed_over(server: Server, upload: Upload) -> None:
    upload.path.write_bytes(b"small")
    first = upload("--no-import")
    forget(server, first)

    second = upload("--no-import")

    assert second.status == 0
    assert second.shown != first.shown
    forget(server, second)


def test_the_image_of_somebody_else_is_passed_over(
    server: Server, upload: Upload
) -> None:
    upload.path.write_bytes(b"small")
    theirs = tuple(
        text
        for name, value in as_("eve", "project-eve").items()
        for text in ("--header", f"{name}: {value}")
    )
    first = Upload(upload.path, server.base, theirs)(
        "--no-import", "--visibility", "community"
    )

    second = upload("--no-import", "--visibility", "community")

    assert (first.status, second.status) == (0, 0), (first, second)
    assert second.shown != first.shown
    forget(server, second)


def test_an_empty_file_is_uploaded(server: Server, upload: Upload) -> None:
    upload.path.write_bytes(b"")

    ended = [upload("--no-import"), upload("--no-import")]

    assert [each.status for each in ended] == [0, 0], ended
    assert server.client().show(ended[0].shown.strip())["size"] == 0
    forget(server, ended[0])


def test_an_image_that_is_there_takes_the_data(server: Server, upload: Upload) -> None:
    image_id = server.client().create(name="mine")["id"]

    ended = upload("--no-import", "--image", image_id)

    assert (ended.status, ended.shown.strip()) == (0, image_id), ended
    assert is_staged(server, image_id)
    forget(server, ended)


# Until it is an image


def test_a_file_becomes_an_image_with_its_bytes(server: Server, upload: Upload) -> None:
    first, again = upload("--parallel", "2"), upload()

    image_id = first.shown.strip()
    assert (first.status, again.status) == (0, 0), (first, again)
    assert again.shown == first.shown
    assert "has the bytes of the file" in first.errors
    assert server.client().show(image_id)["status"] == "active"
    assert server.client().download(image_id).body == DATA
    assert is_forgotten(server, image_id)
    forget(server, first)


def test_a_changed_file_becomes_another_image(server: Server, upload: Upload) -> None:
    upload.path.write_bytes(b"small")
    first = upload()
    upload.path.write_bytes(b"SMALL")

    second = upload()

    assert (first.status, second.status) == (0, 0), (first, second)
    assert first.shown != second.shown
    assert server.client().download(second.shown.strip()).body == b"SMALL"
    for each in (first, second):
        forget(server, each)


def test_an_import_that_fails_is_told_and_may_be_repeated(
    server: Server, upload: Upload
) -> None:
    options = ("--disk-format", "qcow2", "--name", "no qcow2")

    ended = [upload(*options) for _ in range(2)]

    assert [each.status for each in ended] == [5, 5], ended
    assert "the import failed" in ended[0].errors
    images = server.client().get("/v2/images?name=no%20qcow2").json()["images"]
    assert [image["status"] for image in images] == ["queued"]
    assert is_forgotten(server, images[0]["id"])


def test_an_image_with_other_bytes_is_told_from_the_file(
    server: Server, upload: Upload
) -> None:
    image_id = server.client().create()["id"]
    server.client().upload(image_id, b"SMALL")

    ended = []
    for data in (b"small", b"smaller", b"SMALL"):
        upload.path.write_bytes(data)
        ended.append(upload("--image", image_id))

    assert [each.status for each in ended] == [6, 6, 0], ended
    assert "another sha512" in ended[0].errors
    assert "another size" in ended[1].errors
    forget(server, ended[2])


def test_the_stores_of_the_image_can_be_chosen(serve: Serve, path: Path) -> None:
    server = serve(SEVERAL_STORES)

    ended = Upload(path, server.base)("--store", "cheap", "--store", "fast")

    assert ended.status == 0, ended
    image = server.client().show(ended.shown.strip())
    assert set(image["stores"].split(",")) == {"cheap", "fast"}


def test_users_of_http_basic_come_from_the_environment(
    serve: Serve, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = Path(path.parent / "htpasswd")
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    users.write_text(f"alice:{hashed}\n")
    users.chmod(0o600)
    server = serve(
        {
            "paste_deploy": {"flavor": "http_basic"},
            "oslo_middleware": {"http_basic_auth_user_file": str(users)},
        }
    )
    path.write_bytes(b"small")
    monkeypatch.setenv("OS_AUTH_TYPE", "http_basic")
    monkeypatch.setenv("OS_USERNAME", "alice")
    monkeypatch.setenv("OS_PASSWORD", "secret")
    upload = Upload(path, server.base, ())

    assert upload().status == 0
    monkeypatch.setenv("OS_PASSWORD", "wrong")
    refused = upload("--new")
    assert (refused.status, "401" in refused.errors) == (1, True), refused


# What breaks


def test_a_command_killed_while_it_waits_finds_the_image_made(
    serve: Serve, path: Path
) -> None:
    server = serve()
    upload = Upload(path, server.base)
    process = upload.begin()
    assert eventually(lambda: "api_image_import" in task_types(server), 60)
    process.kill()
    process.communicate()

    ended = upload()

    assert ended.status == 0, ended
    assert server.client().download(ended.shown.strip()).body == DATA
    assert task_types(server) == ["api_image_import"]


def test_a_server_killed_while_it_imports_makes_the_image_after_all(
    serve: Serve, path: Path
) -> None:
    server = serve()
    process = Upload(path, server.base).begin()
    assert eventually(lambda: "api_image_import" in task_types(server), 60)
    server.kill9()
    server.start()

    shown, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    assert server.client().download(shown.strip()).body == DATA
    assert eventually(lambda: not staged_files(server))


def task_types(server: Server) -> list[object]:
    """Return the types of all tasks."""
    tasks = server.client(ADMIN).get("/v2/tasks").json()["tasks"]
    return [task["type"] for task in tasks]


@pytest.mark.parametrize("parallel", ["1", "4"])
def test_a_killed_command_goes_on_where_it_was(
    serve: Serve, path: Path, parallel: str
) -> None:
    server = serve()
    with held(server, path, "--parallel", parallel):
        pass

    ended = Upload(path, server.base)("--no-import", "--parallel", parallel)

    assert ended.status == 0, ended
    assert "bytes are there already" in ended.errors
    assert is_staged(server, ended.shown.strip())
    assert stagings(server) <= PARTS + int(parallel)


@pytest.mark.long
@pytest.mark.parametrize("ending", ["kill -9", "restart"])
def test_a_server_that_goes_and_comes_back_is_waited_for(
    serve: Serve, path: Path, ending: str
) -> None:
    server = serve()
    process = Upload(path, server.base).begin("--no-import", "--parallel", "2")

    for count in (4, 10):
        assert eventually(partial(has_parts, server, count), 60)
        if ending == "kill -9":
            server.kill9()
        else:
            server.stop()
        server.start()
    shown, errors = process.communicate(timeout=300)

    assert process.returncode == 0, errors
    assert is_staged(server, shown.strip())


def test_a_command_and_the_server_are_both_killed(serve: Serve, path: Path) -> None:
    server = serve()
    with held(server, path, "--parallel", "2"):
        server.kill9()
    server.start()

    ended = Upload(path, server.base)("--no-import")

    assert ended.status == 0, ended
    assert is_staged(server, ended.shown.strip())
    assert "bytes are there already" in ended.errors


class Cutter:
    """A way to a server that breaks after every few MiB.

    Attributes:
        cuts: how many connections it has broken.
    """

    def __init__(self, port: int, seed: int) -> None:
        self._port = port
        self._chance = random.Random(seed)
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[near], daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with (
            near,
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port)) as far,
        ):
            left = self._chance.randrange(1, 8 * MIB)
            back = threading.Thread(target=self._pass, args=[far, near, 1 << 62])
            back.start()
            self._pass(near, far, left)
            back.join()

    def _pass(self, source: socket.socket, sink: socket.socket, left: int) -> None:
        """Hand on bytes until they end or there were enough, then break both ways."""
        with suppress(OSError):
            while left > 0 and (data := source.recv(min(65536, left))):
                sink.sendall(data)
                left -= len(data)
        self.cuts += left == 0
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        # Closing alone would not wake the thread that waits for them.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Dam(Cutter):
    """A way to a server that lets some bytes through, and the rest when it opens."""

    def __init__(self, port: int, budget: int) -> None:
        self._budget = budget
        self._lock = threading.Lock()
        self.opened = threading.Event()
        super().__init__(port, 0)

    def _pass(self, source: socket.socket, sink: socket.socket, left: int) -> None:
        """Hand on bytes, those towards the server while they are within the budget."""
        with suppress(OSError):
            while data := source.recv(65536):
                if left < 1 << 62:
                    with self._lock:
                        self._budget -= len(data)
                    if self._budget < 0:
                        self.opened.wait()
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of whatever waits."""
        self.opened.set()
        super().close()


@contextmanager
def held(server: Server, path: Path, *options: str) -> Iterator[tuple[Process, Dam]]:
    """Run an upload that stands still after more than five parts and before the end."""
    with closing(Dam(server.port, 12 * MIB)) as dam:
        process = Upload(path, dam.base).begin("--no-import", *options)
        assert eventually(partial(has_parts, server, 5), 60)
        yield process, dam
        process.kill()
        process.communicate()


@pytest.fixture
def cutter(server: Server) -> Iterator[Cutter]:
    with closing(Cutter(server.port, 7)) as made:
        yield made


def test_connections_that_break_are_made_anew(
    server: Server, cutter: Cutter, path: Path
) -> None:
    ended = Upload(path, cutter.base)("--no-import", "--parallel", "3")

    assert ended.status == 0, ended
    assert cutter.cuts > 3
    assert is_staged(server, ended.shown.strip())
    forget(server, ended)


def test_an_interrupted_command_says_how_to_go_on(serve: Serve, path: Path) -> None:
    server = serve()
    with held(server, path) as (process, _):
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)

    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert Upload(path, server.base)("--no-import").status == 0


# What is refused


def test_a_file_that_changed_is_not_mixed_with_its_past(
    serve: Serve, path: Path
) -> None:
    server = serve()
    upload = Upload(path, server.base)
    with held(server, path):
        pass
    path.write_bytes(b"X" + DATA[1:])

    ended = upload("--no-import")

    assert ended.status == 4, ended
    assert "another file" in ended.errors
    assert upload("--no-import", "--new").status == 0


def test_a_file_that_changes_under_way_is_told(serve: Serve, path: Path) -> None:
    server = serve()
    with held(server, path) as (process, dam):
        with path.open("r+b") as file:
            file.seek(len(DATA) - 1)
            file.write(b"!")
        dam.opened.set()
        process.communicate(timeout=300)

    assert process.returncode == 4


def test_a_registry_that_is_not_there(path: Path) -> None:
    with socket.socket() as taken:
        # Nobody listens there, and nobody else may begin to.
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ended = Upload(path, endpoint)("--retry-for", "1")

    assert ended.status == 3, ended
    assert "does not answer" in ended.errors


@pytest.mark.parametrize(
    ("options", "caller", "words"),
    [
        pytest.param((), (), "401", id="nobody"),
        pytest.param(("--image", "absent"), CALLER, "no image found", id="absent"),
        pytest.param(("--visibility", "public"), CALLER, "403", id="not allowed"),
        pytest.param(("--disk-format", "odd"), CALLER, "400", id="invalid"),
        pytest.param(("--header", "x"), CALLER, "no header", id="no header"),
        pytest.param(("--endpoint", "nowhere"), CALLER, "no http", id="no URL"),
    ],
)
def test_what_the_registry_refuses_is_said_in_its_words(
    server: Server,
    path: Path,
    options: tuple[str, ...],
    caller: tuple[str, ...],
    words: str,
) -> None:
    ended = Upload(path, server.base, caller)(*options)

    assert ended.status == 1, ended
    assert words in ended.errors
    assert len(ended.errors.splitlines()) <= 2
    assert ended.shown == ""


@pytest.mark.parametrize("options", [("--property", "novalue"), ("--parallel", "0")])
def test_wrong_usage(upload: Upload, options: tuple[str, ...]) -> None:
    assert upload(*options).status == 2


def test_a_registry_without_staging_is_recognised(serve: Serve, path: Path) -> None:
    server = serve({"DEFAULT": {"enabled_import_methods": "[web-download]"}})

    ended = Upload(path, server.base)()

    assert ended.status == 1
    assert "takes no ranges" in ended.errors
    assert server.client().get("/v2/images").json()["images"] == []


def test_a_limit_ends_the_upload_at_once(serve: Serve, path: Path) -> None:
    server = serve({"DEFAULT": {"image_size_cap": str(MIB)}})

    ended = Upload(path, server.base)("--no-import", "--parallel", "4")

    assert ended.status == 1
    assert "413" in ended.errors


@pytest.mark.long
def test_memory_does_not_depend_on_the_size_of_the_file(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    peaks = []
    for size in (MIB, 256 * MIB):
        path = tmp_path / f"{size}.img"
        with path.open("wb") as file:
            file.truncate(size)
        upload = Upload(path, server.base)
        process = upload.begin("--no-import", "--parallel", "4", "--part-size", "64")
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        process.communicate()
        peaks.append(usage.ru_maxrss * 1024)
        assert process.returncode == 0

    assert peaks[1] - peaks[0] <= 48 * MIB
