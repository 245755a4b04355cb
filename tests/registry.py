"""A registry in this process, for tests where the parsing of HTTP is not the matter."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from imagereg.app import create_app
from imagereg.settings import load_settings
from tests import databases
from tests.server import Config, render
from tests.wire import ADMIN, Answer, Client, Document, Headers

#: Two file stores, so that routes which need several answer too, and the web.
SEVERAL_STORES: Config = {
    "DEFAULT": {"enabled_backends": "fast:file, cheap:file, web:http"},
    "glance_store": {
        "stores": None,
        "default_store": None,
        "filesystem_store_datadir": None,
        "default_backend": "fast",
    },
    "fast": {"filesystem_store_datadir": "{dir}/images/fast"},
    "cheap": {"filesystem_store_datadir": "{dir}/images/cheap"},
}

#: The cache of image data is on.
CACHE: Config = {"DEFAULT": {"image_cache_dir": "{dir}/cache"}}

#: Nothing here has to survive the machine.
_HASTE: Config = {
    "database": {"sqlite_synchronous": "off"},
    "imagereg": {"upload_fsync": "false"},
    "glance_store": {"filesystem_store_datadir": "{dir}/images"},
}


@dataclass(frozen=True)
class Everything:
    """All that a registry keeps, for comparison."""

    rows: Mapping[str, list[tuple[object, ...]]]
    files: Mapping[str, bytes]


def merged(*configs: Config) -> Config:
    """Return the options of all; later ones win."""
    result: dict[str, dict[str, object]] = {}
    for config in configs:
        for section, options in config.items():
            result.setdefault(section, {}).update(options)
    return result


class LocalRegistry:
    """A whole registry below its own directory, without a server."""

    def __init__(
        self,
        where: Path,
        config: Config | None = None,
        *,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.where = where
        for name, text in (files or {}).items():
            (where / name).write_text(text)
        conf = where / "imagereg.conf"
        conf.write_text(render(merged(_HASTE, config or {}), where))
        self.settings = load_settings([conf], environ={})
        self.registry = create_app(self.settings)
        self.admin = self.client(ADMIN)

    def client(self, headers: Headers | None = None) -> "LocalClient":
        """Return a client that speaks for the caller of ``headers`` (see `as_`)."""
        return LocalClient(self.registry.app, headers)

    def close(self) -> None:
        """Close this thread's connection to the database."""
        self.registry.engine.close()

    def everything(self) -> Everything:
        """Return every row of every table, and every file of every store."""
        rows = databases.everything(self.where)
        return Everything(rows, dict(self.blobs()))

    def blobs(self) -> Iterator[tuple[str, bytes]]:
        """Yield name and bytes of every file with image data, finished or not."""
        for folder in (self.where / "images", self.where / "state" / "staging"):
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.name != ".lock":
                    yield str(path.relative_to(self.where)), path.read_bytes()


class LocalClient(Client):
    """One caller's conversation with a registry in this process.

    Attributes:
        peer: the socket address that requests seem to come from.
    """

    def __init__(
        self, app: Flask, headers: Headers | None = None, peer: str = "127.0.0.1"
    ) -> None:
        super().__init__("http://localhost", headers)
        self._app = app
        self.peer = peer

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: Headers | None = None,
        document: object = None,
    ) -> Answer:
        """Send one request and return its answer; a fault of ours fails the test."""
        sent = {"Accept": "*/*", **self.headers}
        if document is not None:
            body = json.dumps(document).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        environ: dict[str, object] = {"REMOTE_ADDR": self.peer}
        if body is not None and not isinstance(body, bytes):
            sent["Transfer-Encoding"] = "chunked"
            environ |= {"wsgi.input": Pieces(body), "CONTENT_LENGTH": ""}
            body = None
        reply = self._app.test_client(use_cookies=False).open(
            path,
            method=method,
            headers=list(sent.items()),
            data=body,
            environ_overrides=environ,
            buffered=True,
        )
        assert reply.status_code != 500, f"{method} {path} met a fault of ours"
        found: dict[str, str] = {}
        for name, value in reply.headers.items():
            key = name.lower()
            found[key] = f"{found[key]}, {value}" if key in found else value
        return Answer(reply.status_code, found, reply.data)

    def patch(self, image_id: str, *operations: Document) -> Answer:
        """Send a PATCH in the newer dialect."""
        return self.request(
            "PATCH",
            f"/v2/images/{image_id}",
            body=json.dumps(operations).encode(),
            headers=PATCH,
        )


PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


class Pieces:
    """A request body that comes in pieces; whatever makes them runs in between."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int = -1) -> bytes:
        """Return the next piece, whatever its size."""
        return next(self._pieces, b"")

    def close(self) -> None:
        """Do nothing: the pieces are somebody else's."""


def add(name: str, value: object) -> Document:
    """Return an ``add`` of the newer PATCH dialect."""
    return {"op": "add", "path": f"/{name}", "value": value}


def replace(name: str, value: object) -> Document:
    """Return a ``replace`` of the newer PATCH dialect."""
    return {"op": "replace", "path": f"/{name}", "value": value}


def remove(name: str) -> Document:
    """Return a ``remove`` of the newer PATCH dialect."""
    return {"op": "remove", "path": f"/{name}"}
