"""Events reach their sinks: at least once, in order, within bounds."""

import fcntl
import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from imagereg.db.leases import LeaseRepository
from imagereg.db.outbox import EventRepository
from imagereg.errors import ConfigurationError
from imagereg.events.delivery import Bounds, Delivery
from imagereg.events.journal import Journal
from imagereg.events.sinks import LogSink, Webhook
from tests.registry import LocalRegistry
from tests.wire import Document

SECRET = "shared secret"


@dataclass
class Receiver:
    """Somebody's URL, and what was posted to it.

    Attributes:
        answers: what the next requests are answered; then 204.
        refuses: answers by what is posted, before that.
    """

    port: int = 0
    answers: list[int] = field(default_factory=list)
    refuses: Callable[[Document], int | None] = lambda event: None
    got: list[Document] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?key=canary"

    def take(self, headers: dict[str, str], body: bytes) -> int:
        event = json.loads(body)
        status = self.refuses(event) or (self.answers or [204]).pop(0)
        if status < 300:
            self.got.append(event)
        self.headers.append(headers)
        self.bodies.append(body)
        return status


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Yield a web server that takes what is posted."""
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = made.take(headers, body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield made
        server.shutdown()
        thread.join()


class Clock:
    """Time that tests turn; rows are made due by `World.due`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class World:
    """A registry that tells events to a file and a URL."""

    registry: LocalRegistry
    receiver: Receiver
    log: Path

    def delivery(
        self, name: str = "one", bounds: Bounds | None = None, secret: str | None = None
    ) -> tuple[Delivery, Clock]:
        """Return what tells events in the process ``name``."""
        engine, clock = self.registry.registry.engine, Clock()
        delivery = Delivery(
            EventRepository(engine),
            LeaseRepository(engine, lambda worker, beat: worker == "dead"),
            {
                "log": LogSink(Journal(self.log, sync=True)),
                "webhook": Webhook(self.receiver.url, secret, 60),
            },
            bounds or Bounds(5, 3600, 1000),
            lambda: name,
            clock,
        )
        return delivery, clock

    def due(self) -> None:
        """Let all pauses of single events be over."""
        engine = self.registry.registry.engine
        with engine.transaction():
            engine.execute("UPDATE events SET due_at_us = at_us")

    def waiting(self, sink: str = "webhook") -> int:
        return EventRepository(self.registry.registry.engine).backlog().get(sink, 0)

    def logged(self) -> list[Document]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path, receiver: Receiver) -> Iterator[World]:
    config = {"imagereg": {"event_log": "{dir}/e.jsonl", "event_webhook": receiver.url}}
    registry = LocalRegistry(tmp_path, config)
    yield World(registry, receiver, tmp_path / "e.jsonl")
    registry.close()


def told(events: list[Document]) -> list[tuple[str, str]]:
    """Return type and name of the image of events."""
    return [(event["type"].split(".")[1], event["data"]["name"]) for event in events]


def test_both_sinks_are_told_the_same_in_order(world: World) -> None:
    admin = world.registry.admin
    image = admin.create(name="a")
    admin.upload(image["id"], b"data")
    admin.create(name="b")
    admin.request("DELETE", f"/v2/images/{image['id']}")
    delivery, _ = world.delivery()

    assert (delivery.run_once("log"), delivery.run_once("webhook")) == (6, 6)

    assert world.receiver.got == world.logged()
    assert told(world.logged()) == [
        ("create", "a"),
        ("prepare", "a"),
        ("upload", "a"),
        ("activate", "a"),
        ("create", "b"),
        ("delete", "a"),
    ]
    assert world.waiting() == world.waiting("log") == 0
    assert delivery.run_once("webhook") == 0


def test_a_request_is_signed_as_the_readme_says(world: World) -> None:
    world.registry.admin.create(name="a")
    delivery, _ = world.delivery(secret=SECRET)

    delivery.run_once("webhook")

    (headers,), (body,) = world.receiver.headers, world.receiver.bodies
    assert headers["content-type"].startswith("application/cloudevents+json")
    stamp, digest = headers["x-imagereg-signature"].split(",")
    signed = stamp.removeprefix("t=").encode() + b"." + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert digest == f"v1={expected}"
    assert abs(int(stamp.removeprefix("t=")) - time.time()) < 60


