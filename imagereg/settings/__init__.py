"""What the operator decided: configuration files to frozen settings.

The option names and the file syntax are those of the Image service, see
`load_settings` for what is read and `imagereg.settings.options` for how an option
is declared.  Nothing here opens a store, a database or a socket.
"""

from imagereg.settings.load import SECTIONS, Settings, load_settings
from imagereg.settings.storage import (
    DriverOptions,
    FileStoreSettings,
    HTTPStoreSettings,
    S3StoreSettings,
    StoreSettings,
)

__all__ = [
    "SECTIONS",
    "DriverOptions",
    "FileStoreSettings",
    "HTTPStoreSettings",
    "S3StoreSettings",
    "Settings",
    "StoreSettings",
    "load_settings",
]
