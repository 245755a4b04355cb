"""Which file a location stands for on a node, and what is never opened."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.fetch.config import FileSystem
from imagereg.fetch.direct import NotHere, Place, opened, translate

HERE = (FileSystem("fs-1", Path("/mnt/images")), FileSystem("fs-2", Path("/mnt/b")))
SCHEMES = ("file", "filesystem")


def where(url: str, fs_id: object = "fs-1", root: object = "/srv/img") -> list[str]:
    metadata = {"id": fs_id, "mountpoint": root}
    places = translate(url, metadata, HERE, SCHEMES)
    return [str(place.mountpoint.joinpath(*place.parts)) for place in places]


@pytest.mark.parametrize(
    ("url", "root", "path"),
    [
        ("file:///srv/img/a", "/srv/img", "/mnt/images/a"),
        ("file:///srv/img/x/a", "/srv/img/", "/mnt/images/x/a"),
        ("filesystem:///srv/img/a", "/srv", "/mnt/images/img/a"),
        ("file:///srv/img/a b%20c", "/srv/img", "/mnt/images/a b%20c"),
        ("file:///a", "/", "/mnt/images/a"),
        ("file:///srv/./img//a", "/srv/img", "/mnt/images/a"),
    ],
)
def test_a_location_is_found_below_the_mountpoint(
    url: str, root: str, path: str
) -> None:
    assert where(url, root=root) == [path]


@pytest.mark.parametrize(
    ("url", "fs_id", "root"),
    [
        pytest.param("file:///srv/img2/a", "fs-1", "/srv/img", id="mere text prefix"),
        pytest.param("file:///srv/img", "fs-1", "/srv/img", id="the mountpoint itself"),
        pytest.param("file:///srv/img/../a", "fs-1", "/srv/img", id="dots"),
        pytest.param("file:///srv/img/a", "fs-1", "/srv/../srv/img", id="dots above"),
        pytest.param("file://srv/img/a", "fs-1", "/srv/img", id="host"),
        pytest.param("http:///srv/img/a", "fs-1", "/srv/img", id="scheme"),
        pytest.param("/srv/img/a", "fs-1", "/srv/img", id="no scheme"),
        pytest.param("file:///srv/img/a", "fs-9", "/srv/img", id="unknown id"),
        pytest.param("file:///srv/img/a", None, "/srv/img", id="no id"),
        pytest.param("file:///srv/img/a", "fs-1", None, id="no mountpoint"),
        pytest.param("file:///srv/img/a", ["fs-1"], "/srv/img", id="odd id"),
        pytest.param("file:///srv/img/a\0b", "fs-1", "/srv/img", id="zero byte"),
        pytest.param("file:///srv/img/a", "fs-1", "srv/img", id="relative"),
    ],
)
def test_other_locations_are_not_here(url: str, fs_id: object, root: object) -> None:
    with pytest.raises(NotHere):
        where(url, fs_id, root)


def test_the_longest_mountpoint_is_tried_first() -> None:
    several = (
        FileSystem("fs-1", Path("/mnt")),
        FileSystem("fs-1", Path("/mnt/deep/er")),
        FileSystem("fs-1", Path("/mnt/deep")),
    )
    metadata = {"id": "fs-1", "mountpoint": "/srv"}

    places = translate("file:///srv/a", metadata, several, SCHEMES)

    depths = [len(place.mountpoint.parts) for place in places]
    assert depths == sorted(depths, reverse=True)


NAMES = st.lists(
    st.sampled_from(["..", ".", "", "a", "srv", "img", "img2", "%2e%2e", "..."]),
    max_size=6,
)


@given(path=NAMES, root=NAMES)
def test_no_location_leads_out_of_the_mountpoint(
    path: list[str], root: list[str]
) -> None:
    url, above = "file:///" + "/".join(path), "/" + "/".join(root)
    try:
        (found,) = where(url, root=above)
    except NotHere:
        return

    assert os.path.normpath(found).startswith("/mnt/images/")
    assert ".." not in Path(found).parts
    # What lies there is what lay at the same place below the store's mountpoint.
    below = os.path.relpath(found, "/mnt/images")
    there = os.path.normpath(f"{above}/{below}")
    assert there.lstrip("/") == os.path.normpath(url[7:]).lstrip("/")


@pytest.mark.parametrize("parts", [("secret",), ("folder", "secret"), ("up", "secret")])
def test_no_link_is_followed(tmp_path: Path, parts: tuple[str, ...]) -> None:
    outside, mount = tmp_path / "outside", tmp_path / "mnt"
    (mount / "folder").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_bytes(b"12345")
    (mount / "secret").symlink_to(outside / "secret")
    (mount / "folder" / "secret").symlink_to("../../outside/secret")
    (mount / "up").symlink_to(outside)

    with (
        pytest.raises(NotHere, match="stands in the way"),
        opened(Place(mount, parts), 5),
    ):
        pytest.fail("it was opened")