def test_without_a_secret_nothing_is_signed(world: World) -> None:
    world.registry.admin.create(name="a")
    world.delivery()[0].run_once("webhook")

    assert "x-imagereg-signature" not in world.receiver.headers[0]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_receiver_that_is_down_is_left_alone_for_a_while(
    world: World, status: int
) -> None:
    for name in "ab":
        world.registry.admin.create(name=name)
    delivery, clock = world.delivery()
    world.receiver.answers += [status, status]

    assert delivery.run_once("webhook") == 0
    assert delivery.run_once("webhook") == 0
    assert len(world.receiver.bodies) == 1
    clock.now += 1
    world.due()
    delivery.run_once("webhook")
    assert len(world.receiver.bodies) == 2
    # The second pause is longer.
    clock.now += 0.9
    world.due()
    assert delivery.run_once("webhook") == 0
    clock.now += 1.1

    assert delivery.run_once("webhook") == 2
    assert told(world.receiver.got) == [("create", "a"), ("create", "b")]


def test_a_receiver_that_nobody_reaches_is_tried_again(world: World) -> None:
    world.registry.admin.create(name="a")
    port, world.receiver.port = world.receiver.port, 9
    delivery, _ = world.delivery()
    assert delivery.run_once("webhook") == 0
    world.receiver.port = port
    world.due()

    assert world.delivery()[0].run_once("webhook") == 1


@pytest.mark.parametrize("status", [400, 404, 302])
def test_an_event_that_is_refused_holds_up_its_own_image_alone(
    world: World, status: int
) -> None:
    admin = world.registry.admin
    bad, good = admin.create(name="bad"), admin.create(name="good")
    for image in (bad, good):
        admin.upload(image["id"], b"data")
    delivery, _ = world.delivery()
    is_new = [True]
    world.receiver.refuses = lambda event: (
        status if event["subject"] == bad["id"] and is_new else None
    )

    assert delivery.run_once("webhook") == 4
    assert {name for _, name in told(world.receiver.got)} == {"good"}
    assert delivery.run_once("webhook") == 0
    is_new.clear()
    world.due()

    assert delivery.run_once("webhook") == 4
    kinds = [kind for kind, name in told(world.receiver.got) if name == "bad"]
    assert kinds == ["create", "prepare", "upload", "activate"]


def test_what_is_refused_too_often_is_dropped_and_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    image = world.registry.admin.create(name="a")
    world.registry.admin.upload(image["id"], b"data")
    delivery, _ = world.delivery(bounds=Bounds(3, 3600, 1000))
    world.receiver.refuses = lambda event: 400 if "create" in event["type"] else None

    for _ in range(3):
        world.due()
        delivery.run_once("webhook")
    world.due()
    delivery.run_once("webhook")

    assert [kind for kind, _ in told(world.receiver.got)] == [
        "prepare",
        "upload",
        "activate",
    ]
    assert "is dropped after 3 attempts" in caplog.text
    # The URL may hold a key.
    assert "canary" not in caplog.text


def test_too_many_are_dropped_the_oldest_first(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):
        world.registry.admin.create(name=str(number))
    delivery, _ = world.delivery(bounds=Bounds(5, 3600, 2))

    assert delivery.run_once("webhook") == 2

    assert [name for _, name in told(world.receiver.got)] == ["3", "4"]
    assert "3 events are dropped: 0 too old, 3 too many" in caplog.text


