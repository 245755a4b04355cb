"""The configuration of a node: the names that compute services use.

Read by the reader of the service's own files, so that syntax, references and the
listing of all faults are the same.  Sections and options of a compute service's file
that are not named here are none of our business and are left alone.

Source: contract compute-fetch 3.2, 4, 9.2.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imagereg.errors import ConfigurationError
from imagereg.settings.kinds import (
    BOOL,
    HTTP_URL,
    NAME,
    PATH,
    Kind,
    choice,
    integer,
    names,
    require,
    scalar,
)
from imagereg.settings.options import Table, option
from imagereg.settings.reader import Places, Reader
from imagereg.settings.sources import Sources
from imagereg.settings.substitution import Substituted

#: The files of a node, when the command line names none.
FILE_VARIABLE = "IMAGEREG_FETCH_CONFIG"
SYSTEM_FILE = Path("/etc/imagereg/imagereg-fetch.conf")


def _parse_folder(text: str) -> Path:
    path = Path(text)
    require(path.is_absolute() and ".." not in path.parts, "an absolute path")
    return path


FOLDER: Kind[Path] = Kind(
    "an absolute path", scalar(_parse_folder), empty_is_unset=True
)


@dataclass(frozen=True)
class GlanceSection(Table):
    """Section ``[glance]``: where the service is, and how patiently it is asked."""

    endpoint_override: str | None = option(
        HTTP_URL, None, "URL of the image service.", example="http://127.0.0.1:9292"
    )
    api_servers: tuple[str, ...] = option(
        names(), (), "URLs of several image services, asked in turn."
    )
    num_retries: int = option(
        integer(0), 3, "How often a failed request is repeated.", unit="attempts"
    )
    timeout: int = option(
        integer(1), 60, "How long a connection may stay silent.", unit="seconds"
    )
    allowed_direct_url_schemes: tuple[str, ...] = option(
        names("file", "filesystem"),
        ("file", "filesystem"),
        "Locations that may be read directly, where `filesystems` is set.",
    )
    legacy_same_path: bool = option(
        BOOL,
        False,
        "Without `filesystems`, read locations at the very path they name.",
    )
    cafile: Path | None = option(
        PATH, None, "Authorities to trust instead of the system's."
    )
    insecure: bool = option(BOOL, False, "Believe any certificate.")


@dataclass(frozen=True)
class FileURLSection(Table):
    """Section ``[image_file_url]``: file systems that this node shares with a store."""

    filesystems: tuple[str, ...] = option(
        names(), (), "Names of the sections `[image_file_url:NAME]`; none is off."
    )


@dataclass(frozen=True)
class FileSystem(Table):
    """Section ``[image_file_url:NAME]``: one file system."""

    id: str | None = option(
        NAME, None, "The id in the metadata file of the store.", example="fs-1"
    )
    mountpoint: Path | None = option(
        FOLDER, None, "Where this node has it.", example="/mnt/images"
    )
    readonly_check: bool = option(
        BOOL, True, "Leave the file system out unless something is mounted there."
    )


@dataclass(frozen=True)
class CacheSection(Table):
    """Section ``[image_cache]``: the images that this node keeps."""

    cache_dir: Path | None = option(
        FOLDER, Path("/var/cache/imagereg"), "Where layout `native` keeps images."
    )
    layout: str = option(
        choice("native", "compat"),
        "native",
        "`native`: by image id, as they are; `compat`: like a compute service's.",
    )
    instances_path: Path | None = option(
        FOLDER,
        None,
        "Where the node's machines are; their backing files count as used.",
        example="/var/lib/nova/instances",
    )
    subdirectory_name: str = option(
        NAME, "_base", "Where layout `compat` keeps images, below `instances_path`."
    )
    manager_interval: int = option(
        integer(-1),
        2400,
        "How long `cache gc --forever` waits before the next time; 0 is 60, -1 is off.",
        unit="seconds",
    )
    remove_unused_base_images: bool = option(
        BOOL, True, "Have `cache gc` remove images that are not used for too long."
    )
    remove_unused_original_minimum_age_seconds: int = option(
        integer(0), 86400, "How long an unused image is kept.", unit="seconds"
    )
    remove_unused_resized_minimum_age_seconds: int = option(
        integer(0),
        3600,
        "How long an unused resized image of a compute service is kept.",
        unit="seconds",
    )
    precache_concurrency: int = option(
        integer(1), 1, "How many images `prefetch` gets at once.", unit="images"
    )
    max_size: int = option(
        integer(0),
        0,
        "What `cache gc` leaves of all images, the latest used; 0 is no limit.",
        unit="bytes",
    )
    min_free: int = option(
        integer(0), 0, "What must stay free on the file system.", unit="bytes"
    )
    verify_on_hit: str = option(
        choice("never", "size", "daily", "always"),
        "size",
        "What is compared when an image is there, or its blocks were shared before: "
        "`daily` and `always` read it.",
    )
    lock_timeout: int = option(
        integer(0), 3600, "How long to wait for whoever has an image.", unit="seconds"
    )

    @property
    def root(self) -> Path | None:
        """Where images are kept, as far as the layout's directory is set."""
        if self.layout != "compat":
            return self.cache_dir
        return self.instances_path and self.instances_path / self.subdirectory_name


@dataclass(frozen=True)
class FetchConfig:
    """All that the operator of a node decided.

    Attributes:
        filesystems: those that are complete, by the order of their names.
    """

    glance: GlanceSection = GlanceSection()
    filesystems: tuple[FileSystem, ...] = ()
    cache: CacheSection = CacheSection()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The URLs of the services, those that are asked first at the front."""
        override = self.glance.endpoint_override
        return (override,) if override else self.glance.api_servers


SECTIONS: Mapping[str, type[Table]] = MappingProxyType(
    {
        "glance": GlanceSection,
        "image_file_url": FileURLSection,
        "image_cache": CacheSection,
    }
)


def find_config_files(
    files: Sequence[Path], environ: Mapping[str, str]
) -> tuple[Path, ...]:
    """Return the files named, else those of the environment, else the system's."""
    if files:
        return tuple(files)
    if named := environ.get(FILE_VARIABLE):
        return tuple(Path(name) for name in named.split(os.pathsep) if name)
    return (SYSTEM_FILE,) if SYSTEM_FILE.exists() else ()


def load_fetch_config(
    files: Sequence[Path] = (),
    overrides: Mapping[tuple[str, str], str] = MappingProxyType({}),
) -> FetchConfig:
    """Return what ``files`` say; later ones win, and ``overrides`` above all.

    Raises:
        ConfigurationError: with every fault that there is.
    """
    # The environment stays out of it: it may hold variables of other programs.
    sources = Sources(files, {}, overrides)
    places = Places(tuple(path.parent for path in files) or (Path.cwd(),))
    tables = {section: (table,) for section, table in SECTIONS.items()}
    reader = Reader(Substituted(sources, tables), places)
    glance = reader.read(GlanceSection, "glance")
    cache = reader.read(CacheSection, "image_cache")
    known = reader.read(FileURLSection, "image_file_url").filesystems
    filesystems = tuple(_read_file_system(reader, name) for name in known)
    faults = (*sources.faults, *reader.faults)
    if faults:
        raise ConfigurationError(tuple(dict.fromkeys(faults)))
    return FetchConfig(glance, filesystems, cache)


def _read_file_system(reader: Reader, name: str) -> FileSystem:
    section = f"image_file_url:{name}"
    found = reader.read(FileSystem, section)
    for attribute in ("id", "mountpoint"):
        if getattr(found, attribute) is None:
            reader.fault(section, attribute, "must be set")
    return found
