"""The step that brings imported disks into one format.

Whatever qemu-img is to see, the inspector of uploads has seen and found harmless.

Source: contract config 6, ``[image_conversion]``; stores 7; SECURITY on qemu-img.
"""

import logging
from dataclasses import dataclass

from imagereg.errors import ConfigurationError
from imagereg.jobs.plugins.step import (
    ImportWork,
    PluginResult,
    content_of,
    staged_file,
)
from imagereg.settings import Settings
from imagereg.stores import qemu
from imagereg.stores.formats import FormatRules, Inspector

log = logging.getLogger(__name__)

#: Disks that qemu can write anew.  A kernel, an optical disc or the contents of a
#: container would lose by it what they are.
_DISKS = frozenset({"raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "ploop", "gpt"})


@dataclass(frozen=True, slots=True)
class Conversion:
    """Converts disks with qemu-img.

    Attributes:
        output_format: the disk format that results.
        formats: what an upload would have to fulfil.
    """

    output_format: str
    formats: FormatRules

    def run(self, work: ImportWork) -> PluginResult:
        """Convert the disk, unless it has the format already.

        Raises:
            UnsafeContent: it is not what ``disk_format`` says, or not safe to read.
            StoreFull, StoreUnavailable: there is no room, or no program.
        """
        image = work.image
        found = image.disk_format or ""
        if image.container_format != "bare" or found not in _DISKS:
            log.info("image %s: %s is left as it is", image.id, found)
            return PluginResult()
        if found == self.output_format:
            return PluginResult()
        inspector = Inspector(image.container_format, found, self.formats)
        with work.open() as reader:
            for chunk in reader:
                inspector.feed(chunk)
        inspector.finish()
        target = work.scratch / "converted"
        qemu.convert(
            staged_file(work),
            found,
            target,
            self.output_format,
            self.formats.vmdk_allowed_types,
            work.check_wanted,
        )
        return PluginResult(
            fields={"disk_format": self.output_format}, data=content_of(target)
        )


def make(settings: Settings) -> Conversion:
    """Return the step as it is configured.

    Raises:
        ConfigurationError: the machine lacks a program that it needs.
    """
    faults = [
        f"[image_import_opts] image_import_plugins: image_conversion needs {name}"
        for name in qemu.missing_programs()
    ]
    if faults:
        raise ConfigurationError(faults)
    wanted = settings.image_format
    return Conversion(
        settings.image_conversion.output_format,
        FormatRules(
            require_match=True,
            vmdk_allowed_types=wanted.vmdk_allowed_types,
            gpt_nonfatal=wanted.gpt_safety_checks_nonfatal,
        ),
    )