def test_too_old_ones_are_dropped(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.registry.admin.create(name="old")
    engine = world.registry.registry.engine
    with engine.transaction():
        engine.execute("UPDATE events SET at_us = at_us - 7200000000")
    world.registry.admin.create(name="new")
    delivery, _ = world.delivery()

    delivery.run_once("webhook")

    assert [name for _, name in told(world.receiver.got)] == ["new"]
    assert "1 events are dropped: 1 too old" in caplog.text


def test_one_process_tells_as_long_as_it_lives(world: World) -> None:
    (first, _), (second, _) = world.delivery("first"), world.delivery("second")
    world.registry.admin.create(name="a")
    assert first.run_once("webhook") == 1
    world.registry.admin.create(name="b")

    assert second.run_once("webhook") == 0
    assert first.run_once("webhook") == 1


def test_another_process_takes_over_from_a_dead_one(world: World) -> None:
    dead, _ = world.delivery("dead")
    world.registry.admin.create(name="a")
    assert dead.run_once("webhook") == 1
    world.registry.admin.create(name="b")

    assert world.delivery("second")[0].run_once("webhook") == 1


def test_a_death_after_telling_tells_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.registry.admin.create(name="a")
    dead, _ = world.delivery("dead")

    def die(self: EventRepository, *numbers: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EventRepository, "remove", die)
    with pytest.raises(KeyboardInterrupt):
        dead.run_once("webhook")
    monkeypatch.undo()
    world.delivery("second")[0].run_once("webhook")

    first, second = world.receiver.got
    assert first == second


def test_a_rotated_file_is_written_anew(world: World) -> None:
    delivery, _ = world.delivery()
    world.registry.admin.create(name="a")
    delivery.run_once("log")
    world.log.rename(world.log.with_suffix(".1"))
    world.registry.admin.create(name="b")

    delivery.run_once("log")

    assert told(world.logged()) == [("create", "b")]
    assert world.log.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\[imagereg\] event_log"):
        LocalRegistry(tmp_path, {"imagereg": {"event_log": "{dir}/none/e.jsonl"}})


def open_files(folder: Path) -> set[str]:
    """Return which files below a folder this process has open; others come and go."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(link.readlink())
    return {str(path) for path in found if path.is_relative_to(folder.resolve())}


def test_files_that_cannot_be_written_are_told_with_the_other_faults(
    tmp_path: Path,
) -> None:
    faulty = {"event_log": "{dir}/none/e.jsonl", "audit_log": "{dir}/none/a.jsonl"}
    before = open_files(tmp_path)

    with pytest.raises(ConfigurationError) as told:
        LocalRegistry(
            tmp_path,
            {"imagereg": faulty, "oslo_policy": {"policy_file": "p.json"}},
            files={"p.json": "{"},
        )

    assert [fault.partition(":")[0] for fault in told.value.faults[-2:]] == [
        "[imagereg] event_log",
        "[imagereg] audit_log",
    ]
    assert len(told.value.faults) > 2
    assert open_files(tmp_path) == before == set()


def test_a_broken_line_ends_before_the_next_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", sync=False)
    journal.append([b"one"])
    # Another process was killed in the midst of it.
    (tmp_path / "j").write_bytes(b"one\ntor")

    journal.append([b"two"])
    journal.append([b"three"])
    journal.close()

    assert (tmp_path / "j").read_bytes() == b"one\ntor\ntwo\nthree\n"


def test_lines_are_written_where_nothing_can_be_locked_or_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unable)
    monkeypatch.setattr(os, "pread", unable)
    journal = Journal(tmp_path / "j", sync=True)
    journal.append([b"one"])
    journal.append([b"two"])
    journal.close()

    assert (tmp_path / "j").read_bytes() == b"one\ntwo\n"


def test_a_pipe_that_nobody_reads_is_noticed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    journal = Journal(pipe, sync=False)
    journal.append([b"one"])

    assert os.read(reader, 100) == b"one\n"
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        journal.append([b"two"])
    journal.close()


#: Writes long lines from four processes that share what their parent opened.
WRITERS = """
import os, sys
from pathlib import Path
from imagereg.events.journal import Journal
journal = Journal(Path(sys.argv[1]), sync=False)
children = []
for _ in range(4):
    if not (child := os.fork()):
        for _ in range(300):
            journal.append([b"x" * 5000])
        os._exit(0)
    children.append(child)
sys.exit(max(os.waitpid(child, 0)[1] for child in children))
"""


def test_lines_of_processes_that_were_forked_stay_whole(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", WRITERS, tmp_path / "j"], check=True)

    assert (tmp_path / "j").read_bytes() == (b"x" * 5000 + b"\n") * 1200


def test_a_url_with_a_password_sends_it_as_such(world: World) -> None:
    world.registry.admin.create(name="a")
    url = world.receiver.url.replace("http://", "http://user:word@")
    events = EventRepository(world.registry.registry.engine).pending("webhook", 1)

    Webhook(url, None, 60).tell(events)

    assert world.receiver.headers[0]["authorization"] == "Basic dXNlcjp3b3Jk"
