"""An image registry that speaks the OpenStack Image API v2."""

from importlib.metadata import version

__version__ = version("imagereg")
