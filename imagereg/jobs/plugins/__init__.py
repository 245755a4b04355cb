"""Steps between the arrival of imported data and the stores, in configured order.

Copies between stores pass no step.  A new step is one module of this package and one
entry in `load_plugins`.

Source: contract api-images 18.4, config 6.
"""

from collections.abc import Callable, Mapping, Sequence

from imagereg.jobs.plugins import conversion, decompression, injection
from imagereg.jobs.plugins.step import (
    ImportPlugin,
    ImportWork,
    NoOp,
    PluginResult,
)
from imagereg.settings import Settings

__all__ = ["ImportPlugin", "ImportWork", "PluginResult", "load_plugins"]


def load_plugins(settings: Settings) -> Sequence[ImportPlugin]:
    """Return the steps of ``[image_import_opts] image_import_plugins``, in order.

    Raises:
        ConfigurationError: one of them cannot work on this machine.
    """
    makers: Mapping[str, Callable[[Settings], ImportPlugin]] = {
        "no_op": lambda settings: NoOp(),
        "inject_image_metadata": injection.make,
        "image_conversion": conversion.make,
        "image_decompression": decompression.make,
    }
    names = settings.image_import_opts.image_import_plugins
    return [makers[name](settings) for name in names]
