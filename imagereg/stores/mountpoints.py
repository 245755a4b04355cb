"""The metadata file of a file store: which mount a location belongs to.

It is the key to direct download: a consumer that has the same file system mounted
finds the file itself.  Source: contract stores 2.1, ruling S-6.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from imagereg.errors import ConfigurationError


class Mountpoints:
    """The entries of a metadata file, longest mountpoint first."""

    def __init__(self, entries: tuple[Mapping[str, Any], ...] = ()) -> None:
        self._entries = sorted(
            ((PurePosixPath(entry["mountpoint"]), entry) for entry in entries),
            key=lambda pair: len(pair[0].parts),
            reverse=True,
        )

    def describe(self, path: Path) -> dict[str, Any]:
        """Return the metadata of a location at ``path``: its entry, or nothing."""
        for mountpoint, entry in self._entries:
            if path.is_relative_to(mountpoint):
                return dict(entry)
        return {}


def load_mountpoints(path: Path) -> Mountpoints:
    """Return what the metadata file at ``path`` says.

    Raises:
        ConfigurationError: it cannot be read, is no JSON object or array of
            objects, or an entry lacks the texts ``id`` and ``mountpoint``.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"metadata file {path}: {error}"]) from error
    entries = content if isinstance(content, list) else [content]
    if not all(_is_entry(entry) for entry in entries):
        wants = "an object, or objects, with texts id and mountpoint"
        raise ConfigurationError([f"metadata file {path}: must hold {wants}"])
    return Mountpoints(tuple(entries))


def _is_entry(entry: object) -> bool:
    """Return whether ``entry`` has what a consumer needs; more is allowed."""
    return isinstance(entry, dict) and all(
        isinstance(entry.get(name), str) for name in ("id", "mountpoint")
    )
