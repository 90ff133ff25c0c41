"""Where addresses are meaningful: the networks configured for a registry or a cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def within(host: str, networks: Iterable[Network]) -> bool:
    """Whether a host is an address in one of the networks; a host name is in none."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address.version == n.version and address in n for n in networks)
