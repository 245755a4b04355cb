"""What a file store reaches and reads, and how it starts."""

import errno
import os
import stat
from pathlib import Path

import pytest

from imagereg.errors import (
    BlobExists,
    BlobNotFound,
    ConfigurationError,
    StoreFull,
    StoreUnavailable,
)
from imagereg.stores.datadir import DataDir
from imagereg.stores.driver import HasPath
from imagereg.stores.filesystem import FileOptions, FilesystemDriver
from imagereg.stores.filewriter import FileWriter
from imagereg.stores.mountpoints import Mountpoints
from tests.stores.conformance import put
from tests.stores.conftest import Make
from tests.stores.trouble import failing, listed, room

# Names and what they may reach.


def test_a_file_has_the_name_of_its_key(make: Make, home: Path) -> None:
    url = put(make(), "key", b"bytes")

    assert url == f"file://{home}/key"
    assert (home / "key").read_bytes() == b"bytes"
    assert listed(home) == [".tmp", "key"]


def test_the_other_scheme_is_understood(make: Make, home: Path) -> None:
    driver = make()
    put(driver, "key", b"bytes")

    assert driver.size(f"filesystem://{home}/key") == 5


@pytest.mark.parametrize(
    "tail",
    [
        "/../secret",
        "/./key",
        "//key",
        "/.tmp/.lock",
        "/.tmp",
        "/sub/key",
        "/",
        "",
        "/key\0",
        "/..",
        "/%2e%2e/secret",
    ],
)
def test_nothing_outside_is_reached(make: Make, home: Path, tail: str) -> None:
    driver = make()
    put(driver, "key", b"bytes")
    (home.parent / "secret").write_bytes(b"secret")
    (home / "sub").mkdir()
    (home / "sub" / "key").write_bytes(b"deep")

    for url in (f"file://{home}{tail}", f"FILE://{home}/key"):
        with pytest.raises(BlobNotFound):
            driver.open(url, 0, None)
        with pytest.raises(BlobNotFound):
            driver.delete(url)


def test_a_planted_link_is_not_followed(make: Make, home: Path) -> None:
    driver = make()
    secret = home.parent / "secret"
    secret.write_bytes(b"secret")
    (home / "key").symlink_to(secret)

    with pytest.raises(BlobNotFound):
        driver.open(f"file://{home}/key", 0, None)
    with pytest.raises(BlobNotFound):
        driver.size(f"file://{home}/key")
    with pytest.raises(BlobExists):
        put(driver, "key", b"bytes")


def test_a_replaced_link_leaves_its_target_alone(make: Make, home: Path) -> None:
    driver = make()
    secret = home.parent / "secret"
    secret.write_bytes(b"secret")
    (home / "key").symlink_to(secret)

    put(driver, "key", b"bytes", replace=True)

    assert secret.read_bytes() == b"secret"
    assert not (home / "key").is_symlink()


def test_a_linked_temporary_directory_is_refused(make: Make, home: Path) -> None:
    driver = make()
    (home.parent / "elsewhere").mkdir()
    (home / ".tmp" / ".lock").unlink()
    (home / ".tmp").rmdir()
    (home / ".tmp").symlink_to(home.parent / "elsewhere")

    with pytest.raises(StoreUnavailable):
        driver.writer("key", 0, replace=False)


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_only_ordinary_files_are_blobs(make: Make, home: Path, kind: str) -> None:
    driver = make()
    if kind == "pipe":
        os.mkfifo(home / "key")
    else:
        (home / "key").mkdir()

    with pytest.raises(BlobNotFound):
        driver.open(f"file://{home}/key", 0, None)


# Reading.


def test_a_reader_is_a_file_at_the_right_place(make: Make, home: Path) -> None:
    driver = make()
    url = put(driver, "key", b"0123456789")

    with driver.open(url, 3, 4) as reader:
        assert isinstance(reader, HasPath)
        assert reader.path == home / "key"
        assert reader.position == 3
        assert os.pread(reader.fileno(), 4, reader.position) == b"3456"
        assert b"".join(reader) == b"3456"
        assert reader.position == 7


@pytest.mark.parametrize(
    ("position", "rest"), [(3, b"3456"), (5, b"56"), (7, b""), (9, b""), (2, b"23456")]
)
def test_a_reader_that_was_moved_keeps_its_end(
    make: Make, position: int, rest: bytes
) -> None:
    driver = make()
    with driver.open(put(driver, "key", b"0123456789"), 3, 4) as reader:
        assert isinstance(reader, HasPath)

        assert reader.seek(position) == position
        assert b"".join(reader) == rest


def test_reads_chunks_of_the_configured_size(make: Make) -> None:
    driver = make(chunk_bytes=4)

    reader = driver.open(put(driver, "key", b"0123456789"), 0, None)

    assert list(reader) == [b"0123", b"4567", b"89"]


def test_a_file_that_shrank_is_no_short_answer(make: Make, home: Path) -> None:
    driver = make()
    reader = driver.open(put(driver, "key", b"0123456789"), 0, None)
    os.truncate(home / "key", 4)
    chunks = iter(reader)

    assert next(chunks) == b"0123"
    with pytest.raises(StoreUnavailable, match="too early"):
        next(chunks)


