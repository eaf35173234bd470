# SPDX-License-Identifier: GPL-3.0-or-later
"""How a client finds the relay of a native host (RFC 4380 section 5.2.9).

It sends the host an echo request through its server; the answer comes by the host's relay.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from v6ferry.engines.teredo.peers import Peer
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_packet
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, NEXT_HEADER_ICMPV6
from v6ferry.wire.teredo import TeredoDatagram

ECHO_DATA_LENGTH = 8
"""Octets of the random data that an answer is known by."""


def echo_request(peer: Peer, address: IPv6Address) -> TeredoDatagram:
    """Return an echo request from our address to a native host, with its ``echo_data``."""
    data = peer.echo_data or b""
    identifier, sequence = data[:2], peer.attempts.to_bytes(2, "big")
    message = bytes((Icmpv6Type.ECHO_REQUEST, 0, 0, 0)) + identifier + sequence + data
    return TeredoDatagram(icmpv6_packet(address, peer.address, message, hop_limit=64))


def answers_echo_request(peer: Peer, packet: bytes) -> bool:
    """Whether a packet of a native host answers our echo request."""
    return (
        peer.echo_data is not None
        and packet[6] == NEXT_HEADER_ICMPV6
        and packet[IPV6_HEADER_LENGTH : IPV6_HEADER_LENGTH + 1] == bytes((Icmpv6Type.ECHO_REPLY,))
        and packet[IPV6_HEADER_LENGTH + 8 :] == peer.echo_data
    )
