"""What was verified when its blocks were shared first, and is not read again."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.fetch.upkeep import Upkeep
from tests.fetch.conftest import DATA, MIB, Node, upload
from tests.server import Server

Marked = tuple[Node, str, Path]

#: What does not depend on how blocks are shared is shown of one file system.
on_one = pytest.mark.parametrize("volume", ["xfs"], indirect=True)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files count as settled as soon as they are written."""
    monkeypatch.setattr("imagereg.fetch.marks.SETTLED_NS", 0)


@pytest.fixture
def marked(volume: Path, shared: Server, tmp_path: Path) -> Marked:
    """Return a node, an image, and its file where blocks can be shared."""
    image_id = upload(shared)
    where = volume / image_id
    (where / "store").mkdir(parents=True)
    copy = where / "store" / image_id
    copy.write_bytes(DATA)
    return Node.of(where, shared).sharing(mountpoint=copy.parent), image_id, copy


def read_bytes(work: Callable[[], object]) -> int:
    """Return how many bytes this process reads while it works."""

    def count() -> int:
        lines = Path("/proc/self/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in lines)["rchar"])

    before = count()
    work()
    return count() - before


def fetch(node: Node, image_id: str) -> str:
    result = node.fetcher().fetch(image_id, node.dest)
    assert result.verified
    assert node.dest.read_bytes() == DATA
    return result.source


@pytest.mark.usefixtures("at_once")
def test_what_was_verified_once_is_not_read_again(marked: Marked) -> None:
    node, image_id, _ = marked
    fetcher = node.fetcher(direct="only")

    first, second = (
        read_bytes(lambda: fetcher.fetch(image_id, node.dest)) for _ in range(2)
    )

    assert first > len(DATA)
    assert second < len(DATA) - MIB
    assert fetch(node, image_id) == "direct"
    assert node.litter() == []


@on_one
@pytest.mark.usefixtures("at_once")
def test_a_change_is_seen_whatever_its_time_says(marked: Marked) -> None:
    node, image_id, copy = marked
    assert fetch(node, image_id) == "direct"
    before = copy.stat()

    with copy.open("r+b") as file:
        file.write(b"!")
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert fetch(node, image_id) == "http"


@on_one
@pytest.mark.usefixtures("at_once")
def test_another_file_of_the_name_is_seen(marked: Marked) -> None:
    node, image_id, copy = marked
    assert fetch(node, image_id) == "direct"
    other = copy.with_suffix(".new")

    other.write_bytes(DATA[::-1])
    other.replace(copy)

    assert fetch(node, image_id) == "http"


@on_one
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    ("depth", "age_s", "is_read"),
    [
        ("never", 9 * 86400, False),
        ("size", 9 * 86400, False),
        ("daily", 3600, False),
        ("daily", 2 * 86400, True),
        ("always", 0, True),
    ],
)
def test_a_mark_counts_as_long_as_configured(
    marked: Marked, depth: str, age_s: int, is_read: bool
) -> None:
    node, image_id, _ = marked
    node = node.with_cache(verify_on_hit=depth)
    fetch(node, image_id)
    path = node.where / "cache" / ".verified" / f"{image_id}.json"
    mark = json.loads(path.read_text())
    path.write_text(json.dumps({**mark, "verified_at": mark["verified_at"] - age_s}))
    fetcher = node.fetcher(direct="only")

    count = read_bytes(lambda: fetcher.fetch(image_id, node.dest))

    assert (count > len(DATA)) is is_read


@on_one
@pytest.mark.usefixtures("at_once")
def test_a_mark_that_says_nothing_is_none(marked: Marked) -> None:
    node, image_id, _ = marked
    fetch(node, image_id)
    path = node.where / "cache" / ".verified" / f"{image_id}.json"
    timeless = {**json.loads(path.read_text()), "verified_at": "now"}
    fetcher = node.fetcher(direct="only")

    for odd in ("{", "[]", "{}", json.dumps(timeless)):
        path.write_text(odd)
        assert read_bytes(lambda: fetcher.fetch(image_id, node.dest)) > len(DATA)


@on_one
def test_a_file_that_has_just_changed_is_not_marked(
    marked: Marked, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, image_id, _ = marked
    monkeypatch.setattr("imagereg.fetch.marks.SETTLED_NS", 3600 * 10**9)

    assert fetch(node, image_id) == "direct"

    assert not (node.where / "cache").exists()


@on_one
@pytest.mark.usefixtures("at_once")
def test_without_a_place_for_marks_all_is_as_before(marked: Marked) -> None:
    node, image_id, _ = marked
    (node.where / "cache").write_text("no folder")

    assert [fetch(node, image_id) for _ in range(2)] == ["direct", "direct"]


@on_one
@pytest.mark.usefixtures("at_once")
def test_marks_that_nobody_asks_for_go(marked: Marked) -> None:
    node, image_id, _ = marked
    fetch(node, image_id)
    path = node.where / "cache" / ".verified" / f"{image_id}.json"
    os.utime(path, (0, 0))
    fetch(node, image_id)  # A mark that served is used.
    keeper = Upkeep(node.config.cache)

    keeper.collect()
    assert path.exists()
    os.utime(path, (0, 0))
    keeper.collect(dry_run=True)
    assert path.exists()
    keeper.collect()
    assert not path.exists()
