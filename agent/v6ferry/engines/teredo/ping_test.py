# SPDX-License-Identifier: GPL-3.0-or-later
"""How a client finds the relay of a native host (RFC 4380 section 5.2.9)."""

from __future__ import annotations

from v6ferry.engines.teredo.local_discovery import DiscoveringNode
from v6ferry.engines.teredo.node import RETRY
from v6ferry.engines.teredo.peers import QUEUE_LENGTH, Peer
from v6ferry.forwarding.table import Endpoint
from v6ferry.wire.icmpv6 import Icmpv6Type, icmpv6_packet
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, NEXT_HEADER_ICMPV6
from v6ferry.wire.teredo import TEREDO_PORT, TeredoDatagram, is_bubble

_ECHO_DATA_LENGTH = 8


class PingingNode(DiscoveringNode):
    """A node that sends echo requests through its server; the answers come by the hosts' relays."""

    def _look_for_native(self, peer: Peer, now: float) -> None:
        asked, address = self._asked_server(), self._address_for(peer)
        if address is None or asked is None:
            return
        if peer.echo_data is None:
            peer.echo_data = self._random.randbytes(_ECHO_DATA_LENGTH)
        header = bytes((Icmpv6Type.ECHO_REQUEST, 0, 0, 0)) + self._random.randbytes(2)
        message = header + peer.attempts.to_bytes(2, "big") + peer.echo_data
        packet = icmpv6_packet(address, peer.address, message, hop_limit=64)
        self._send(TeredoDatagram(packet), Endpoint(asked[0].primary, TEREDO_PORT))

    def _answers_look(self, peer: Peer, packet: bytes) -> bool:
        return (
            peer.echo_data is not None
            and packet[6] == NEXT_HEADER_ICMPV6
            and packet[IPV6_HEADER_LENGTH : IPV6_HEADER_LENGTH + 1]
            == bytes((Icmpv6Type.ECHO_REPLY,))
            and packet[IPV6_HEADER_LENGTH + 8 :] == peer.echo_data
        )

    def _received_from_native(self, peer: Peer, source: Endpoint, packet: bytes, now: float) -> str:
        if is_bubble(packet):
            return "bubble of an unknown relay"
        self._use(peer, now)
        peer.incoming.append((source, packet))
        del peer.incoming[:-QUEUE_LENGTH]
        if now - peer.last_attempt >= RETRY:
            self._attempt(peer, now)
        return "packet of an unknown relay, kept until it is known"
