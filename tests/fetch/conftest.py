"""A real service with a store that nodes share, and nodes that fetch from it."""

import hashlib
import json
import random
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from imagereg.fetch import Choices, FetchConfig, Fetcher, FixedAuth
from imagereg.fetch.config import CacheSection, FileSystem, GlanceSection
from tests import databases
from tests.mounts import SHARING as SHARING_VOLUMES
from tests.mounts import sharing
from tests.server import PROGRAM, Config, Server
from tests.wire import Headers, as_

MIB = 1024 * 1024
DATA = random.Random(8).randbytes(5 * MIB + 4321)

#: Members see locations, and the store tells which file system they are on.
SHARING: Config = {
    "DEFAULT": {"show_multiple_locations": "true"},
    "glance_store": {"filesystem_store_metadata_file": "{dir}/etc/metadata.json"},
    "imagereg": {"certificates_dir": "{dir}/etc"},
    "paste_deploy": {"flavor": None},
}
METADATA = json.dumps({"id": "fs-1", "mountpoint": "{dir}/state/images"})


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server whose store other machines have mounted."""
    where = tmp_path_factory.mktemp("shared")
    databases.keep(where)
    running = Server(where, SHARING, files={"metadata.json": METADATA})
    running.start()
    yield running
    running.stop()


def upload(server: Server, data: bytes = DATA, **fields: object) -> str:
    """Return the id of a new image."""
    return upload_as(server, as_(), data, **fields)


def upload_as(server: Server, headers: Headers, data: bytes, **fields: object) -> str:
    """Return the id of a new image of the caller whom the headers name."""
    client = server.client(headers)
    image_id: str = client.create(**fields)["id"]
    assert client.upload(image_id, data).status == 204
    return image_id


@dataclass(frozen=True)
class Node:
    """A compute node below its own directory."""

    where: Path
    server: Server
    config: FetchConfig = field(default_factory=FetchConfig)

    @classmethod
    def of(cls, where: Path, server: Server) -> "Node":
        config = FetchConfig(
            glance=GlanceSection(endpoint_override=server.base),
            cache=CacheSection(cache_dir=where / "cache", lock_timeout=300),
        )
        return cls(where, server, config)

    def with_cache(self, **options: Any) -> "Node":  # noqa: ANN401 - a dataclass checks them
        cache = replace(self.config.cache, **options)
        return replace(self, config=replace(self.config, cache=cache))

    def with_service(self, *endpoints: str, **options: Any) -> "Node":  # noqa: ANN401 - a dataclass checks them
        glance = GlanceSection(api_servers=endpoints, **options)
        return replace(self, config=replace(self.config, glance=glance))

    def sharing(self, **options: Any) -> "Node":  # noqa: ANN401 - a dataclass checks them
        """Return the node with the store's file system mounted."""
        images = self.server.images_dir
        values = {"id": "fs-1", "mountpoint": images, "readonly_check": False}
        filesystem = FileSystem(**{**values, **options})
        return replace(self, config=replace(self.config, filesystems=(filesystem,)))

    def fetcher(self, **choices: Any) -> Fetcher:  # noqa: ANN401 - a dataclass checks them
        return Fetcher(self.config, FixedAuth(as_()), Choices(**choices))

    @property
    def dest(self) -> Path:
        return self.where / "disk"

    def litter(self) -> list[str]:
        """Return every file that is no published image and no lock."""
        return [
            path.name
            for path in self.where.rglob("*")
            if path.name.endswith((".part", ".part.json", ".converted", ".new"))
        ]

    def command(
        self, *words: str, preexec: Callable[[], None] | None = None
    ) -> "subprocess.Popen[str]":
        """Start the real command."""
        return subprocess.Popen(
            [str(PROGRAM.with_name("imagereg-fetch")), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=self.where,
            preexec_fn=preexec,
        )


@pytest.fixture
def node(shared: Server, tmp_path: Path) -> Node:
    return Node.of(tmp_path, shared)


@pytest.fixture(scope="session", params=SHARING_VOLUMES)
def volume(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Yield a file system where files can share blocks."""
    with sharing(request.param, tmp_path_factory.mktemp("volume")) as root:
        yield root


def blob(server: Server, image_id: str) -> Path:
    """Return where the store has the bytes of an image."""
    return server.images_dir / image_id


def sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


Change = Callable[[Path], object]
