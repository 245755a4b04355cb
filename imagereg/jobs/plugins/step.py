"""What a step between arrival and stores sees, and what it gives back.

A step reads the staged data and says what shall become of them and of the image; the
job writes both in one transaction.  A step knows no database, no stores and no users.

Source: contract api-images 18.4.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from imagereg.model import Image
from imagereg.stores.driver import BlobReader
from imagereg.stores.sparse import HoleFinder

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImportWork:
    """What a step works on.

    Attributes:
        image: the record as the steps before have left it.
        roles: those of whoever began the import.
        size: how many bytes are staged.
        open: opens them; takes an offset and a length, which may be left out.
        scratch: an empty directory that goes when the result is staged.
        check_wanted: to be called now and then during long work; raises to stop it.
    """

    image: Image
    roles: frozenset[str]
    size: int
    open: Callable[..., BlobReader]
    scratch: Path
    check_wanted: Callable[[], None]


@dataclass(frozen=True, slots=True)
class PluginResult:
    """What shall become of the image and its data.

    Attributes:
        fields: core fields to set, such as ``disk_format``.
        properties: custom properties to set; None takes one away.
        data: what takes the place of the staged data; None leaves them.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, str | None] = field(default_factory=dict)
    data: Iterable[bytes] | None = None


class ImportPlugin(Protocol):
    """One step."""

    def run(self, work: ImportWork) -> PluginResult:
        """Do the step; after a crash it is run again, on the same data.

        Raises:
            ImageRegError: the import ends here.  The message is for the owner of the
                image: no paths, and no words of other programs.
        """


class NoOp:
    """The step that changes nothing, by which operators try a configuration."""

    def run(self, work: ImportWork) -> PluginResult:
        """Change nothing."""
        return PluginResult()


def staged_file(work: ImportWork) -> Path:
    """Return an ordinary file with the staged data, for programs that need one."""
    path = work.scratch / "staged"
    holes = HoleFinder()
    with work.open() as reader, path.open("wb") as file:
        for chunk in reader:
            for offset, piece in holes.feed(chunk):
                file.seek(offset)
                file.write(piece)
        for offset, piece in holes.finish():
            file.seek(offset)
            file.write(piece)
        file.truncate(holes.position)
    return path


def content_of(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
