# SPDX-License-Identifier: GPL-3.0-or-later
"""What Teredo engines have to send, until their driver takes it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network

from v6ferry.addresses.ipv4 import is_globally_unique, is_unicast_endpoint
from v6ferry.addresses.teredo import OBSOLETE_TEREDO_PREFIX
from v6ferry.engines.interface import OutgoingDatagram, Wanted
from v6ferry.engines.quiet import QuietEngine
from v6ferry.forwarding.table import Endpoint
from v6ferry.forwarding.tunnel import PeerChanges
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH
from v6ferry.wire.teredo import TeredoDatagram

_GLOBAL = IPv6Network("2000::/3")


class TeredoEngine(QuietEngine):
    """Holds datagrams and packets, and counts what it discards."""

    def __init__(self, *, globally_unique: bool) -> None:
        super().__init__()
        self._globally_unique = globally_unique
        self._datagrams: list[OutgoingDatagram] = []
        self._deliveries: list[bytes] = []
        self._discarded: dict[str, int] = {}
        self._wanted: Wanted | None = None
        """As it was made last; None when something that it depends on has changed since."""

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        if self._wanted is None:
            self._wanted = self._make_wanted()
        return self._wanted

    def _make_wanted(self) -> Wanted:
        raise NotImplementedError

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``: nothing comes but datagrams."""

    def find_peer(self, packet: bytes, now: float) -> None:
        """See ``DatagramEngine.find_peer``: whoever has no peers sends nothing on."""
        self._discard("packet for which there is no peer")

    def datagrams_to_send(self) -> list[OutgoingDatagram]:
        """See ``DatagramEngine.datagrams_to_send``."""
        taken, self._datagrams = self._datagrams, []
        return taken

    def packets_to_deliver(self) -> list[bytes]:
        """See ``DatagramEngine.packets_to_deliver``."""
        taken, self._deliveries = self._deliveries, []
        return taken

    def peer_changes(self) -> PeerChanges:
        """See ``DatagramEngine.peer_changes``: whoever has no peers has none."""
        return {}

    def send(
        self, datagram: TeredoDatagram, endpoint: Endpoint, source: IPv4Address | None = None
    ) -> None:
        """Send a datagram from one of our addresses, the first one if nothing is said."""
        self._datagrams.append(
            OutgoingDatagram(datagram.build(), endpoint, source or self._source())
        )

    def _source(self) -> IPv4Address | None:
        """Our address where nothing else is said; None leaves it to the kernel's routing."""
        return None

    def _discard(self, why: str) -> None:
        self._discarded[why] = self._discarded.get(why, 0) + 1

    def may_be_far_end(self, endpoint: Endpoint) -> bool:
        """Whether Teredo speaks to an endpoint (RFC 4380 section 5.2.4)."""
        address = endpoint.address
        if not endpoint.port or address in self._facts.host_endpoints:
            return False
        if self._globally_unique:
            return is_globally_unique(address)
        return is_unicast_endpoint(address) and address not in self._facts.broadcast_addresses


def is_global(address: IPv6Address) -> bool:
    """Whether an address is one of the IPv6 Internet: not under Teredo's obsolete prefix either."""
    return address in _GLOBAL and address not in OBSOLETE_TEREDO_PREFIX


def addresses_of(packet: bytes) -> tuple[IPv6Address, IPv6Address]:
    """Source and destination of an IPv6 packet."""
    return IPv6Address(packet[8:24]), IPv6Address(packet[24:IPV6_HEADER_LENGTH])
