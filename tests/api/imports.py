"""What tests of imports share: a registry of three stores, and ways to break one."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import databases
from tests.registry import LocalRegistry, merged
from tests.server import Config
from tests.stores.web import Web
from tests.wire import Answer, Document, Headers

DATA = bytes(range(256)) * 500

BYTES = {"Content-Type": "application/octet-stream"}

STORES: Config = {
    "DEFAULT": {
        "enabled_backends": "fast:file, cheap:file, slow:file, web:http",
        "enabled_import_methods": "[glance-direct,web-download,copy-image]",
    },
    "glance_store": {
        "stores": None,
        "default_store": None,
        "filesystem_store_datadir": None,
        "default_backend": "fast",
    },
    **{
        name: {"filesystem_store_datadir": f"{{dir}}/images/{name}"}
        for name in ("fast", "cheap", "slow")
    },
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"},
}

SINGLE: Config = {"import_filtering_opts": STORES["import_filtering_opts"]}


def with_parallel(number: int) -> Config:
    """Return `STORES`, of which so many are filled at a time."""
    return merged(STORES, {"image_import_opts": {"max_parallel_stores": str(number)}})


class Importing:
    """One image that is imported.

    Attributes:
        id: of the image.
    """

    def __init__(self, registry: LocalRegistry, **fields: object) -> None:
        self.registry = registry
        self.alice = registry.client()
        self.id = str(self.alice.create(**fields)["id"])

    def stage(self, data: bytes = DATA) -> "Importing":
        path = f"/v2/images/{self.id}/stage"
        answer = self.alice.request("PUT", path, body=data, headers=BYTES)
        assert answer.status == 204, answer
        return self

    def upload(self, data: bytes = DATA) -> "Importing":
        assert self.alice.upload(self.id, data).status == 204
        return self

    def ask(
        self,
        method: str | Mapping[str, object] = "glance-direct",
        headers: Headers | None = None,
        caller: Headers | None = None,
        **options: Any,  # noqa: ANN401 - members of the body
    ) -> Answer:
        """Ask for the import and return the answer."""
        named = {"name": method} if isinstance(method, str) else dict(method)
        return self.registry.client(caller).request(
            "POST",
            f"/v2/images/{self.id}/import",
            document={"method": named, **options},
            headers=headers,
        )

    def begin(
        self,
        method: str | Mapping[str, object] = "glance-direct",
        **options: Any,  # noqa: ANN401 - members of the body
    ) -> "Importing":
        """Ask for the import, which must be accepted."""
        answer = self.ask(method, **options)
        assert (answer.status, answer.body) == (202, b""), answer
        return self

    def copy(self, **options: Any) -> Answer:  # noqa: ANN401 - members of the body
        """Let an administrator ask for copies."""
        return self.ask("copy-image", caller=self.registry.admin.headers, **options)

    def fetch(self, web: Web, path: str = "/data", **options: Any) -> "Importing":  # noqa: ANN401 - members of the body
        return self.begin({"name": "web-download", "uri": web.url(path)}, **options)

    def work(self) -> Document:
        """Do all work that waits, and return the record."""
        self.registry.registry.jobs.run_pending()
        return self.record

    @property
    def record(self) -> Document:
        return self.alice.show(self.id)

    @property
    def facts(self) -> tuple[object, ...]:
        """Status, stores, and the two lists of stores that are at work or failed."""
        record = self.record
        return (
            record["status"],
            record.get("stores", ""),
            record.get("os_glance_importing_to_stores"),
            record.get("os_glance_failed_import"),
        )

    @property
    def task(self) -> Document:
        """The newest task, whoever began it."""
        path = f"/v2/images/{self.id}/tasks"
        first: Document = self.registry.admin.get(path).json()["tasks"][0]
        return first

    @property
    def is_locked(self) -> bool:
        return "os_glance_import_task" in self.record


def spoil(registry: LocalRegistry, store: str) -> Path:
    """Put a file where the directory of a store was; return its place."""
    place = registry.where / "images" / store
    shutil.rmtree(place)
    place.write_bytes(b"")
    return place


def mend(place: Path) -> None:
    """Undo `spoil`."""
    place.unlink()
    (place / ".tmp").mkdir(parents=True)


def staged(registry: LocalRegistry) -> list[Path]:
    """Return every file of the staging store."""
    root = registry.where / "state" / "staging"
    return [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"]


def everything_of(registry: LocalRegistry, image_id: str) -> dict[str, bytes]:
    """Return the bytes that stores hold for an image, by the name of the file."""
    return {
        name: data
        for name, data in registry.blobs()
        if image_id in name and len(data) >= 0
    }


def execute(registry: LocalRegistry, sql: str, *parameters: object) -> None:
    """Change the database behind the back of the registry."""
    databases.execute(registry.where, sql, *parameters)
