"""Nodes that share a database, each with a cache of its own; a front end before one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache.conftest import Cached, close
from tests.registry import CACHE, LocalRegistry, merged


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Cached, Cached]]:
    """Yield two nodes with one database and one store."""
    shared = {
        "database": {"connection": f"sqlite:///{tmp_path}/shared.sqlite"},
        "glance_store": {"filesystem_store_datadir": f"{tmp_path}/images"},
    }
    made = []
    for name in ("one", "two"):
        where = tmp_path / name
        where.mkdir()
        own = {"DEFAULT": {"worker_self_reference_url": f"http://{name}:9292"}}
        registry = LocalRegistry(where, merged(CACHE, shared, own))
        upkeep = registry.registry.cache
        assert upkeep is not None
        made.append(Cached(registry, upkeep))
    yield made[0], made[1]
    for node in made:
        close(node.registry)


def test_each_node_tells_which_hold_an_image(nodes: tuple[Cached, Cached]) -> None:
    one, two = nodes
    kept = one.image()
    path = f"/v2/cache/nodes/{kept.image.id}"

    before = [node.registry.admin.get(path).body for node in nodes]
    two.fill(kept)
    of_one = [node.registry.admin.get(path).body for node in nodes]
    one.fill(kept)
    of_both = [node.registry.admin.get(path).body for node in nodes]

    assert before == [b"[]"] * 2
    assert of_one == [b'["http://two:9292"]'] * 2
    assert of_both == [b'["http://one:9292","http://two:9292"]'] * 2


def test_each_node_lists_uses_and_drops_its_own_copies(
    nodes: tuple[Cached, Cached],
) -> None:
    one, two = nodes
    kept = one.image()
    two.fill(kept)
    two.read(kept)

    listed = [node.registry.admin.get("/v2/cache").json() for node in nodes]
    dropped = one.registry.admin.request("DELETE", "/v2/cache").status

    assert [len(each["cached_images"]) for each in listed] == [0, 1]
    assert listed[1]["cached_images"][0]["hits"] == 1
    assert dropped == 204
    assert two.cache.holds(kept.image)
    assert not one.cache.holds(kept.image)


def test_a_copy_goes_from_all_nodes_with_its_image(
    nodes: tuple[Cached, Cached],
) -> None:
    one, two = nodes
    kept = one.image()
    one.fill(kept)
    two.fill(kept)

    path = f"/v2/images/{kept.image.id}"
    assert one.registry.admin.request("DELETE", path).status == 204
    refused = two.registry.admin.get(f"{path}/file").status
    at_once = [(node.path / kept.image.id).exists() for node in nodes]
    two.upkeep.run(is_wanted=False)

    assert refused == 404
    assert at_once == [False, True]
    assert not (two.path / kept.image.id).exists()
    assert two.cache.books.nodes(kept.image.id) == []


def test_a_front_end_sends_copies_by_itself(tmp_path: Path) -> None:
    front = {"imagereg": {"x_accel_redirect": "{dir}/cache:/_cache/"}}
    registry = LocalRegistry(tmp_path, merged(CACHE, front))
    upkeep = registry.registry.cache
    assert upkeep is not None
    cached = Cached(registry, upkeep)
    kept = cached.image()
    cached.fill(kept)

    answer = registry.admin.get(
        f"/v2/images/{kept.image.id}/file", X_Sendfile_Type="X-Accel-Redirect"
    )

    assert answer.headers["x-accel-redirect"] == f"/_cache/{kept.image.id}"
    assert answer.body == b""
    close(registry)
