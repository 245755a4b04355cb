"""Which keys of an image record are whose.

Source: contract api-images 5 to 7.
"""

#: Core fields that a client may set on creation and by PATCH.
WRITABLE = frozenset(
    {
        "name",
        "visibility",
        "protected",
        "os_hidden",
        "owner",
        "container_format",
        "disk_format",
        "min_disk",
        "min_ram",
        "tags",
    }
)

#: Core fields that the server alone sets.
READ_ONLY = frozenset(
    {
        "status",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
        "size",
        "virtual_size",
        "created_at",
        "updated_at",
        "self",
        "file",
        "schema",
        "direct_url",
    }
)

#: Names that no custom property may have.
RESERVED = frozenset({"deleted", "deleted_at", "location"})

#: Everything that is not a custom property.
CORE = WRITABLE | READ_ONLY | {"id", "locations", "stores"}

#: Core fields that stay as they are once data is there.
FORMATS = frozenset({"container_format", "disk_format"})

#: Longest name of a custom property, and longest tag, in characters.
NAME_LENGTH = 255


def is_reserved(name: str) -> bool:
    """Return whether clients may never use this name for a property."""
    return name in RESERVED or name.startswith("os_glance")
