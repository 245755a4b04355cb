"""From options to stores: which there are, where each one keeps its data.

Directories that no option names lie under ``[imagereg] state_dir``: ``images``
for the file store of single-store mode, ``stores/<id>`` for each one of
multi-store mode, so that no two stores ever share a directory; ``staging`` and
``tasks`` for the two stores of the service itself.  The directories below
``/var/lib/glance`` that the reference would use are not: config 9 gives
``state_dir`` that place, and an installation that moves over names its own.

Source: contract config 3, stores 2 to 5 and S-11.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from imagereg.settings.ignored import REFUSED_STORE_TYPES
from imagereg.settings.imaging import Task
from imagereg.settings.reader import Reader
from imagereg.settings.service import DefaultSection
from imagereg.settings.special import path_of
from imagereg.settings.storage import (
    DRIVERS,
    CommonOptions,
    DriverOptions,
    FileStoreSettings,
    HTTPStoreSettings,
    S3StoreSettings,
    StoreChoice,
    StoreSettings,
)

STORE_SECTION = "glance_store"
SHARED_STORE_SECTION = "backend_defaults"
STAGING = "os_glance_staging_store"
TASKS = "os_glance_tasks_store"
_ALIASES: Mapping[str, str] = {
    "filesystem": "file",
    "https": "http",
    "s3+http": "s3",
    "s3+https": "s3",
}
_DNS_BUCKET = re.compile(r"[a-z0-9][-a-z0-9]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class Catalog:
    """The stores of the service; see `Settings` for the attributes."""

    stores: tuple[StoreSettings, ...]
    default_store: str
    staging: StoreSettings
    tasks_store: StoreSettings


class CatalogReader:
    """Reads the sections of stores; faults and warnings go to the reader."""

    def __init__(self, reader: Reader, state_dir: Path) -> None:
        self._reader = reader
        self._state_dir = state_dir

    def read(self, default: DefaultSection, choice: StoreChoice, task: Task) -> Catalog:
        """Return the stores, or those that are left after faults."""
        is_multi = bool(default.enabled_backends)
        if is_multi:
            found = self._many(default.enabled_backends)
            chosen, name = choice.default_backend, "default_backend"
        else:
            found = self._single(choice)
            chosen, name = driver_of(choice.default_store), "default_store"
        stores = tuple(found)
        if chosen is None:
            self._reader.fault(
                STORE_SECTION, name, "must be set when enabled_backends is"
            )
        elif chosen not in {store.id for store in stores}:
            self._reader.fault(STORE_SECTION, name, f"`{chosen}` is none of the stores")
        work_dir = task.work_dir or self._state_dir / "tasks"
        options = self._file_options(work_dir, TASKS)
        tasks_store = StoreSettings(TASKS, "file", options, reserved=True)
        catalog = Catalog(stores, chosen or "", self._staging(default), tasks_store)
        self._check_directories(catalog, default.image_cache_dir)
        return catalog

    def _many(self, backends: Mapping[str, str]) -> Iterator[StoreSettings]:
        for store_id, type_name in backends.items():
            common = self._reader.read(CommonOptions, store_id, SHARED_STORE_SECTION)
            before = len(self._reader.faults)
            store = self._store(store_id, type_name, common)
            broken = self._reader.faults[before:]
            if broken and common.optional:
                del self._reader.faults[before:]
                left_out = f"; store `{store_id}` is left out"
                self._reader.warnings += [line + left_out for line in broken]
            elif store is not None:
                yield store

    def _store(
        self, store_id: str, type_name: str, common: CommonOptions
    ) -> StoreSettings | None:
        driver = driver_of(type_name)
        if driver not in DRIVERS:
            self._refuse("DEFAULT", "enabled_backends", type_name)
            return None
        directory = self._state_dir / "stores" / store_id
        return StoreSettings(
            id=store_id,
            type=driver,
            options=self._options(driver, directory, store_id, SHARED_STORE_SECTION),
            description=common.store_description,
            weight=common.weight,
            optional=common.optional,
        )

    def _single(self, choice: StoreChoice) -> Iterator[StoreSettings]:
        for name in dict.fromkeys(map(driver_of, choice.stores)):
            if name not in DRIVERS:
                self._refuse(STORE_SECTION, "stores", name)
                continue
            directory = self._state_dir / "images"
            options = self._options(name, directory, STORE_SECTION)
            yield StoreSettings(id=name, type=name, options=options)

    def _refuse(self, section: str, name: str, type_name: str) -> None:
        known = ", ".join(DRIVERS)
        is_foreign = type_name in REFUSED_STORE_TYPES
        what = "is not supported" if is_foreign else "is not known"
        self._reader.fault(
            section, name, f"store type `{type_name}` {what}; there are {known}"
        )

    def _options(self, driver: str, directory: Path, *sections: str) -> DriverOptions:
        if driver == "file":
            return self._file_options(directory, *sections)
        options: DriverOptions = self._reader.read(DRIVERS[driver], *sections)
        if isinstance(options, S3StoreSettings):
            self._check_s3(options, sections[0])
        elif isinstance(options, HTTPStoreSettings) and options.https_insecure:
            what = "certificates are not verified"
            self._reader.warn(sections[0], "https_insecure", what)
        return options

    def _file_options(self, directory: Path, *sections: str) -> FileStoreSettings:
        options = self._reader.read(FileStoreSettings, *sections)
        several = tuple(dict.fromkeys(options.filesystem_store_datadirs))
        if not several:
            named = options.filesystem_store_datadir
            return replace(options, filesystem_store_datadir=named or directory)
        if several != options.filesystem_store_datadirs:
            self._reader.warn(
                sections[0], "filesystem_store_datadirs", "names a directory twice"
            )
        if options.filesystem_store_datadir is not None:
            self._reader.fault(
                sections[0],
                "filesystem_store_datadirs",
                "filesystem_store_datadir is set too; only one of them may be",
            )
        return replace(
            options, filesystem_store_datadir=None, filesystem_store_datadirs=several
        )

    def _check_s3(self, options: S3StoreSettings, section: str) -> None:
        required = {
            "s3_store_host": options.s3_store_host,
            "s3_store_access_key": options.s3_store_access_key,
            "s3_store_secret_key": options.s3_store_secret_key,
            "s3_store_bucket": options.s3_store_bucket,
        }
        for name, value in required.items():
            if not value:
                self._reader.fault(section, name, "must be set for a store of type s3")
        scheme, mark, host = options.s3_store_host.rpartition("://")
        # A path or credentials in it would end up in the URLs of images.
        is_plain = host.rstrip("/") and not set("/@?#") & set(host.rstrip("/"))
        if (mark and scheme not in ("http", "https")) or (
            options.s3_store_host and not is_plain
        ):
            self._reader.fault(
                section, "s3_store_host", "expected a host, or an http(s):// URL"
            )
        is_virtual = options.s3_store_bucket_url_format == "virtual"
        bucket = options.s3_store_bucket
        if is_virtual and bucket and not _DNS_BUCKET.fullmatch(bucket):
            self._reader.fault(
                section,
                "s3_store_bucket",
                "cannot be part of a host name, as s3_store_bucket_url_format wants",
            )

    def _staging(self, default: DefaultSection) -> StoreSettings:
        options = self._file_options(self._state_dir / "staging", STAGING)
        store = StoreSettings(STAGING, "file", options, reserved=True)
        if default.node_staging_uri is None:
            return store
        if default.enabled_backends:
            what = f"not used with enabled_backends; see [{STAGING}]"
            self._reader.warn("DEFAULT", "node_staging_uri", what)
            return store
        directory = path_of(default.node_staging_uri)
        options = replace(
            options,
            filesystem_store_datadir=directory,
            filesystem_store_datadirs=(),
        )
        return replace(store, options=options)

    def _check_directories(self, catalog: Catalog, cache_dir: Path | None) -> None:
        """Refuse a directory with two owners: each would take the other's files."""
        owners: dict[Path, str] = {}
        if cache_dir is not None:
            owners[cache_dir.resolve()] = "the image cache"
        for store in (*catalog.stores, catalog.staging, catalog.tasks_store):
            if not isinstance(store.options, FileStoreSettings):
                continue
            for directory, _ in store.options.directories:
                other = owners.setdefault(directory.resolve(), store.id)
                if other != store.id:
                    self._reader.faults.append(
                        f"{directory}: is used both by {other} and by {store.id}"
                    )


def driver_of(name: str) -> str:
    """Return the driver that a type of the configuration stands for."""
    return _ALIASES.get(name, name)
