# SPDX-License-Identifier: GPL-3.0-or-later
"""Which IPv4 addresses are whose: properties that the transition technologies ask about."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network

# IANA IPv4 Special-Purpose Address Registry (RFC 6890), "Globally Reachable: False", and multicast.
# The deprecated 6to4 relay anycast block (RFC 7526) is listed there as "N/A": an anycast address is
# nobody's own, so it cannot make an identifier unique, and Linux counts it the same way.
NOT_GLOBALLY_UNIQUE = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private use
            "100.64.0.0/10",  # shared address space behind carrier-grade NAT
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local
            "172.16.0.0/12",  # private use
            "192.0.0.0/24",  # IETF protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relay anycast
            "192.168.0.0/16",  # private use
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and the limited broadcast address
        ),
    )
)
_NETWORKS_AND_MASKS = tuple(
    (int(network.network_address), int(network.netmask)) for network in NOT_GLOBALLY_UNIQUE
)
# Port Control Protocol and TURN anycast: reachable although their block is not.
_EXCEPTIONS = frozenset({IPv4Address("192.0.0.9"), IPv4Address("192.0.0.10")})


@lru_cache(maxsize=4096)
def is_globally_unique(address: IPv4Address) -> bool:
    """Tell whether ``address`` is known to be unique in the whole Internet.

    This is the "Globally Reachable" column of the IANA special-purpose registry, so it does not
    change with the Python version as ``IPv4Address.is_global`` does; multicast is never unique.
    """
    value = int(address)
    return address in _EXCEPTIONS or not any(
        value & mask == network for network, mask in _NETWORKS_AND_MASKS
    )


def is_unicast_endpoint(address: IPv4Address) -> bool:
    """Tell whether ``address`` may be the endpoint of a tunnel: one host on the underlay.

    Not so are 0.0.0.0/8, 127.0.0.0/8, multicast (224.0.0.0/4) and 240.0.0.0/4 with the limited
    broadcast address. A subnet's own broadcast address cannot be told without its netmask.
    """
    first_octet = int(address) >> 24
    return 0 < first_octet < 224 and first_octet != 127
