"""Load the configuration: files, environment and command line to `Settings`."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imagereg.errors import ConfigurationError
from imagereg.settings import imaging, keystone, own, sections, service
from imagereg.settings.catalog import (
    SHARED_STORE_SECTION,
    STORE_SECTION,
    CatalogReader,
)
from imagereg.settings.checks import Completion
from imagereg.settings.ignored import IGNORED_SECTIONS
from imagereg.settings.names import NameCheck, effects
from imagereg.settings.options import Table
from imagereg.settings.reader import Places, Reader
from imagereg.settings.sources import Sources, find_files, find_search_path
from imagereg.settings.storage import (
    DRIVERS,
    CommonOptions,
    FileStoreSettings,
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
        without_effect: those of the warnings about names that do nothing.
        origins: section and option to where the value came from; absent where it
            is the default.
    """

    default: service.DefaultSection
    glance_store: StoreChoice
    database: sections.Database
    oslo_concurrency: sections.Concurrency
    paste_deploy: sections.PasteDeploy
    keystone_authtoken: keystone.KeystoneAuth
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
    without_effect: tuple[str, ...] = field(default=(), repr=False)
    origins: Mapping[tuple[str, str], str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False
    )

    def find_file(self, name: str | Path) -> Path | None:
        """Return the file of that name beside the configuration files, if any."""
        return Places(self.search_path).find(name)

    @property
    def work_dir(self) -> Path:
        """Where background tasks keep what they work on, below the tasks store.

        Raises:
            TypeError: that store was opened as something else than files.
        """
        options = self.tasks_store.options
        if not isinstance(options, FileStoreSettings):
            raise TypeError(self.tasks_store.type)
        return options.directories[0][0] / "work"

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

# The same with the options of stores, for `$` references to their defaults.
_TABLES: Mapping[str, tuple[type[Table], ...]] = MappingProxyType(
    {
        **{section: (table,) for section, table in SECTIONS.items()},
        STORE_SECTION: (StoreChoice, *DRIVERS.values()),
        SHARED_STORE_SECTION: (CommonOptions, *DRIVERS.values()),
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
    places = Places(find_search_path(files, config_dirs))
    reader = Reader(Substituted(sources, _TABLES), places)
    values = _read_all(reader)
    backends = values["default"].enabled_backends
    is_strict = values["imagereg"].strict_config
    names = NameCheck(sources, effects(SECTIONS, backends), is_strict=is_strict)
    names.run()
    faults = (*sources.faults, *reader.faults, *_taken(backends), *names.faults)
    if faults:
        raise ConfigurationError(tuple(dict.fromkeys(faults)))
    return Settings(
        **values,
        config_files=files,
        search_path=places.search_path,
        warnings=tuple(dict.fromkeys((*reader.warnings, *names.warnings))),
        without_effect=tuple(names.warnings),
        origins=MappingProxyType(reader.origins),
    )


def _read_all(reader: Reader) -> dict[str, Any]:
    """Return what is read and worked out: attribute of `Settings` to its value."""
    values: dict[str, Any] = {
        section.lower(): reader.read(table, section)
        for section, table in SECTIONS.items()
    }
    state_dir = values["imagereg"].state_dir
    _complete(values, Completion(reader, state_dir))
    catalog = CatalogReader(reader, state_dir).read(
        values["default"], values["glance_store"], values["task"]
    )
    return values | {
        "stores": catalog.stores,
        "multi_store": bool(values["default"].enabled_backends),
        "default_store": catalog.default_store,
        "staging": catalog.staging,
        "tasks_store": catalog.tasks_store,
    }


def _taken(backends: Mapping[str, str]) -> list[str]:
    """Return a fault for each store whose section means something else already."""
    taken = {*SECTIONS, SHARED_STORE_SECTION, *IGNORED_SECTIONS}
    return [
        f"[DEFAULT] enabled_backends: `{store_id}` is the name of another section"
        for store_id in backends
        if fold_section(store_id) in taken
    ]


def _complete(values: dict[str, Any], complete: Completion) -> None:
    """Work out what follows from other options."""
    paste = complete.flavor(values["paste_deploy"])
    values["paste_deploy"] = paste
    values["default"] = complete.service(values["default"], paste, values["imagereg"])
    values["database"] = complete.database(values["database"])
    values["oslo_concurrency"] = complete.concurrency(values["oslo_concurrency"])
    values["oslo_policy"] = complete.policy(values["oslo_policy"])
    values["cors"] = complete.cors(values["cors"])
