"""Store id -> `Store`, from the settings.

A new driver is one module, one line in `_OPENERS` and one class in
`tests/stores/test_conformance.py`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self

from imagereg.errors import ConfigurationError, StoreUnavailable, UnknownStore
from imagereg.meters import Meters
from imagereg.model import Location
from imagereg.settings import (
    FileStoreSettings,
    HTTPStoreSettings,
    S3StoreSettings,
    Settings,
    StoreSettings,
)
from imagereg.settings.imaging import ImportFiltering
from imagereg.stores.budget import Budget
from imagereg.stores.driver import StoreDriver
from imagereg.stores.fetcher import Fetcher, FetchOptions
from imagereg.stores.filesystem import FileOptions, FilesystemDriver
from imagereg.stores.hashing import LaneSupply
from imagereg.stores.http import HTTPDriver
from imagereg.stores.mountpoints import load_mountpoints
from imagereg.stores.patience import PatienceOptions
from imagereg.stores.proxies import parse_proxies
from imagereg.stores.store import Store, StoreTraits
from imagereg.stores.url_filter import URLFilter

MiB = 1024 * 1024

STAGING = "os_glance_staging_store"

LEFTOVER_AGE_S = 24 * 3600.0
"""How old an abandoned upload must be to be removed at start (ruling S-1)."""

_log = logging.getLogger(__name__)


class StoreCatalog:
    """All stores of the service, in the order in which they are configured.

    Args:
        default: id of the store that takes images which name none.
        reserved: stores of the service itself; no caller can name them.
        staging: id of the store, of either kind, in which uploads wait.

    Attributes:
        reserved: those, by id.
    """

    def __init__(
        self,
        stores: Iterable[Store],
        default: str,
        reserved: Iterable[Store] = (),
        staging: str = STAGING,
    ) -> None:
        self._stores = {store.id: store for store in stores}
        self.reserved = MappingProxyType({store.id: store for store in reserved})
        self.default = self[default]
        self._staging = staging

    @classmethod
    def from_settings(
        cls,
        settings: Settings,
        *,
        writable: bool = True,
        meters: Meters | None = None,
    ) -> Self:
        """Open every store that is configured; if not ``writable``, to look only.

        Raises:
            ConfigurationError: one that is not marked optional cannot be used.
        """
        return cls.open(
            (*settings.stores, settings.staging, settings.tasks_store),
            settings.default_store,
            fsync=settings.imagereg.upload_fsync,
            budget=Budget(settings.imagereg.s3_upload_memory * MiB),
            url_filter=URLFilter(settings.import_filtering_opts),
            writable=writable,
            staging=settings.imagereg.staging_store or STAGING,
            meters=meters,
        )

    @classmethod
    def open(
        cls,
        wanted: Iterable[StoreSettings],
        default: str,
        *,
        fsync: bool = True,
        budget: Budget | None = None,
        url_filter: URLFilter | None = None,
        writable: bool = True,
        staging: str = STAGING,
        meters: Meters | None = None,
    ) -> Self:
        """Open the stores that ``wanted`` describes.  Raises as `from_settings`."""
        lanes = LaneSupply()
        context = OpenContext(
            fsync,
            url_filter or URLFilter(ImportFiltering()),
            meters or Meters(),
            budget or Budget(),
        )
        opened: dict[bool, list[Store]] = {False: [], True: []}
        faults: list[str] = []
        for each in wanted:
            if each.type not in _OPENERS:
                _log.warning("store %s left out: no driver %s", each.id, each.type)
                continue
            try:
                store = _open(each, lanes, context, writable=writable)
                opened[each.reserved].append(store)
            except ConfigurationError as error:
                faults += (f"store {each.id}: {fault}" for fault in error.faults)
        if faults:
            raise ConfigurationError(faults)
        if default not in {store.id for store in opened[False]}:
            raise ConfigurationError([f"the default store {default} is not there"])
        if staging != STAGING:
            _check_staging(staging, opened[False], writable=writable)
        return cls(opened[False], default, opened[True], staging)

    def __getitem__(self, store_id: str) -> Store:
        if store_id not in self._stores:
            raise UnknownStore(f"there is no store `{store_id}`")
        return self._stores[store_id]

    def __contains__(self, store_id: object) -> bool:
        return store_id in self._stores

    def __iter__(self) -> Iterator[Store]:
        return iter(self._stores.values())

    def __len__(self) -> int:
        return len(self._stores)

    @property
    def staging(self) -> Store:
        """Where uploads wait for their import."""
        return self.own(self._staging)

    def own(self, store_id: str) -> Store:
        """Return a store that may be one of the service itself.

        Raises:
            UnknownStore: there is none.
        """
        return self.reserved.get(store_id) or self[store_id]

    def find_for(self, location: Location, *, reserved: bool = False) -> Store:
        """Return the store that holds ``location``: by its id, else by its URL.

        A store of the service itself holds only what it is named for, and is looked
        at only if ``reserved`` says so: nothing there belongs to an image.

        Raises:
            StoreUnavailable: it belongs to no store that is configured now.
        """
        name = location.store or ""
        named = self.reserved.get(name) if reserved else None
        named = named or self._stores.get(name)
        if named is not None and named.owns(location):
            return named
        for store in self:
            if store.owns(location):
                return store
        raise StoreUnavailable("the store that holds the data is not configured")

    def sweep(self, older_than_s: float = LEFTOVER_AGE_S) -> int:
        """Remove abandoned uploads from all stores; say how many there were.

        Meant for the start; a store that cannot be swept is left for the next time.
        """
        removed = 0
        for store in (*self, *self.reserved.values()):
            try:
                removed += store.sweep(older_than_s)
            except StoreUnavailable as error:
                _log.warning("store %s: leftovers stay: %s", store.id, error)
        return removed


@dataclass(frozen=True, slots=True)
class OpenContext:
    """What openers need to know beside the options of the store itself.

    Attributes:
        fsync: bytes are made durable before they count.
        url_filter: which remote sources may be read.
        meters: are told which store failed.
        budget: memory for what waits to be sent to S3 stores, all of them together.
    """

    fsync: bool
    url_filter: URLFilter
    meters: Meters
    budget: Budget


def _check_staging(name: str, stores: Iterable[Store], *, writable: bool) -> None:
    """Raise `ConfigurationError` if staged data cannot be in this store."""
    if not any(
        store.id == name and (store.writable or not writable) for store in stores
    ):
        fault = f"[imagereg] staging_store: no store {name} takes data"
        raise ConfigurationError([fault])


def _open(
    wanted: StoreSettings, lanes: LaneSupply, context: OpenContext, *, writable: bool
) -> Store:
    """Open one store, without write access if it is broken but optional (S-11)."""
    writable = writable and wanted.type not in _READ_ONLY
    try:
        driver, properties = _OPENERS[wanted.type](wanted, context, writable)
    except ConfigurationError as error:
        if not wanted.optional:
            raise
        _log.warning("store %s takes no data: %s", wanted.id, error)
        writable = False
        driver, properties = _OPENERS[wanted.type](wanted, context, False)
    traits = StoreTraits(
        type=wanted.type,
        weight=wanted.weight,
        description=wanted.description,
        properties=properties,
        writable=writable,
    )
    if isinstance(wanted.options, S3StoreSettings):
        traits = replace(
            traits,
            redirects=wanted.options.redirect_downloads,
            redirect_expires_s=wanted.options.redirect_expires,
        )
    return Store(wanted.id, driver, traits, lanes, context.meters)


def _open_file(
    wanted: StoreSettings, context: OpenContext, writable: bool
) -> tuple[StoreDriver, Mapping[str, object]]:
    options = wanted.options
    if not isinstance(options, FileStoreSettings):
        raise ConfigurationError(["its options are not those of a file store"])
    metadata_file = options.filesystem_store_metadata_file if writable else None
    driver = FilesystemDriver(
        FileOptions(
            datadirs=options.directories,
            mode=options.filesystem_store_file_perm,
            chunk_bytes=options.filesystem_store_chunk_size,
            is_thin=options.filesystem_thin_provisioning,
            reserve_bytes=options.filesystem_reserve,
            fsync=context.fsync,
            patience=PatienceOptions(
                limit_s=options.filesystem_store_timeout,
                threads=options.filesystem_store_thread_pool_size,
                warn_percent=options.filesystem_store_threadpool_threshold,
            ),
        ),
        load_mountpoints(metadata_file) if metadata_file else None,
    )
    if writable:
        driver.prepare()
    paths = [str(path) for path, _ in options.directories]
    properties = {
        "data_dir": paths[0] if len(paths) == 1 else paths,
        "chunk_size": options.filesystem_store_chunk_size,
        "thin_provisioning": options.filesystem_thin_provisioning,
    }
    return driver, properties


def _open_http(
    wanted: StoreSettings, context: OpenContext, writable: bool
) -> tuple[StoreDriver, Mapping[str, object]]:
    options = wanted.options
    if not isinstance(options, HTTPStoreSettings):
        raise ConfigurationError(["its options are not those of an http store"])
    proxies = parse_proxies(options.http_proxy_information)
    if options.https_insecure:
        _log.warning("store %s: https_insecure: no certificate is checked", wanted.id)
    ca_file = options.https_ca_certificates_file
    try:
        fetcher = Fetcher(
            context.url_filter,
            FetchOptions(
                verify=not options.https_insecure, ca_file=ca_file, proxies=proxies
            ),
        )
    except OSError as error:
        raise ConfigurationError([f"{ca_file}: {error.strerror or error}"]) from error
    return HTTPDriver(fetcher), {}


def _open_s3(
    wanted: StoreSettings, context: OpenContext, writable: bool
) -> tuple[StoreDriver, Mapping[str, object]]:
    # Imported here: only who has such a store pays for boto3 at every start.
    from imagereg.stores.s3 import S3Driver, s3_options

    options = wanted.options
    if not isinstance(options, S3StoreSettings):
        raise ConfigurationError(["its options are not those of an s3 store"])
    driver = S3Driver(s3_options(options), context.budget)
    if writable:
        driver.prepare()
    properties = {
        "s3_store_large_object_size": options.s3_store_large_object_size * MiB,
        "s3_store_large_object_chunk_size": (
            options.s3_store_large_object_chunk_size * MiB
        ),
        "s3_store_thread_pools": options.s3_store_thread_pools,
    }
    return driver, properties


_Opener = Callable[
    [StoreSettings, OpenContext, bool], tuple[StoreDriver, Mapping[str, object]]
]

_OPENERS: Mapping[str, _Opener] = MappingProxyType(
    {"file": _open_file, "http": _open_http, "s3": _open_s3}
)

#: Types that never take data.
_READ_ONLY = frozenset({"http"})
