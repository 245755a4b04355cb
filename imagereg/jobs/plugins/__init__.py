"""Steps between the arrival of imported data and the stores, in configured order.

A step reads the staged data and says what shall become of them and of the image; the
job writes both in one transaction.  A step knows no database, no stores and no users.
Copies between stores pass no step.

A new step is one module of this package and one line in `_MAKERS`.

Source: contract api-images 18.4, config 6.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from imagereg.errors import ConfigurationError
from imagereg.model import Image
from imagereg.settings import Settings
from imagereg.stores.driver import BlobReader


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


_MAKERS: Mapping[str, Callable[[Settings], ImportPlugin]] = MappingProxyType(
    {"no_op": lambda settings: NoOp()}
)


def load_plugins(settings: Settings) -> Sequence[ImportPlugin]:
    """Return the steps of ``[image_import_opts] image_import_plugins``, in order.

    Raises:
        ConfigurationError: one of them is not there.
    """
    names = settings.image_import_opts.image_import_plugins
    faults = [
        f"[image_import_opts] image_import_plugins: this version has no {name}"
        for name in names
        if name not in _MAKERS
    ]
    if faults:
        raise ConfigurationError(faults)
    return [_MAKERS[name](settings) for name in names]
