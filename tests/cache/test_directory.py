"""The files of the cache, and who may rename them.  Source: contract stores 8."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imagereg.cache.directory import CacheDirectory, Claim
from imagereg.cache.filling import Follower
from imagereg.errors import ConfigurationError
from tests.cache.remote import Remote

IMAGE = "11111111-2222-4333-8444-555555555555"
DIGEST = "sha512:00"
DATA = os.urandom(200_000)

#: Begins a copy, writes so many bytes of it, says so, and waits to be killed.
MAKER = """
import os, sys
from pathlib import Path
from imagereg.cache.directory import CacheDirectory
path, locks, count = sys.argv[1:]
claim = CacheDirectory(Path(path), Path(locks)).claim({image!r}, {digest!r})
os.write(claim.writer, sys.stdin.buffer.read(int(count)))
print("written", flush=True)
sys.stdin.buffer.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> CacheDirectory:
    made = CacheDirectory(tmp_path / "cache", tmp_path / "locks")
    made.prepare()
    return made


def nothing() -> None:
    """Enter nothing into no books."""


def close(*claims: Claim) -> None:
    """Let go of claims."""
    for claim in claims:
        os.close(claim.reader)
        if claim.writer is not None:
            os.close(claim.writer)


@contextmanager
def maker(directory: CacheDirectory, count: int) -> Iterator[Callable[[], None]]:
    """Run a process that makes a copy; yield what kills it."""
    process = subprocess.Popen(
        (
            *(sys.executable, "-c", MAKER.format(image=IMAGE, digest=DIGEST)),
            *(str(directory.path), str(directory.path.parent / "locks"), str(count)),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def kill() -> None:
        process.kill()
        process.wait()

    with process, process.stdin, process.stdout:
        process.stdin.write(DATA[:count])
        process.stdin.flush()
        assert process.stdout.readline() == b"written\n"
        yield kill
        kill()


def test_one_of_two_makes_a_copy(directory: CacheDirectory) -> None:
    first, second = (directory.claim(IMAGE, DIGEST) for _ in range(2))

    assert first.writer is not None
    assert second.writer is None
    os.write(first.writer, b"growing")
    assert os.pread(second.reader, 100, 0) == b"growing"
    close(first, second)


def test_other_data_are_another_copy(directory: CacheDirectory) -> None:
    first, second = directory.claim(IMAGE, DIGEST), directory.claim(IMAGE, "sha512:11")

    assert first.writer is not None
    assert second.writer is not None
    close(first, second)


def test_another_process_makes_it(directory: CacheDirectory) -> None:
    with maker(directory, 1000):
        claim = directory.claim(IMAGE, DIGEST)

        assert claim.writer is None
        assert os.pread(claim.reader, 2000, 0) == DATA[:1000]
        close(claim)


@pytest.mark.parametrize("count", [0, 1, 100_000])
def test_who_follows_a_process_that_is_killed_reads_the_store(
    directory: CacheDirectory, count: int
) -> None:
    remote = Remote(DATA)
    with maker(directory, count) as kill:
        claim = directory.claim(IMAGE, DIGEST)
        follower = Follower(claim.reader, len(DATA), remote.open)
        pieces = iter(follower)
        begin = next(pieces) if count else b""
        kill()
        rest = b"".join(pieces)
        follower.close()

    assert begin + rest == DATA
    assert remote.opened == [count]
    assert remote.closed == 1


@pytest.mark.parametrize("count", [0, 1, 100_000])
def test_remains_of_a_process_that_was_killed_begin_anew(
    directory: CacheDirectory, count: int
) -> None:
    with maker(directory, count) as kill:
        follower = directory.claim(IMAGE, DIGEST)
        kill()

    claim = directory.claim(IMAGE, DIGEST)

    assert claim.writer is not None
    assert os.fstat(claim.writer).st_size == 0
    # Whoever reads the remains still has them.
    assert os.pread(follower.reader, len(DATA), 0) == DATA[:count]
    assert directory.publish(claim, nothing)
    assert directory.open(IMAGE) is not None
    close(claim, follower)


def test_a_finished_copy_is_there_at_once_or_not(directory: CacheDirectory) -> None:
    claim = directory.claim(IMAGE, DIGEST)
    assert claim.writer is not None
    os.write(claim.writer, DATA)
    seen: list[int | None] = []

    before = directory.open(IMAGE)
    published = directory.publish(claim, lambda: seen.append(directory.open(IMAGE)))

    assert (before, published, seen) == (None, True, [None])
    assert directory.file(IMAGE).read_bytes() == DATA
    close(claim)


def test_no_file_has_the_name_when_the_books_cannot_be_written(
    directory: CacheDirectory,
) -> None:
    directory.file(IMAGE).write_bytes(b"former data")
    claim = directory.claim(IMAGE, DIGEST)

    def fail() -> None:
        raise RuntimeError("no books")

    with pytest.raises(RuntimeError):
        directory.publish(claim, fail)

    assert directory.open(IMAGE) is None
    close(claim)


def test_a_copy_that_was_dropped_is_neither_published_nor_kept(
    directory: CacheDirectory,
) -> None:
    first = directory.claim(IMAGE, DIGEST)
    directory.remove(IMAGE, nothing)
    second = directory.claim(IMAGE, DIGEST)

    published = directory.publish(first, nothing)
    directory.reject(first, keep=True)

    assert not published
    assert second.writer is not None
    assert list((directory.path / "invalid").iterdir()) == []
    assert directory.publish(second, nothing)
    close(first, second)


def test_removing_tells_how_much(directory: CacheDirectory) -> None:
    directory.file(IMAGE).write_bytes(b"12345")
    struck: list[bool] = []

    sizes = [directory.remove(IMAGE, lambda: struck.append(True)) for _ in range(2)]

    assert sizes == [5, 0]
    assert struck == [True, True]


def test_what_is_removed_leaves_others_alone(directory: CacheDirectory) -> None:
    other = IMAGE.replace("1", "9")
    claim = directory.claim(other, DIGEST)
    directory.file(other).write_bytes(b"other")

    directory.remove(IMAGE, nothing)

    assert directory.file(other).exists()
    assert directory.publish(claim, nothing)
    close(claim)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "queue", "../cache", "a/b", IMAGE + "x", IMAGE + "\n"]
)
def test_only_ids_of_images_name_files(directory: CacheDirectory, name: str) -> None:
    for use in (directory.open, directory.enqueue, directory.dequeue, directory.file):
        with pytest.raises(ValueError, match="no image id"):
            use(name)
    with pytest.raises(ValueError, match="no image id"):
        directory.claim(name, DIGEST)
    with pytest.raises(ValueError, match="no image id"):
        directory.remove(name, nothing)


def test_others_cannot_look_into_the_cache(directory: CacheDirectory) -> None:
    claim = directory.claim(IMAGE, DIGEST)
    directory.publish(claim, nothing)

    assert directory.path.stat().st_mode & 0o027 == 0
    assert directory.file(IMAGE).stat().st_mode & 0o137 == 0
    close(claim)


def test_a_directory_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    for path, locks in (("file/cache", "locks"), ("cache", "file/locks")):
        with pytest.raises(ConfigurationError, match="image_cache_dir"):
            CacheDirectory(tmp_path / path, tmp_path / locks).prepare()


def test_caches_of_one_machine_do_not_share_locks(tmp_path: Path) -> None:
    one, two = (
        CacheDirectory(tmp_path / name, tmp_path / "locks") for name in ("a", "b")
    )
    one.prepare()

    with one.alone("x") as first, two.alone("x") as second, one.alone("x") as third:
        assert (first, second, third) == (True, True, False)
