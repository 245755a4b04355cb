"""Load the configuration: files, environment and command line to `Settings`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imagereg.errors import ConfigurationError
from imagereg.settings import imaging, own, sections, service
from imagereg.settings.catalog import CatalogReader, driver_of
from imagereg.settings.checks import NameCheck, store_tables, without_identity
from imagereg.settings.options import Table
from imagereg.settings.reader import Places, Reader
from imagereg.settings.sources import SYSTEM_DIR, Sources, find_files
from imagereg.settings.storage import (
    DRIVERS,
    CommonOptions,
    StoreChoice,
    StoreSettings,
)
from imagereg.settings.substitution import Substituted
from imagereg.settings.syntax import SHARED_SECTION, fold_section


@dataclass(frozen=True)
class Settings:
    """All that the operator decided.

    The attribute of a section is its name (``default`` for ``[DEFAULT]``), with
    one attribute for each option.  Paths are absolute, and what is worked out
    from ``state_dir`` is worked out.

    Attributes:
        stores: the stores in the order of the configuration; in single-store mode
            those of ``[glance_store] stores``, named for their drivers.
        multi_store: whether ``enabled_backends`` is set.
        default_store: the id of the store that takes images which name none.
        staging: where uploads wait for their import.
        tasks_store: the work area of background tasks.
        config_files: the files that were read, in that order.
        search_path: the directories in which `find_file` looks.
        warnings: for the log at start: what is ignored, unknown or risky.
        unknown: those of the warnings that are about unknown names.
        origins: section and option to where the value came from; absent where it
            is the default.
    """

    default: service.DefaultSection
    glance_store: StoreChoice
    database: sections.Database
    oslo_concurrency: sections.Concurrency
    paste_deploy: sections.PasteDeploy
    keystone_authtoken: sections.KeystoneAuth
    oslo_policy: sections.PolicyFiles
    oslo_middleware: sections.Middleware
    cors: sections.Cors
    healthcheck: sections.HealthCheck
    wsgi: sections.WSGI
    image_format: imaging.ImageFormat
    task: imaging.Task
    taskflow_executor: imaging.TaskExecutor
    image_import_opts: imaging.ImageImport
    import_filtering_opts: imaging.ImportFiltering
    inject_metadata_properties: imaging.InjectMetadata
    image_conversion: imaging.ImageConversion
    glance_download_properties: imaging.DownloadProperties
    imagereg: own.Own
    stores: tuple[StoreSettings, ...]
    multi_store: bool
    default_store: str
    staging: StoreSettings
    tasks_store: StoreSettings
    config_files: tuple[Path, ...] = ()
    search_path: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    unknown: tuple[str, ...] = field(default=(), repr=False)
    origins: Mapping[tuple[str, str], str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )

    def find_file(self, name: str | Path) -> Path | None:
        """Return the file of that name beside the configuration files, if any."""
        return Places(self.search_path).find(name)

    @property
    def schema_image_file(self) -> Path | None:
        """The declarations of custom properties, if there are any."""
        return self.find_file("schema-image.json")


# Section name -> its dataclass, in the order of `Settings`.
SECTIONS: Mapping[str, type[Table]] = MappingProxyType(
    {
        SHARED_SECTION if item.name == "default" else item.name: item.type
        for item in fields(Settings)
        if isinstance(item.type, type) and issubclass(item.type, Table)
    }
)


def load_settings(
    config_files: Sequence[Path] = (),
    config_dirs: Sequence[Path] = (),
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> Settings:
    """Return the settings of this service.

    Args:
        config_files: the files to read; without files and directories the
            environment says which, see `find_files`.
        config_dirs: directories whose ``*.conf`` are read after them.
        environ: the environment.
        overrides: section and option to text, from the command line; they go
            before everything else.

    Raises:
        ConfigurationError: with every fault that there is, not only the first.
    """
    files = find_files(config_files, config_dirs, environ)
    sources = Sources(files, environ, overrides)
    places = Places(_search_path(files, config_dirs))
    reader = Reader(Substituted(sources, _known_tables({})), places)
    values: dict[str, Any] = {
        _attribute(section): reader.read(table, section)
        for section, table in SECTIONS.items()
    }
    _complete(values, reader)
    catalog = CatalogReader(reader, values["imagereg"].state_dir).read(
        values["default"], values["glance_store"], values["task"]
    )
    backends = values["default"].enabled_backends
    names = NameCheck(
        sources,
        _known_tables(backends),
        is_strict=values["imagereg"].strict_config,
    )
    names.run()
    faults = dict.fromkeys((*sources.faults, *reader.faults, *names.faults))
    if faults:
        raise ConfigurationError(tuple(faults))
    return Settings(
        **values,
        stores=catalog.stores,
        multi_store=bool(backends),
        default_store=catalog.default_store,
        staging=catalog.staging,
        tasks_store=catalog.tasks_store,
        config_files=files,
        search_path=places.search_path,
        warnings=tuple(dict.fromkeys((*reader.warnings, *names.warnings))),
        unknown=tuple(names.unknown),
        origins=MappingProxyType(reader.origins),
    )


def _attribute(section: str) -> str:
    return section.lower()


def _search_path(files: Sequence[Path], directories: Sequence[Path]) -> list[Path]:
    """Return where relative names are looked for, the latest read file first."""
    found = [*directories, *(path.parent for path in files)][::-1]
    work = Path.cwd()
    return list(dict.fromkeys(work / path for path in found)) or [work, SYSTEM_DIR]


def _known_tables(backends: Mapping[str, str]) -> dict[str, tuple[type[Table], ...]]:
    drivers: dict[str, tuple[type[Table], ...]] = {
        name: (CommonOptions, table) for name, table in DRIVERS.items()
    }
    folded = {
        fold_section(store_id): driver_of(kind) for store_id, kind in backends.items()
    }
    tables = store_tables(folded, drivers)
    for section, table in SECTIONS.items():
        tables[section] = (table, *tables.get(section, ()))
    return tables


def _complete(values: dict[str, Any], reader: Reader) -> None:
    """Work out what follows from other options, and judge what does not fit."""
    state_dir: Path = values["imagereg"].state_dir
    _complete_flavor(values, state_dir)
    database: sections.Database = values["database"]
    if not database.connection:
        connection = f"sqlite:///{state_dir / 'registry.sqlite'}"
        values["database"] = replace(database, connection=connection)
    concurrency: sections.Concurrency = values["oslo_concurrency"]
    lock_path = concurrency.lock_path or state_dir / "locks"
    values["oslo_concurrency"] = replace(concurrency, lock_path=lock_path)
    policy: sections.PolicyFiles = values["oslo_policy"]
    if policy.policy_file is None:
        found = reader.places.find("policy.yaml") or reader.places.find("policy.json")
        values["oslo_policy"] = replace(policy, policy_file=found)
    values["cors"] = without_identity(values["cors"], reader)
    default: service.DefaultSection = values["default"]
    if default.use_keystone_limits and values["imagereg"].limits_file is None:
        reader.fault(
            "DEFAULT",
            "use_keystone_limits",
            "no identity service is asked for limits; set [imagereg] limits_file",
        )


def _complete_flavor(values: dict[str, Any], state_dir: Path) -> None:
    """Take the flavor apart; one that asks for the cache has a cache directory."""
    paste: sections.PasteDeploy = values["paste_deploy"]
    base, _, suffix = paste.flavor.rpartition("+")
    if not base and suffix not in ("caching", "cachemanagement"):
        base, suffix = suffix, ""
    values["paste_deploy"] = replace(
        paste,
        flavor=base,
        caching=bool(suffix),
        cachemanagement=suffix == "cachemanagement",
    )
    default: service.DefaultSection = values["default"]
    if suffix and default.image_cache_dir is None:
        cache = state_dir / "cache"
        values["default"] = replace(default, image_cache_dir=cache)
