"""Which URLs the service may follow, and at which addresses.

The one filter of web-download, http locations and redirects.  A host is judged by
the addresses it resolves to, never by its text alone, and whoever follows a URL must
connect to one of the addresses that came out of here: a name asked twice may answer
differently.

Decision on addresses, where contract and security notes differ: private ranges
(10/8, 172.16/12, 192.168/16, fc00::/7) are allowed, because images lie on servers of
the own site and contract 18.3 says so; everything else that is not a global unicast
address is refused, loopback and link-local among it, and so are the addresses at
which clouds keep their metadata inside otherwise allowed ranges.  An address inside
another one (6to4, Teredo, NAT64) counts as both, and a v4-mapped one is refused: no
name server has a reason to answer with it.  A host that the operator names in
``allowed_hosts`` is exempt from all this.

Behind a proxy, which looks names up itself, a name that cannot be resolved here is
its to judge; one that can is judged here as well, and so is every address that stands
in a URL as such.

Source: contract api-images 18.3, config 7; SECURITY on OSSA-2026-038.
"""

import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import SplitResult, quote, unquote, urlsplit

from imagereg.errors import Invalid
from imagereg.settings.imaging import ImportFiltering

Address = IPv4Address | IPv6Address

#: Host and port -> the addresses a name stands for; raises `OSError`.
Resolver = Callable[[str, int], Sequence[str]]

#: What can be followed at all, and where it listens when the URL does not say.
DEFAULT_PORTS = {"http": 80, "https": 443}

_PRIVATE = tuple(
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("168.63.129.16")})
#: Set aside for protocols; one cloud keeps its metadata here, at 192.0.0.192, and not
#: every version of `ipaddress` takes these for what they are.
_ASSIGNED = IPv4Network("192.0.0.0/24")
_NAT64 = IPv6Network("64:ff9b::/96")

_LABEL = re.compile(r"[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f\\]")

#: What a path and query may hold as they are; the rest is percent-encoded.
_SAFE = "!$%&'()*+,-./:;=?@[]_~"


class URLRefused(Invalid):
    """The URL is not one that the service may follow.

    The message is the same for every reason, so that nobody maps a network by it.
    """

    def __init__(self) -> None:
        super().__init__("the URL is not one that may be used")


@dataclass(frozen=True, slots=True)
class CheckedURL:
    """A URL that passed, and where to connect.

    Attributes:
        host: the name for ``Host`` and TLS; an IPv6 address without brackets.
        target: path and query, percent-encoded.
        addresses: every one was checked; connect to these alone.  There may be none
            for a scheme that has a proxy.
        credentials: user and password of the URL, or None.
    """

    scheme: str
    host: str
    port: int
    target: str
    addresses: tuple[str, ...]
    credentials: tuple[str, str] | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what credentials are bound to."""
        return self.scheme, self.host, self.port

    @property
    def host_header(self) -> str:
        """The value of ``Host``."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        if self.port == DEFAULT_PORTS[self.scheme]:
            return name
        return f"{name}:{self.port}"


