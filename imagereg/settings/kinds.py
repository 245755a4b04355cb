"""The kinds of values: text of a file to a value, and a value back to text.

A kind reads what stands in the files and raises `ValueError` saying what it
expected; the reader adds place, name and, unless it is a secret, the text.
Source: contract config 1.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_TRUE = ("true", "1", "on", "yes")
_FALSE = ("false", "0", "off", "no")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_UNITS = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_QUOTA = re.compile(r"([0-9]+)(|B|KB|MB|GB|TB)")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.IGNORECASE)


class Anchors(Protocol):
    """Where relative paths start."""

    def at_work(self, path: Path) -> Path:
        """Return ``path`` under the working directory."""

    def beside_files(self, path: Path) -> Path:
        """Return ``path`` as found beside the configuration files."""


def show_plain(value: object) -> tuple[str, ...]:
    """Return the text that reads as ``value``, one item per line of the file."""
    match value:
        case None:
            return ("",)
        case bool():
            return ("true" if value else "false",)
        case tuple():
            return (",".join(map(str, value)),)
        case Mapping():
            return (",".join(f"{name}:{item}" for name, item in value.items()),)
    return (str(value),)


@dataclass(frozen=True)
class Kind(Generic[T_co]):
    """One kind of value.

    Attributes:
        words: the kind in words, for documents and faults.
        read: every text given for the option, in order, to the value.
        show: the value back to text, one item per ``name = value`` line.
        anchor: makes the paths in a value absolute.
        empty_is_unset: an empty text means the default, as for whole numbers.
        is_repeatable: every text counts, not only the last.
    """

    words: str
    read: Callable[[Sequence[str]], T_co]
    show: Callable[[Any], tuple[str, ...]] = show_plain
    anchor: Callable[[Any, Anchors], Any] | None = None
    empty_is_unset: bool = False
    is_repeatable: bool = False


def scalar(parse: Callable[[str], T]) -> Callable[[Sequence[str]], T]:
    """Return a reader of the last text, which wins."""
    return lambda texts: parse(texts[-1])


def require(condition: object, expected: str) -> None:
    """Raise `ValueError` unless ``condition`` holds."""
    if not condition:
        raise ValueError(f"expected {expected}")


def _parse_bool(text: str) -> bool:
    folded = text.lower()
    require(folded in _TRUE + _FALSE, "true, 1, on, yes or false, 0, off, no")
    return folded in _TRUE


def integer(low: int | None = None, high: int | None = None) -> Kind[int]:
    """Read whole numbers in decimal, within bounds that are both included."""
    words = "a whole number"
    if low is not None and high is not None:
        words += f" from {low} to {high}"
    elif low is not None:
        words += f" of at least {low}"

    def parse(text: str) -> int:
        require(_INTEGER.fullmatch(text), words)
        value = int(text)
        require(low is None or value >= low, words)
        require(high is None or value <= high, words)
        return value

    return Kind(words, scalar(parse), empty_is_unset=True)


def choice(*names: str, fold: bool = False) -> Kind[str]:
    """Read one of ``names``; with ``fold`` in any letter case, read as lower case."""
    words = "one of " + ", ".join(names)

    def parse(text: str) -> str:
        name = text.lower() if fold else text
        require(name in names, words)
        return name

    return Kind(words, scalar(parse))


def split(text: str) -> list[str]:
    """Return the items between commas, trimmed; commas at the end add none."""
    items = [item.strip() for item in text.split(",")]
    while items and not items[-1]:
        items.pop()
    return items


def check_items(items: Iterable[str], names: Sequence[str]) -> None:
    """Refuse items that are not in ``names``; no names means that all are good."""
    if names:
        require(all(item in names for item in items), f"only {', '.join(names)}")


def names(*known: str) -> Kind[tuple[str, ...]]:
    """Read lists between commas, of any items or of ``known`` ones only."""

    def parse(text: str) -> tuple[str, ...]:
        items = split(text)
        check_items(items, known)
        return tuple(items)

    return Kind("a list between commas", scalar(parse))


def _show_bracketed(value: Sequence[object]) -> tuple[str, ...]:
    return (f"[{','.join(map(str, value))}]",)


def _inside_brackets(text: str) -> list[str]:
    require(text[:1] == "[" and text[-1:] == "]", "a list in brackets, such as [a,b]")
    return split(text[1:-1])


def bracketed(*known: str) -> Kind[tuple[str, ...]]:
    """Read lists in square brackets, of any items or of ``known`` ones only."""

    def parse(text: str) -> tuple[str, ...]:
        items = _inside_brackets(text)
        check_items(items, known)
        return tuple(items)

    return Kind("a list in brackets", scalar(parse), _show_bracketed)


def _parse_ports(text: str) -> tuple[int, ...]:
    return tuple(PORT.read([item]) for item in _inside_brackets(text))


def parse_pairs(text: str) -> Mapping[str, str]:
    """Return the ``key:value`` pairs between commas.

    The first colon divides; a value may hold more of them, a key may not be
    empty or come twice.
    """
    pairs: dict[str, str] = {}
    for item in text.split(",") if text else ():
        key, colon, value = (part.strip() for part in item.partition(":"))
        require(key and colon, "key:value pairs between commas")
        if key in pairs:
            raise ValueError(f"the key `{key}` comes twice")
        pairs[key] = value
    return MappingProxyType(pairs)


def _parse_quota(text: str) -> int:
    match = _QUOTA.fullmatch(text)
    if match is None:
        raise ValueError(f"expected {QUOTA_WORDS}")
    return int(match[1]) * _UNITS[match[2]]


def is_host(text: str) -> bool:
    """Return whether ``text`` is a host name or an IP address."""
    if ":" in text or re.fullmatch(r"[0-9.]+", text):
        return is_network(text) and "/" not in text
    labels = text.removesuffix(".").split(".")
    return len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def is_network(text: str) -> bool:
    """Return whether ``text`` is an IP address or a network in CIDR notation."""
    # Imported here: few files set a network, and every start pays for an import.
    from ipaddress import ip_network

    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _parse_host(text: str) -> str:
    require(is_host(text), "a host name or an IP address")
    return text


def _parse_networks(text: str) -> tuple[str, ...]:
    items = split(text)
    require(all(map(is_network, items)), "IP addresses or networks between commas")
    return tuple(items)


def _parse_http_url(text: str) -> str:
    scheme, mark, rest = text.partition("://")
    require(scheme in ("http", "https") and mark, "an http:// or https:// URL")
    require(re.match(r"[^/?#\s]", rest) and not re.search(r"\s", rest), "a URL")
    return text


def _parse_name(text: str) -> str:
    return text


def show_lines(value: Iterable[object]) -> tuple[str, ...]:
    """Return one text for each item of a repeatable option."""
    return tuple(map(str, value))


QUOTA_WORDS = "digits and one of B, KB, MB, GB, TB or nothing, without a blank"

BOOL = Kind("true or false", scalar(_parse_bool))
PORT = integer(0, 65535)
TEXT = Kind("text", scalar(_parse_name))
NAME = Kind("text", scalar(_parse_name), empty_is_unset=True)
PORTS = Kind("a list of ports in brackets", scalar(_parse_ports), _show_bracketed)
PAIRS = Kind("key:value pairs between commas", scalar(parse_pairs))
QUOTA = Kind(QUOTA_WORDS, scalar(_parse_quota), empty_is_unset=True)
HOST = Kind("a host name or an IP address", scalar(_parse_host), empty_is_unset=True)
NETWORKS = Kind("IP addresses or networks", scalar(_parse_networks))
HTTP_URL = Kind("an http(s) URL", scalar(_parse_http_url), empty_is_unset=True)

PATH = Kind("a path", scalar(Path), empty_is_unset=True)
WORKING_PATH = Kind(
    "a path; a relative one starts at the working directory",
    scalar(Path),
    anchor=lambda path, anchors: anchors.at_work(path),
    empty_is_unset=True,
)
CONFIG_PATH = Kind(
    "a path; a relative one is looked for beside the configuration files",
    scalar(Path),
    anchor=lambda path, anchors: anchors.beside_files(path),
    empty_is_unset=True,
)
CONFIG_PATHS: Kind[tuple[Path, ...]] = Kind(
    "a path, looked for beside the configuration files; repeatable",
    lambda texts: tuple(Path(text) for text in texts if text),
    show_lines,
    anchor=lambda paths, anchors: tuple(map(anchors.beside_files, paths)),
    is_repeatable=True,
)
