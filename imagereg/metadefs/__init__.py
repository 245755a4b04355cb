"""Metadata definitions: what the properties of resources mean, and may hold.

Use cases like those of `images`, the checks of what comes in, and the catalogue
that ships with the registry.
"""
