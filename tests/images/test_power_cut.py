"""What a power cut may take: nothing that was acknowledged.

The system calls that make bytes durable, and the commits, are recorded with what the
disk would hold after each of them at worst: contents as they were at the last sync
of the file, names as they were at the last sync of the directory, rows as they were
at the last commit.  Whenever the power goes, a row finds its bytes.

Source: contract stores S-1; house rule on rows and bytes.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagereg.db.engine import Engine
from tests.registry import LocalRegistry

DATA = os.urandom(300_000)
HEADERS = {"Content-Type": "application/octet-stream"}
DURABLE = {
    "database": {"sqlite_synchronous": "true"},
    "imagereg": {"upload_fsync": "true"},
    "DEFAULT": {"enabled_import_methods": "[glance-direct]"},
}


class Disk:
    """What a disk below a directory holds for certain."""

    def __init__(
        self, patch: pytest.MonkeyPatch, top: Path, rows: Callable[[], int]
    ) -> None:
        self._top = top
        self._rows = rows
        self._synced: dict[int, bytes] = {}
        self.files: dict[str, bytes] = {}
        self.cuts: list[tuple[str, dict[str, bytes], int]] = []
        fsync, fdatasync, rename = os.fsync, os.fdatasync, os.rename
        transaction = Engine.transaction

        def record_sync(real: Callable[[int], None]) -> Callable[[int], None]:
            def sync(descriptor: int) -> None:
                real(descriptor)
                self._sync(descriptor)

            return sync

        def record_rename(*names: str, **handles: int) -> None:
            rename(*names, **handles)  # type: ignore[arg-type] # passed through
            self._cut(f"rename {names[1]}")

        def record_commit(engine: Engine, *patience_s: float) -> object:
            inner = transaction(engine, *patience_s)

            class Recorded:
                def __enter__(self) -> object:
                    return inner.__enter__()

                def __exit__(outer, *error: object) -> object:  # noqa: N805 - two selves
                    result = inner.__exit__(*error)  # type: ignore[arg-type] # passed through
                    self._cut("commit")
                    return result

            return Recorded()

        patch.setattr(os, "fsync", record_sync(fsync))
        patch.setattr(os, "fdatasync", record_sync(fdatasync))
        patch.setattr(os, "rename", record_rename)
        patch.setattr(Engine, "transaction", record_commit)

    def _sync(self, descriptor: int) -> None:
        facts = os.fstat(descriptor)
        if stat.S_ISREG(facts.st_mode):
            path = Path(f"/proc/self/fd/{descriptor}")
            self._synced[facts.st_ino] = path.read_bytes()
            self._cut("data synced")
            return
        here = Path(f"/proc/self/fd/{descriptor}").readlink()
        if here.is_relative_to(self._top):
            for entry in os.scandir(here):
                if entry.is_file(follow_symlinks=False):
                    # At worst nothing of a file that was never synced is there.
                    self.files[entry.path] = self._synced.get(entry.inode(), b"")
            self._cut("names synced")

    def _cut(self, event: str) -> None:
        """Note what would be left if the power went now."""
        self.cuts.append((event, dict(self.files), self._rows()))


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    made = LocalRegistry(tmp_path, DURABLE)
    yield made
    made.close()


def pieces() -> Iterator[bytes]:
    for start in range(0, len(DATA), 50_000):
        yield DATA[start : start + 50_000]


@pytest.mark.parametrize("way", ["sized", "chunked", "staged"])
def test_a_power_cut_at_any_moment_leaves_each_row_its_bytes(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    image_id = str(registry.admin.create()["id"])
    table = "staged_parts" if way == "staged" else "image_locations"
    sql = f"SELECT COUNT(*) FROM {table} WHERE url IS NOT NULL"
    engine = registry.registry.engine
    disk = Disk(monkeypatch, registry.where, lambda: int(str(engine.rows(sql)[0][0])))
    path = f"/v2/images/{image_id}/{'stage' if way == 'staged' else 'file'}"
    body = pieces() if way == "chunked" else DATA

    answer = registry.admin.request("PUT", path, body=body, headers=HEADERS)
    monkeypatch.undo()

    assert answer.status == 204
    assert disk.cuts[-1][2] == 1
    for event, files, rows in disk.cuts:
        held = [data for name, data in files.items() if image_id in name]
        # No row without its bytes, and no name with a part of them.
        assert held == [DATA] or (not held and not rows), event
    order = list(dict.fromkeys(event.split(" ")[0] for event, *_ in disk.cuts))
    assert {"data", "rename", "names", "commit"} <= set(order)
    assert order.index("data") < order.index("rename") < order.index("names")


def test_without_syncs_the_model_finds_rows_without_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = LocalRegistry(tmp_path, {"imagereg": {"upload_fsync": "false"}})
    image_id = str(registry.admin.create()["id"])
    engine = registry.registry.engine
    sql = "SELECT COUNT(*) FROM image_locations"
    disk = Disk(monkeypatch, tmp_path, lambda: int(str(engine.rows(sql)[0][0])))

    answer = registry.admin.upload(image_id, DATA)
    monkeypatch.undo()
    registry.close()

    assert answer.status == 204
    assert (disk.cuts[-1][1], disk.cuts[-1][2]) == ({}, 1)
