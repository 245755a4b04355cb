"""Whose word counts: the front ends that the operator trusts."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


class Peers:
    """Socket addresses, by addresses and networks that the operator names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._networks = tuple(ip_network(name, strict=False) for name in names)

    def __contains__(self, peer: str | None) -> bool:
        known = _address(peer or "")
        return known is not None and any(known in each for each in self._networks)


@lru_cache(maxsize=256)
def _address(peer: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text means; front ends are few and ask often."""
    try:
        address = ip_address(peer)
    except ValueError:
        # A peer without an address, such as one on a local socket.
        return None
    # A listener for both families sees IPv4 peers as mapped addresses.
    return getattr(address, "ipv4_mapped", None) or address
