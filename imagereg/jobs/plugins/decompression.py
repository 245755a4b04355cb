"""The step that unpacks images which were compressed for their way here.

Source: contract config 6 (``image_decompression``); SECURITY on parser bombs.
"""

from dataclasses import dataclass

from imagereg.jobs.plugins.step import (
    ImportWork,
    PluginResult,
    content_of,
    staged_file,
)
from imagereg.settings import Settings
from imagereg.stores.compression import HEAD_BYTES, compression_of, unpack

#: The container format of images that are meant to stay compressed.
_KEPT = "compressed"


@dataclass(frozen=True, slots=True)
class Decompression:
    """Unpacks gzip, xz, bzip2 and zip.

    Attributes:
        max_bytes: ``image_size_cap``.
    """

    max_bytes: int

    def run(self, work: ImportWork) -> PluginResult:
        """Unpack the data, if they are packed and not meant to stay so.

        Raises:
            UnsafeContent: they are damaged, or packed in an unsupported way.
            TooLarge, StoreFull: they would be too many.
        """
        if work.image.container_format == _KEPT:
            return PluginResult()
        with work.open(0, min(work.size, HEAD_BYTES)) as reader:
            if compression_of(b"".join(reader)) is None:
                return PluginResult()
        target = work.scratch / "unpacked"
        unpack(staged_file(work), target, self.max_bytes, work.check_wanted)
        return PluginResult(data=content_of(target))


def make(settings: Settings) -> Decompression:
    """Return the step as it is configured."""
    return Decompression(settings.default.image_size_cap)