def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return the addresses of a name, as the system resolves it.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True, slots=True)
class URLFilter:
    """``[import_filtering_opts]``, ready to be asked.

    Attributes:
        proxied: schemes whose URLs are handed to a proxy.
    """

    options: ImportFiltering
    resolver: Resolver = resolve
    proxied: frozenset[str] = frozenset()

    def check(self, url: str) -> CheckedURL:
        """Return where the URL leads, if it may be followed.

        Raises:
            URLRefused: scheme, host, port or an address is not allowed, or the name
                does not resolve and no proxy can ask elsewhere.
        """
        parts, port = _split(url)
        host = _plain_host(parts.hostname or "")
        self._check_lists(parts, host)
        real_port = port or DEFAULT_PORTS[parts.scheme]
        return CheckedURL(
            scheme=parts.scheme,
            host=host,
            port=real_port,
            target=_target(parts),
            addresses=self._addresses(
                host, real_port, is_proxied=parts.scheme in self.proxied
            ),
            credentials=_credentials(parts),
        )

    def _check_lists(self, parts: SplitResult, host: str) -> None:
        options = self.options
        fits = (
            parts.scheme in DEFAULT_PORTS
            and _admits(
                parts.scheme, options.allowed_schemes, options.disallowed_schemes
            )
            and _admits(host, _lower(options.allowed_hosts), self._disallowed)
            # The port counts only where it is written, as in the reference.
            and (
                parts.port is None
                or _admits(parts.port, options.allowed_ports, options.disallowed_ports)
            )
        )
        if not fits:
            raise URLRefused

    @property
    def _disallowed(self) -> tuple[str, ...]:
        return _lower(self.options.disallowed_hosts)

    def _addresses(self, host: str, port: int, *, is_proxied: bool) -> tuple[str, ...]:
        try:
            found = tuple(self.resolver(host, port))
            addresses = [ip_address(text) for text in found]
        except (OSError, ValueError) as error:
            if is_proxied and isinstance(error, OSError) and not _is_literal(host):
                return ()
            raise URLRefused from error
        is_exempt = host in _lower(self.options.allowed_hosts)
        if not addresses or not (is_exempt or all(map(is_reachable, addresses))):
            raise URLRefused
        return found


def is_reachable(address: Address) -> bool:
    """Return whether an address, and each one inside it, may be connected to."""
    return all(_is_allowed(each) for each in _unwrapped(address))


def _is_allowed(address: Address) -> bool:
    if address in _METADATA or address in _ASSIGNED:
        return False
    if address.is_multicast or address.is_reserved:
        return False
    if address.is_loopback or address.is_link_local or address.is_unspecified:
        return False
    if isinstance(address, IPv6Address) and (
        address.ipv4_mapped is not None or address.is_site_local
    ):
        return False
    return address.is_global or any(address in network for network in _PRIVATE)


def _unwrapped(address: Address) -> Iterator[Address]:
    """Yield the addresses that packets to this one may end up at."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
        return
    yield address
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _split(url: str) -> tuple[SplitResult, int | None]:
    """Return the parts of a URL that every parser would read alike.

    Blanks, control characters and backslashes are where parsers differ.
    """
    if _UNPRINTABLE.search(url):
        raise URLRefused
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise URLRefused from error
    is_bracketed = "[" in parts.netloc
    if port == 0 or is_bracketed != (":" in (parts.hostname or "")):
        raise URLRefused
    return parts, port


def _plain_host(host: str) -> str:
    """Return a host in lower case: a plain address, or a name of plain labels.

    Decimal, hex, octal and shortened addresses are refused here, because resolvers
    accept what `ipaddress` does not: ``2130706433``, ``0x7f.1``, ``127.1``.
    """
    host = host.lower()
    try:
        address = ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        is_name = all(_LABEL.fullmatch(label) for label in labels)
        if not is_name or len(host) > 253 or _NUMBER.fullmatch(labels[-1]):
            raise URLRefused from None
        return host.removesuffix(".")
    # A zone names an interface of this very machine.
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        raise URLRefused
    return str(address)


def _is_literal(host: str) -> bool:
    """Return whether a plain host is an address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe=_SAFE)
    return f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path


def _credentials(parts: SplitResult) -> tuple[str, str] | None:
    if parts.username is None and parts.password is None:
        return None
    return unquote(parts.username or ""), unquote(parts.password or "")


def _admits(
    value: object, allowed: Sequence[object], disallowed: Sequence[object]
) -> bool:
    """Return what a pair of lists says; an allow list makes the other one void."""
    return value in allowed if allowed else value not in disallowed


def _lower(hosts: Sequence[str]) -> tuple[str, ...]:
    return tuple(host.lower() for host in hosts)
