"""The sections about image formats, imports and tasks.  Source: contract config 6."""

# `option` builds a dataclass field, as `dataclasses.field` does.

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imagereg.settings.kinds import (
    BOOL,
    PAIRS,
    PORTS,
    WORKING_PATH,
    bracketed,
    choice,
    integer,
    names,
)
from imagereg.settings.options import Table, option

_CONTAINERS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
_DISKS = (
    *("ami", "ari", "aki", "vhd", "vhdx", "vmdk"),
    *("raw", "qcow2", "vdi", "iso", "ploop"),
)
_PLUGINS = ("no_op", "inject_image_metadata", "image_conversion", "image_decompression")
_PREFIXES = ("hw_", "trait:", "os_distro", "os_secure_boot", "os_type")
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ImageFormat(Table):
    """Which formats images may have, and what is checked in their data."""

    container_formats: tuple[str, ...] = option(
        names(), _CONTAINERS, "The container formats that are accepted."
    )
    disk_formats: tuple[str, ...] = option(
        names(), _DISKS, "The disk formats that are accepted; gpt may be added."
    )
    vmdk_allowed_types: tuple[str, ...] = option(
        names(),
        ("streamOptimized", "monolithicSparse"),
        "The kinds of VMDK that are accepted; empty is none.",
    )
    require_image_format_match: bool = option(
        BOOL, True, "Refuse data that is not what disk_format says."
    )
    gpt_safety_checks_nonfatal: tuple[str, ...] = option(
        names("mbr", "gptmbr"),
        (),
        "Findings in partition tables that only warn.",
        shown="unset",
        example="mbr",
    )


@dataclass(frozen=True)
class Task(Table):
    """Records of background work, such as imports."""

    task_time_to_live: int = option(
        integer(0), 48, "How long the record of a finished task is kept.", unit="hours"
    )
    work_dir: Path | None = option(
        WORKING_PATH,
        None,
        "The work area of tasks; [os_glance_tasks_store] goes before it.",
        shown="<state_dir>/tasks",
        example="/var/lib/imagereg/tasks",
    )


@dataclass(frozen=True)
class TaskExecutor(Table):
    """How tasks are run."""

    max_workers: int = option(integer(1), 10, "Tasks that run at a time.", unit="tasks")
    engine_mode: str = option(
        choice("parallel", "serial"), "parallel", "serial runs one task at a time."
    )


@dataclass(frozen=True)
class ImageImport(Table):
    """What happens to data between its arrival and the store."""

    image_import_plugins: tuple[str, ...] = option(
        bracketed(*_PLUGINS),
        (),
        "The steps, in this order: " + ", ".join(_PLUGINS) + ".",
        example="[image_conversion]",
    )
    max_parallel_stores: int = option(
        integer(1), 1, "Stores that one import fills at a time.", unit="stores"
    )


@dataclass(frozen=True)
class ImportFiltering(Table):
    """Which URLs web-download and http locations may name.

    An allow list makes its disallow list void.
    """

    allowed_schemes: tuple[str, ...] = option(
        bracketed(), ("http", "https"), "Schemes that may be used; [] leaves it open."
    )
    disallowed_schemes: tuple[str, ...] = option(
        bracketed(), (), "Schemes that may not, if none are allowed by name."
    )
    allowed_hosts: tuple[str, ...] = option(
        bracketed(),
        (),
        "Hosts that may be reached; [] leaves it open, but for loopback and link-local"
        " addresses, which must be named here.",
    )
    disallowed_hosts: tuple[str, ...] = option(
        bracketed(), (), "Hosts that may not, if none are allowed by name."
    )
    allowed_ports: tuple[int, ...] = option(
        PORTS, (80, 443), "Ports that may be named in a URL; [] leaves it open."
    )
    disallowed_ports: tuple[int, ...] = option(
        PORTS, (), "Ports that may not, if none are allowed by name."
    )


@dataclass(frozen=True)
class InjectMetadata(Table):
    """Properties that import step inject_image_metadata adds."""

    ignore_user_roles: tuple[str, ...] = option(
        names(), ("admin",), "Imports by callers with one of these roles get none."
    )
    inject: Mapping[str, str] = option(
        PAIRS,
        _NONE,
        "The properties, name:value each.",
        shown="unset",
        example="imported:yes,site:lab",
    )


@dataclass(frozen=True)
class ImageConversion(Table):
    """The import step image_conversion, which needs qemu-img."""

    output_format: str = option(
        choice("qcow2", "raw", "vmdk"), "raw", "The disk format that results."
    )


@dataclass(frozen=True)
class DownloadProperties(Table):
    """What import method glance-download brings along."""

    extra_properties: tuple[str, ...] = option(
        bracketed(), _PREFIXES, "Properties that start with one of these are copied."
    )
