from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.stores.mountpoints import Mountpoints, load_mountpoints

FILE = Path("/data/img/disk1/key")


def entry(name: str, mountpoint: str) -> dict[str, str]:
    return {"id": name, "mountpoint": mountpoint}


@pytest.mark.parametrize(
    ("mountpoints", "name"),
    [
        (["/data/img"], "/data/img"),
        (["/data/img/"], "/data/img/"),
        (["/data", "/data/img", "/data/img/disk1"], "/data/img/disk1"),
        (["/data/img/disk1", "/data"], "/data/img/disk1"),  # the longest first
        (["/data/im"], None),  # whole names only
        (["/data/img/disk"], None),
        (["/"], "/"),
        (["data"], None),
        ([], None),
    ],
)
def test_the_longest_mountpoint_wins(mountpoints: list[str], name: str | None) -> None:
    entries = tuple(entry(path, path) for path in mountpoints)

    assert Mountpoints(entries).describe(FILE).get("id") == name


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "a", "mountpoint": "/data", "more": [1]}',
        '[{"id": "a", "mountpoint": "/data", "more": [1]}]',
    ],
)
def test_reads_one_entry_or_many(tmp_path: Path, text: str) -> None:
    file = tmp_path / "metadata.json"
    file.write_text(text)

    found = load_mountpoints(file).describe(FILE)

    assert found == {"id": "a", "mountpoint": "/data", "more": [1]}


@pytest.mark.parametrize(
    "text",
    ["", "{", "3", "[3]", "{}", '{"id": "a"}', '{"id": 1, "mountpoint": "/"}', "\xff"],
)
def test_refuses_what_it_cannot_use(tmp_path: Path, text: str) -> None:
    file = tmp_path / "metadata.json"
    file.write_bytes(text.encode("latin-1"))

    with pytest.raises(ConfigurationError, match=r"metadata\.json"):
        load_mountpoints(file)


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_mountpoints(tmp_path / "missing.json")