def test_a_disk_that_cannot_be_read_is_unavailable(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = make()
    reader = driver.open(put(driver, "key", b"bytes"), 0, None)
    monkeypatch.setattr(os, "pread", failing(errno.EIO))

    with pytest.raises(StoreUnavailable):
        list(reader)


def test_a_reader_that_is_dropped_closes_its_file(make: Make) -> None:
    driver = make()
    reader = driver.open(put(driver, "key", b"bytes"), 0, None)
    assert isinstance(reader, HasPath)
    descriptor = reader.fileno()

    del reader

    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


# Several directories.


def test_the_highest_priority_is_filled_first(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = make(("low", 1), ("high", 9))
    room(monkeypatch, low=10**9, high=1000)

    assert put(driver, "one", b"x") == f"file://{tmp_path}/high/one"
    assert put(driver, "two", b"x" * 2000) == f"file://{tmp_path}/low/two"


def test_inside_a_priority_the_most_room_wins(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = make(("a", 5), ("b", 5), ("c", 5))
    room(monkeypatch, a=10, b=1000, c=100)

    assert put(driver, "key", b"x") == f"file://{tmp_path}/b/key"


def test_no_room_anywhere_is_full(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = make(("a", 5), ("b", 4))
    room(monkeypatch, a=10, b=10)

    with pytest.raises(StoreFull):
        driver.writer("key", 11, replace=False)


def test_a_broken_directory_is_passed_over(
    make: Make, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    driver = make(("a", 5), ("b", 5))
    (tmp_path / "a" / ".tmp" / ".lock").unlink()
    (tmp_path / "a" / ".tmp").rmdir()

    with driver.writer("key", 0, replace=True) as writer:
        assert isinstance(writer, FileWriter)
        assert writer._upload.directory.path == tmp_path / "b"


def test_a_key_is_found_in_any_directory(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver = make(("a", 5), ("b", 5))
    room(monkeypatch, a=10, b=1000)
    put(driver, "key", b"old")
    room(monkeypatch, a=1000, b=10)

    assert driver.find("key") == f"file://{tmp_path}/b/key"
    with pytest.raises(BlobExists):
        put(driver, "key", b"new")
    url = put(driver, "key", b"new", replace=True)
    assert url == driver.find("key") == f"file://{tmp_path}/a/key"
    assert not (tmp_path / "b" / "key").exists()


def test_an_old_blob_that_cannot_be_removed_only_warns(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    driver = make(("a", 5), ("b", 5))
    room(monkeypatch, a=10, b=1000)
    put(driver, "key", b"old")
    room(monkeypatch, a=1000, b=10)
    monkeypatch.setattr(DataDir, "unlink", failing(errno.EPERM))

    put(driver, "key", b"new", replace=True)

    assert "cannot remove key" in caplog.text


# Modes and the start.


def test_mode_and_directories_follow_the_setting(make: Make, home: Path) -> None:
    home.mkdir(mode=0o700)

    put(make(mode=0o644), "key", b"bytes")

    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o644
    assert stat.S_IMODE(home.stat().st_mode) == 0o711


def test_without_a_mode_the_umask_decides(make: Make, home: Path) -> None:
    before = os.umask(0o027)
    try:
        put(make(), "key", b"bytes")
    finally:
        os.umask(before)

    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o640


def test_the_owner_must_be_able_to_read(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="owner"):
        make(mode=0o244)


def test_a_directory_that_cannot_be_made_is_reported(
    make: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=r"file/data.*\n.*file/other"):
        make(("file/data", 0), ("file/other", 0))


def test_locations_carry_their_mountpoint(tmp_path: Path) -> None:
    entry = {"id": "disk", "mountpoint": str(tmp_path)}
    options = FileOptions(((tmp_path / "data", 0),))
    driver = FilesystemDriver(options, Mountpoints((entry,)))
    driver.prepare()

    with driver.writer("key", 0, replace=False) as writer:
        location = writer.commit()

    assert location.metadata == entry


def test_a_directory_that_cannot_tell_its_room_comes_last(
    tmp_path: Path, make: Make
) -> None:
    driver = make(("lost", 0), ("sound", 0))
    (tmp_path / "lost").rename(tmp_path / "elsewhere")

    with driver.writer("key", 5, replace=True) as writer:
        writer.write(b"bytes")
        location = writer.commit()

    assert location.url == f"file://{tmp_path}/sound/key"


# Listings.


def test_a_listing_shows_ordinary_files_alone(make: Make, home: Path) -> None:
    driver = make()
    put(driver, "key", b"bytes")
    (home / "lost+found").mkdir()
    (home / ".nfs0001").write_bytes(b"of the system")
    (home / "link").symlink_to("/etc/passwd")

    listed_keys = {blob.key: blob.size for blob in driver.list_blobs()}

    assert listed_keys == {"key": 5}


def test_a_directory_that_lost_its_mount_lists_nothing_and_says_so(
    make: Make, home: Path
) -> None:
    driver = make()
    (home / ".tmp" / ".lock").unlink()
    (home / ".tmp").rmdir()

    with pytest.raises(StoreUnavailable):
        list(driver.list_blobs())


def test_the_other_scheme_is_listed_as_the_usual_one(make: Make, home: Path) -> None:
    driver = make()

    assert driver.canonical(f"filesystem://{home}/key") == f"file://{home}/key"


def test_leftovers_are_counted_without_being_removed(make: Make, home: Path) -> None:
    driver = make()
    (home / ".tmp" / "key.0123").write_bytes(b"half")

    counted = driver.sweep(pretend=True)

    assert counted == 1
    assert (home / ".tmp" / "key.0123").exists()
    assert driver.sweep() == 1
