"""Whose word counts: the front ends that the operator trusts."""

from ipaddress import ip_address, ip_network


class Peers:
    """Socket addresses, by addresses and networks that the operator names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._networks = tuple(ip_network(name, strict=False) for name in names)

    def __contains__(self, peer: str | None) -> bool:
        try:
            address = ip_address(peer or "")
        except ValueError:
            # A peer without an address, such as one on a local socket.
            return False
        # A listener for both families sees IPv4 peers as mapped addresses.
        known = getattr(address, "ipv4_mapped", None) or address
        return any(known in network for network in self._networks)
