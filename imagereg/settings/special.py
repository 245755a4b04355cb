"""Kinds of values that one option alone needs: flavors, hashes, addresses of data."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

from imagereg.settings.kinds import (
    Anchors,
    Kind,
    parse_pairs,
    require,
    scalar,
    split,
)

BASE_FLAVORS = ("", "keystone", "trusted-headers", "http_basic")
CACHE_SUFFIXES = ("caching", "cachemanagement")
FLAVORS = (
    *BASE_FLAVORS,
    *(
        f"{base}+{suffix}".removeprefix("+")
        for base in BASE_FLAVORS
        for suffix in CACHE_SUFFIXES
    ),
)
RESERVED_PREFIX = "os_glance_"
_ENGINES = ("sqlite", "postgresql", "mysql", "mariadb")
_STORE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LEVELS = ("CRITICAL", "ERROR", "WARNING", "WARN", "INFO", "DEBUG", "NOTSET", "TRACE")


def _parse_folders(text: str) -> tuple[tuple[Path, str], ...]:
    pairs = parse_pairs(text)
    for folder, prefix in pairs.items():
        require(Path(folder).is_absolute(), "absolute directories")
        good = re.fullmatch(r"/[!-~]*/", prefix) and "//" not in prefix
        require(good, "directory:/prefix/, the prefix between slashes")
    return tuple((Path(folder), prefix) for folder, prefix in pairs.items())


def _show_folders(value: tuple[tuple[Path, str], ...]) -> tuple[str, ...]:
    return (",".join(f"{folder}:{prefix}" for folder, prefix in value),)


def _parse_hash(text: str) -> str:
    # Imported here: the default needs no check, and every start pays for an import.
    import hashlib

    try:
        is_fixed = hashlib.new(text, usedforsecurity=False).digest_size > 0
    except (TypeError, ValueError):  # of a name with NUL
        is_fixed = False
    require(is_fixed, "the name of a hash that hashlib knows, of fixed length")
    return text


def _parse_flavor(text: str) -> str:
    require(text in FLAVORS, "nothing or one of " + ", ".join(filter(None, FLAVORS)))
    return text


def _parse_backends(text: str) -> Mapping[str, str]:
    pairs = parse_pairs(text)
    for name, kind in pairs.items():
        require(kind, "a type for each store, as in id:type")
        require(_STORE_ID.fullmatch(name), "ids of letters, digits and . _ -")
        if name.lower().startswith(RESERVED_PREFIX):
            raise ValueError(f"the prefix {RESERVED_PREFIX} is reserved, see `{name}`")
    if len({name.lower() for name in pairs}) < len(pairs):
        raise ValueError("two ids differ in letter case alone")
    return pairs


def _parse_file_uri(text: str) -> str:
    path = text.removeprefix("file://")
    require(path != text and path.startswith("/"), "file:// and an absolute path")
    return text


def path_of(uri: str) -> Path:
    """Return the path in a ``file://`` URI."""
    return Path(unquote(uri.removeprefix("file://")))


def _parse_database(text: str) -> str:
    scheme, mark, _ = text.partition("://")
    engine, plus, driver = scheme.partition("+")
    require(
        mark and engine in _ENGINES and bool(plus) == bool(driver),
        "a URL that starts with " + ", ".join(f"{name}://" for name in _ENGINES),
    )
    return text


def _parse_mode(text: str) -> int:
    if text.startswith("-") and text[1:].isdecimal():
        return 0
    require(text and set(text) <= set("01234567"), "octal digits, such as 640")
    mode = int(text, 8)
    require(mode <= 0o777, "at most 777")
    require(mode == 0 or mode & 0o400, "a mode that lets the owner read")
    return mode


def _parse_datadirs(texts: Sequence[str]) -> tuple[tuple[Path, int], ...]:
    pairs: list[tuple[Path, int]] = []
    for text in filter(None, texts):
        name, colon, digits = text.rpartition(":")
        path = Path(name if colon else text)
        require(not colon or digits.lstrip("-").isdecimal(), "path or path:priority")
        priority = int(digits) if colon else 0
        pairs.append((path, priority))
    if len(set(pairs)) != len(dict(pairs)):
        raise ValueError("one directory has two priorities")
    return tuple(pairs)


def _anchor_datadirs(
    pairs: Sequence[tuple[Path, int]], anchors: Anchors
) -> tuple[tuple[Path, int], ...]:
    return tuple((anchors.at_work(path), priority) for path, priority in pairs)


def _parse_levels(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for item in split(text):
        logger, mark, level = (part.strip() for part in item.partition("="))
        require(logger and mark and level.upper() in _LEVELS, "logger=LEVEL pairs")
        pairs.append((logger, level.upper()))
    return tuple(pairs)


def _show_levels(pairs: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return (",".join(f"{logger}={level}" for logger, level in pairs),)


HASH = Kind("the name of a hash", scalar(_parse_hash))
FLAVOR = Kind(
    "who authenticates, and +caching or +cachemanagement", scalar(_parse_flavor)
)
BACKENDS = Kind("id:type pairs between commas", scalar(_parse_backends))
FILE_URI = Kind("a file:// URI", scalar(_parse_file_uri), empty_is_unset=True)
DATABASE = Kind("a database URL", scalar(_parse_database), empty_is_unset=True)
MODE = Kind(
    "octal digits, 0 leaves it to the umask",
    scalar(_parse_mode),
    lambda mode: (format(mode, "o"),),
    empty_is_unset=True,
)
DATADIRS: Kind[tuple[tuple[Path, int], ...]] = Kind(
    "path or path:priority; repeatable",
    _parse_datadirs,
    lambda pairs: tuple(f"{path}:{priority}" for path, priority in pairs),
    anchor=_anchor_datadirs,
    is_repeatable=True,
)
LEVELS = Kind("logger=LEVEL pairs between commas", scalar(_parse_levels), _show_levels)
FOLDERS = Kind(
    "directory:/prefix/ pairs between commas", scalar(_parse_folders), _show_folders
)
