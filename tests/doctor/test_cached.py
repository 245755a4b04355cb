"""The doctor looks at the image cache of the node too."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from imagereg.cli import main
from tests.cache.conftest import close
from tests.registry import CACHE, LocalRegistry
from tests.server import eventually

DATA = b"the bytes of an image" * 1000


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    made = LocalRegistry(tmp_path, CACHE)
    yield made
    close(made)


def cached(registry: LocalRegistry) -> Path:
    """Return the file of an image that the cache holds."""
    alice = registry.client()
    image_id = str(alice.create()["id"])
    alice.upload(image_id, DATA)
    assert alice.download(image_id).body == DATA
    held = [{"image_id": image_id}]

    def is_held() -> bool:
        shown = registry.admin.get("/v2/cache").json()["cached_images"]
        return [{"image_id": each["image_id"]} for each in shown] == held

    assert eventually(is_held)
    return registry.where / "cache" / image_id


def run(registry: LocalRegistry, *arguments: str) -> tuple[int, str]:
    conf = registry.where / "imagereg.conf"
    command = ["store", *arguments, "--config", str(conf)]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    return result.exit_code, result.output


def test_a_good_copy_is_read_and_stays(registry: LocalRegistry) -> None:
    path = cached(registry)
    status, said = run(registry, "verify")
    assert (status, "2 objects read" in said) == (0, True)
    assert run(registry, "gc")[0] == 0
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("damage", [b"other" + DATA[5:], DATA[:-1], b""])
def test_a_bad_copy_is_found_and_goes_only_if_wanted(
    registry: LocalRegistry, damage: bytes
) -> None:
    path = cached(registry)
    path.write_bytes(damage)

    status, said = run(registry, "verify", "--json")
    assert (status, f'"subject": "{path.name}"' in said) == (1, True)
    assert path.read_bytes() == damage

    assert run(registry, "verify", "--fix")[0] == 0
    assert not path.exists()
    assert run(registry, "verify")[0] == 0
    assert registry.client().download(path.name).body == DATA


def test_what_failed_is_told_and_removed_only_if_wanted(
    registry: LocalRegistry,
) -> None:
    path = cached(registry)
    failed = path.parent / "invalid" / f"{path.name}.{'0' * 16}"
    failed.write_bytes(b"half")

    status, said = run(registry, "gc")
    assert (status, "cached data" in said) == (1, True)
    assert failed.exists()

    assert run(registry, "gc", "--fix")[0] == 0
    assert not failed.exists()
    assert path.exists()


def test_one_store_alone_is_not_the_cache(registry: LocalRegistry) -> None:
    path = cached(registry)
    path.write_bytes(b"damage")
    assert run(registry, "verify", "--store", "file")[0] == 0
