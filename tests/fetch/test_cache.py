"""The cache of a node: hits, layouts, locks, damage, ageing."""

import json
import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from imagereg.cli.fetch_cache import cache, prefetch
from imagereg.errors import (
    ConfigurationError,
    FetchLockTimeout,
    FetchNotFound,
    FetchNotIntact,
    FetchRefused,
)
from imagereg.fetch.entries import Layout, sha1_name
from imagereg.fetch.lock import try_lock
from imagereg.fetch.upkeep import Upkeep
from tests.fetch.conftest import DATA, MIB, Node, upload
from tests.server import Server

DAY = 86400


@pytest.fixture(scope="module")
def image_id(shared: Server) -> str:
    return upload(shared, hw_disk_bus="virtio")


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def upkeep(node: Node) -> Upkeep:
    return Upkeep(node.config.cache)


def spoil(path: Path) -> None:
    """Change a byte and nothing that a look from outside would show."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# Hits


def test_an_image_that_is_there_needs_no_service(node: Node, image_id: str) -> None:
    first = node.fetcher().fetch(image_id)
    age(first.path, DAY)

    again = node.with_service("http://127.0.0.1:9").fetcher().fetch(image_id)

    assert (first.source, again.source) == ("http", "cache")
    assert (again.path, again.size, again.verified) == (first.path, len(DATA), True)
    assert again.properties["hw_disk_bus"] == "virtio"
    assert first.path == node.where / "cache" / image_id[:2] / image_id
    assert time.time() - again.path.stat().st_mtime < DAY / 2
    assert node.litter() == []


@pytest.mark.parametrize(
    ("verify", "verified_ago", "source"),
    [
        ("never", 0, "cache"),
        ("size", 0, "cache"),
        ("daily", 0, "cache"),
        ("daily", 2 * DAY, "http"),
        ("always", 0, "http"),
    ],
)
def test_a_spoiled_file_is_found_as_early_as_configured(
    node: Node, image_id: str, verify: str, verified_ago: int, source: str
) -> None:
    path = node.fetcher().fetch(image_id).path
    spoil(path)
    entry, notes = upkeep(node).show(image_id)
    entry.write(replace(notes, verified_at=time.time() - verified_ago))

    again = node.with_cache(verify_on_hit=verify).fetcher().fetch(image_id)

    assert again.source == source
    if source == "http":
        assert path.read_bytes() == DATA
        assert path.with_name(path.name + ".bad").exists()


def test_a_short_file_is_fetched_again(node: Node, image_id: str) -> None:
    path = node.fetcher().fetch(image_id).path
    os.truncate(path, MIB)

    assert node.fetcher().fetch(image_id).source == "http"
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("notes", [None, b"{broken", b'{"id": 1}'])
def test_a_file_without_notes_is_compared_and_kept(
    node: Node, image_id: str, notes: bytes | None
) -> None:
    path = node.fetcher().fetch(image_id).path
    side = path.with_name(path.name + ".json")
    side.unlink()
    if notes is not None:
        side.write_bytes(notes)

    again = node.fetcher().fetch(image_id)

    assert (again.source, again.verified) == ("cache", True)
    spoil(path)
    side.unlink()
    assert node.fetcher().fetch(image_id).source == "http"


# One transfer for all


def test_threads_that_want_the_same_image_cause_one_transfer(
    node: Node, shared: Server
) -> None:
    image_id = upload(shared)
    fetcher, sources = node.fetcher(limit_rate=20 * MIB), []
    threads = [
        threading.Thread(target=lambda: sources.append(fetcher.fetch(image_id).source))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(sources) == ["cache"] * 4 + ["http"]


def test_processes_that_want_the_same_image_cause_one_transfer(
    node: Node, shared: Server
) -> None:
    image_id = upload(shared)
    folder = str(node.where / "cache")
    words = (image_id, "--endpoint", shared.base, "--cache-dir", folder, "--json")
    processes = [node.command(*words, "--limit-rate", str(8 * MIB)) for _ in range(3)]
    lines = [json.loads(each.communicate(timeout=300)[0]) for each in processes]

    assert sorted(line["source"] for line in lines) == ["cache", "cache", "http"]
    assert {line["sha1"] for line in lines} == {sha1_name(image_id)}


def test_a_lock_that_somebody_has_is_waited_for_and_then_told(
    node: Node, image_id: str
) -> None:
    layout = Layout(node.config.cache)
    entry = layout.entry(image_id)
    layout.prepare(entry)
    descriptor = try_lock(entry.lock)
    assert descriptor is not None

    with pytest.raises(FetchLockTimeout):
        node.with_cache(lock_timeout=0).fetcher().fetch(image_id)

    # A lock file without a process is no lock.
    os.close(descriptor)
    assert entry.lock.exists()
    assert node.with_cache(lock_timeout=0).fetcher().fetch(image_id).size == len(DATA)


# The layout of a compute service


@pytest.fixture
def compat(node: Node) -> Node:
    return node.with_cache(layout="compat", instances_path=node.where / "instances")


def test_a_compute_service_finds_the_image_as_raw(
    compat: Node, shared: Server, tmp_path: Path
) -> None:
    raw, packed = tmp_path / "raw", tmp_path / "packed"
    raw.write_bytes(DATA[: 2 * MIB])
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, packed], check=True
    )
    image_id = upload(shared, packed.read_bytes(), disk_format="qcow2")

    result = compat.fetcher().fetch(image_id)

    name = sha1_name(image_id)
    assert result.path == compat.where / "instances" / "_base" / name
    assert result.path.read_bytes() == raw.read_bytes()
    assert (compat.where / "instances" / "locks" / f"nova-{name}").exists()
    assert compat.litter() == []
    assert compat.fetcher().fetch(image_id).source == "cache"
    upkeep(compat).verify(image_id)


def test_an_image_that_the_compute_service_fetched_is_kept(
    compat: Node, image_id: str
) -> None:
    base = compat.where / "instances" / "_base"
    base.mkdir(parents=True)
    (base / sha1_name(image_id)).write_bytes(DATA)

    assert compat.fetcher().fetch(image_id).source == "cache"


# Looking after it


def test_what_is_old_and_unused_goes(compat: Node, shared: Server) -> None:
    names = ("old", "young", "linked", "backing", "pinned", "locked")
    ids = {name: upload(shared, DATA[:MIB]) for name in names}
    paths = {
        name: compat.fetcher().fetch(image_id).path for name, image_id in ids.items()
    }
    base, machine = paths["old"].parent, compat.where / "instances" / "machine"
    machine.mkdir()
    (machine / "linked").hardlink_to(paths["linked"])
    overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw"]
    subprocess.run([*overlay, "-b", paths["backing"], machine / "disk"], check=True)
    upkeep(compat).pin(ids["pinned"], pinned=True)
    resized = {
        (base / f"{paths['young'].name}_20"): 2 * 3600,
        (base / f"{paths['young'].name}_30"): 60,
        (base / "swap_512.part"): 2 * DAY,
    }
    for path, seconds in resized.items():
        path.write_bytes(b"x")
        age(path, seconds)
    for name, path in paths.items():
        age(path, 60 if name == "young" else 2 * DAY)
    lock = try_lock(Layout(compat.config.cache).entry(ids["locked"]).lock)
    assert lock is not None

    foretold = upkeep(compat).collect(dry_run=True)
    gone = {path for path in (*paths.values(), *resized) if not path.exists()}
    for name, path in paths.items():
        age(path, 60 if name == "young" else 2 * DAY)
    removed = upkeep(compat).collect()
    os.close(lock)

    assert gone == set()
    assert {each.path for each in removed} == {each.path for each in foretold}
    left = {name for name, path in paths.items() if path.exists()}
    assert left == {"young", "linked", "backing", "pinned", "locked"}
    assert [path.exists() for path in resized] == [False, True, False]
    # What is used counts as used today.
    assert time.time() - paths["backing"].stat().st_mtime < DAY


def test_the_least_recently_used_goes_when_there_is_too_much(
    node: Node, shared: Server
) -> None:
    ids = [upload(shared, DATA[:MIB]) for _ in range(4)]
    paths = [node.fetcher().fetch(image_id).path for image_id in ids]
    for number, path in enumerate(paths):
        age(path, 100 - number)
    node.fetcher().fetch(ids[0])  # A hit makes it the latest.

    removed = upkeep(node.with_cache(max_size=2 * MIB + 100_000)).collect()

    assert [each.path for each in removed] == [paths[1], paths[2]]
    assert [path.exists() for path in paths] == [True, False, False, True]


def test_what_must_stay_free_is_made_free(
    node: Node, shared: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [upload(shared, DATA[:MIB]) for _ in range(3)]
    paths = [node.fetcher().fetch(image_id).path for image_id in ids]
    for number, path in enumerate(paths):
        age(path, 100 - number)
    # A disk that others fill, of which 2.5 MiB are left.
    monkeypatch.setattr(
        "imagereg.fetch.upkeep.shutil.disk_usage",
        lambda _: SimpleNamespace(free=5 * MIB // 2),
    )
    keeper = upkeep(node.with_cache(min_free=4 * MIB))

    foretold = [each.path for each in keeper.collect(dry_run=True)]

    assert foretold == paths[:2]
    assert [each.path for each in keeper.collect()] == foretold
    assert [path.exists() for path in paths] == [False, False, True]


def test_nothing_goes_where_nothing_shall(node: Node, image_id: str) -> None:
    path = node.fetcher().fetch(image_id).path
    age(path, 9 * DAY)

    assert upkeep(node.with_cache(remove_unused_base_images=False)).collect() == []


def test_images_that_the_service_has_no_more_go(node: Node, shared: Server) -> None:
    kept, deleted = upload(shared, DATA[:MIB]), upload(shared, DATA[:MIB])
    fetcher = node.fetcher()
    paths = [fetcher.fetch(image_id).path for image_id in (kept, deleted)]
    assert shared.client().request("DELETE", f"/v2/images/{deleted}").status == 204

    removed = upkeep(node).collect(is_gone=fetcher.is_gone)

    assert [(each.path, each.why) for each in removed] == [
        (paths[1], "gone from the service")
    ]


def test_an_operator_is_told_what_is_wrong(node: Node, image_id: str) -> None:
    path = node.fetcher().fetch(image_id).path
    keeper = upkeep(node)
    keeper.pin(image_id, pinned=True)
    with pytest.raises(FetchRefused, match="pinned"):
        keeper.remove(image_id)
    keeper.pin(image_id, pinned=False)
    (node.where / "name").hardlink_to(path)
    with pytest.raises(FetchRefused, match="used"):
        keeper.remove(image_id)
    (node.where / "name").unlink()
    keeper.verify(image_id)
    spoil(path)
    with pytest.raises(FetchNotIntact):
        keeper.verify(image_id)
    with pytest.raises(FetchNotFound):
        keeper.verify(image_id)


def test_one_directory_has_one_layout(node: Node, image_id: str) -> None:
    folder = node.where / "instances"
    native = node.with_cache(cache_dir=folder / "_base")
    compat = node.with_cache(layout="compat", instances_path=folder)
    native.fetcher().fetch(image_id)
    with pytest.raises(ConfigurationError, match="images of layout native"):
        compat.fetcher().fetch(image_id)

    shutil.rmtree(folder)
    compat.fetcher().fetch(image_id)
    with pytest.raises(ConfigurationError, match="images of layout compat"):
        native.fetcher().fetch(image_id)


@pytest.mark.parametrize(("interval", "pauses"), [(7, [7, 7]), (0, [60, 60]), (-1, [])])
def test_what_is_old_goes_again_and_again(
    node: Node,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
    interval: int,
    pauses: list[int],
) -> None:
    conf = node.where / "node.conf"
    folder = node.where / "cache"
    conf.write_text(
        f"[image_cache]\ncache_dir = {folder}\nmanager_interval = {interval}\n"
    )
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt
        age(node.fetcher().fetch(image_id).path, 2 * DAY)

    clock = SimpleNamespace(sleep=sleep)
    monkeypatch.setattr("imagereg.cli.fetch_cache.time", clock)

    ended = CliRunner().invoke(cache, ["gc", "--forever", "--config", str(conf)])

    assert slept == pauses
    assert ended.stdout.count("unused") == len(pauses) // 2
    assert list(folder.glob("??/*")) == []


def test_the_commands_do_what_the_library_does(
    node: Node, shared: Server, image_id: str
) -> None:
    (node.where / "list").write_text(f"# images\n{image_id}\n\n{image_id}\nodd\n")
    where = ("--cache-dir", str(node.where / "cache"))
    service = ("--endpoint", shared.base)

    def run(group: str, *words: str) -> tuple[int, str]:
        command = {"cache": cache, "prefetch": prefetch}[group]
        done = CliRunner().invoke(command, [*words, *where])
        return done.exit_code, done.stdout

    images = str(node.where / "list")
    status, shown = run("prefetch", images, *service)
    assert (status, shown.splitlines()[0]) == (2, f"{image_id} cached")
    assert "odd error `odd` is no image id" in shown
    assert run("prefetch", images, *service)[1].startswith(f"{image_id} existing")
    assert image_id in run("cache", "list")[1]
    assert run("cache", "pin", image_id) == (0, f"{image_id} pinned\n")
    assert run("cache", "rm", image_id)[0] == 4
    assert json.loads(run("cache", "show", image_id, "--json")[1])["pinned"] is True
    assert run("cache", "unpin", image_id)[0] == 0
    assert run("cache", "verify") == (0, f"{image_id} intact\n")
    assert run("cache", "gc", "--dry-run", "--check-service", *service) == (0, "")
    assert run("cache", "rm", image_id, "--dry-run")[1].endswith("could be removed\n")
    assert run("cache", "rm", image_id) == (0, f"{image_id} removed\n")
    assert run("cache", "show", image_id)[0] == 3
