# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo server engine (RFC 4380 section 5.3): it keeps no state of its clients.

Whatever it sends is no longer than what it got but for a constant, so nobody gains by having it
send to others; and one address gets no more than so much a second.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random
from typing import Any

from v6ferry.addresses.ipv4 import NOT_GLOBALLY_UNIQUE
from v6ferry.addresses.teredo import TeredoAddress, decode
from v6ferry.engines.interface import OutgoingDatagram, Wanted
from v6ferry.engines.teredo.outbox import TeredoEngine, addresses_of, is_global
from v6ferry.engines.teredo.qualification import ALL_ROUTERS, Secret
from v6ferry.engines.teredo.specification import TeredoServerSpec
from v6ferry.engines.teredo.tables import OVERHEAD, teredo_table
from v6ferry.engines.tunnel import tunnel_mtu
from v6ferry.forwarding.rate_limit import RateLimit
from v6ferry.forwarding.table import Answer, Endpoint, EndpointRule, TunnelTable
from v6ferry.system.state import HostFacts, InterfaceState
from v6ferry.wire.icmpv6 import Icmpv6Type
from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, IPV6_MINIMUM_MTU, NEXT_HEADER_ICMPV6
from v6ferry.wire.neighbor_discovery import (
    INFINITE_LIFETIME,
    PrefixInformation,
    RouterAdvertisement,
    RouterSolicitation,
    encode,
)
from v6ferry.wire.neighbor_discovery import decode as decode_message
from v6ferry.wire.parser import WireError
from v6ferry.wire.teredo import (
    AUTHENTICATION_LENGTH,
    TEREDO_PORT,
    Authentication,
    Confirmation,
    Origin,
    TeredoDatagram,
    authentication_value,
    is_authentic,
    is_bubble,
)

_LINK_LOCAL = IPv6Network("fe80::/10")
_CONE = 1 << 63
"""Of a link-local address's interface identifier (section 5.2.1)."""
_REMEMBERED = 64
"""Solicitations that planes answer without the engine: those of one implementation are alike."""
ECHO_LENGTH = 128
"""Octets of the longest echo request that goes on to a native host: clients need no more."""


class TeredoServer(TeredoEngine):
    """A Teredo server.

    Args:
        spec: what the user set.
        random: spreads the slots of the rate limit.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: TeredoServerSpec, random: Random, now: float) -> None:
        super().__init__(globally_unique=spec.globally_unique)
        self._random = random
        self._counted = {"advertisements": 0, "bubbles": 0, "echo_requests": 0}
        self._use_spec(spec)

    # What the engine is told

    def update_spec(self, spec: TeredoServerSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        self._use_spec(spec)

    def _use_spec(self, spec: TeredoServerSpec) -> None:
        self._spec = spec
        self._globally_unique = spec.globally_unique
        self._limit = RateLimit(spec.rate_limit, self._random.getrandbits(64))
        self._secrets = {one.identifier: one for one in spec.secrets}
        self._answers: dict[tuple[bytes, IPv4Address], tuple[bytes, IPv4Address]] = {}
        self._wanted = None

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts
        self._wanted = None

    def receive_datagram(
        self, payload: bytes, source: Endpoint, destination: IPv4Address, now: float
    ) -> None:
        """See ``DatagramEngine.receive_datagram``."""
        try:
            datagram = TeredoDatagram.parse(payload)
        except WireError as error:
            self._discard(f"bad {error.field}")
            return
        why = self._receive(datagram, payload, source, destination, now)
        if why is not None:
            self._discard(why)

    # RFC 4380 section 5.3.1, a check after the other

    def _receive(
        self,
        datagram: TeredoDatagram,
        payload: bytes,
        source: Endpoint,
        destination: IPv4Address,
        now: float,
    ) -> str | None:
        packet = datagram.packet
        if not self.may_be_far_end(source):
            return "outer source"
        if datagram.origin is not None:
            return "origin indication of somebody who is no server"
        is_empty = is_bubble(packet) and len(packet) == IPV6_HEADER_LENGTH
        if not is_empty and packet[6] != NEXT_HEADER_ICMPV6:
            return "neither bubble nor ICMPv6"
        inner_source, inner_destination = addresses_of(packet)
        is_link_local = inner_source in _LINK_LOCAL
        if is_link_local and not is_empty:
            return self._solicited(datagram, inner_source, source, destination, now)
        client, server = decode(inner_source), self._spec.server_address
        if client is None:
            # Bubbles of miredo are link-local: its origin says all that is to know of the sender.
            if not is_link_local and not is_global(inner_source):
                return "inner source"
        elif client.server == server:
            if (client.client, client.port) != (source.address, source.port):
                return "inner source is not the outer one"
        elif client.client != source.address:
            # A symmetric NAT gives it another port towards us than towards its own server.
            return "inner source is not the outer one"
        target = decode(inner_destination)
        if target is not None:
            return self._forward(payload, datagram, target, source, now)
        if client is None or client.server != server:
            return "packet to a native host from somebody who is no client of ours"
        if is_empty or not is_global(inner_destination):
            return "inner destination"
        return self._pass_on(packet, source, now)

    def _forward(
        self,
        payload: bytes,
        datagram: TeredoDatagram,
        target: TeredoAddress,
        source: Endpoint,
        now: float,
    ) -> str | None:
        """Send a bubble on to a client of ours, as it is but for the origin before it."""
        if target.server != self._spec.server_address:
            return "inner destination is a client of another server"
        endpoint = Endpoint(target.client, target.port)
        if not self.may_be_far_end(endpoint):
            return "mapped address of the inner destination"
        if not self._limit.allows(endpoint.address, now):
            return "rate limit"
        self._counted["bubbles"] += 1
        # What is behind the packet is not for us to know (RFC 6081 section 4.1).
        rest = payload[_length_of(datagram.authentication) :]
        origin = Origin(source.address, source.port).build()
        self._datagrams.append(OutgoingDatagram(origin + rest, endpoint, self._spec.server_address))
        return None

    def _pass_on(self, packet: bytes, source: Endpoint, now: float) -> str | None:
        """Send an echo request on to a native host (section 5.2.9)."""
        if packet[IPV6_HEADER_LENGTH : IPV6_HEADER_LENGTH + 1] != bytes((Icmpv6Type.ECHO_REQUEST,)):
            return "ICMPv6 that is no echo request to a native host"
        if len(packet) > ECHO_LENGTH:
            return "long echo request"
        if not self._spec.forwarding:
            return "echo request, and forwarding is false"
        if not self._limit.allows(source.address, now):
            return "rate limit"
        self._counted["echo_requests"] += 1
        self._deliveries.append(packet)
        return None

    def _solicited(
        self,
        datagram: TeredoDatagram,
        client: IPv6Address,
        source: Endpoint,
        destination: IPv4Address,
        now: float,
    ) -> str | None:
        """Answer a solicitation (sections 5.2.1, 5.2.2 and 5.3.2)."""
        try:
            header, message = decode_message(datagram.packet)
        except WireError as error:
            return f"solicitation with a bad {error.field}"
        if not isinstance(message, RouterSolicitation):
            return "link-local source without a solicitation"
        if header.destination != ALL_ROUTERS:
            return "solicitation to others than all routers"
        secret, confirmation, why = self._check_key(datagram)
        if why is not None:
            return why
        if not self._limit.allows(source.address, now):
            return "rate limit"
        self._counted["advertisements"] += 1
        answer_from = destination
        if int(client) & _CONE:
            # Only a NAT that lets everybody in lets in what comes from our other address.
            both = (self._spec.server_address, self._spec.secondary_address)
            answer_from = both[destination == both[0]]
        packet, origin = self._advertisement(client), Origin(source.address, source.port)
        asked, authentication = datagram.authentication, None
        if not self._secrets and len(self._answers) < _REMEMBERED:
            self._answers[datagram.packet, destination] = packet, answer_from
            self._wanted = None
        if asked is not None:
            value = b""
            if secret is not None:
                value = authentication_value(secret.key, asked.nonce, confirmation, origin, packet)
            identifier = secret.identifier if secret is not None else b""
            authentication = Authentication(asked.nonce, confirmation, identifier, value)
        self.send(TeredoDatagram(packet, origin, authentication), source, answer_from)
        return None

    def _check_key(
        self, datagram: TeredoDatagram
    ) -> tuple[Secret | None, Confirmation, str | None]:
        """Whose key a solicitation has been made with, what to say to it, and why to say nothing.

        Section 5.2.2: a client whose key we do not know hears that it needs a new one.
        """
        if not self._secrets:
            return None, Confirmation.ACCEPTED, None
        asked = datagram.authentication
        if asked is None or not asked.client_identifier:
            if self._spec.require_authentication:
                return None, Confirmation.ACCEPTED, "solicitation without a key"
            return None, Confirmation.ACCEPTED, None
        secret = self._secrets.get(asked.client_identifier)
        if secret is None or not is_authentic(secret.key, datagram):
            return None, Confirmation.NEW_KEY_NEEDED, None
        return secret, Confirmation.ACCEPTED, None

    def _advertisement(self, client: IPv6Address) -> bytes:
        address = self._spec.server_address
        prefix = IPv6Network((0x2001_0000 << 96 | int(address) << 64, 64))
        message = RouterAdvertisement(
            prefixes=(
                PrefixInformation(
                    prefix,
                    on_link=False,
                    valid_lifetime=INFINITE_LIFETIME,
                    preferred_lifetime=INFINITE_LIFETIME,
                ),
            ),
            mtu=IPV6_MINIMUM_MTU,
        )
        return encode(message, _link_local(address), client)

    # What the engine wants

    def _make_wanted(self) -> Wanted:
        spec = self._spec
        return Wanted(
            interface=InterfaceState(
                spec.tunnel.interface,
                tunnel_mtu(spec.tunnel, self._facts, overhead=OVERHEAD),
                forwarding=spec.forwarding,
            ),
            table=self._table(),
        )

    def _table(self) -> TunnelTable:
        table = teredo_table(self._spec.tunnel, self._facts, self._present(), TEREDO_PORT)
        refused = NOT_GLOBALLY_UNIQUE if self._globally_unique else ()
        return replace(
            table,
            endpoint_rules=(
                *table.endpoint_rules,
                *(EndpointRule(one, False) for one in refused),
                *(EndpointRule(IPv4Network(one), False) for one in self._facts.broadcast_addresses),
            ),
            answers=tuple(
                Answer(request, destination, reply, source)
                for (request, destination), (reply, source) in self._answers.items()
            ),
            answer_limit=self._spec.rate_limit,
        )

    def _present(self) -> tuple[IPv4Address, ...]:
        both = (self._spec.server_address, self._spec.secondary_address)
        return tuple(one for one in both if one in self._facts.host_endpoints)

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        present = self._present()
        return {
            "ready": len(present) == 2,
            "summary": self._summary(),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(one) for one in present],
            "answered": dict(self._counted),
            "discarded": dict(sorted(self._discarded.items())),
        }

    def _summary(self) -> str:
        spec, present = self._spec, self._present()
        for option in ("server_address", "secondary_address"):
            address = getattr(spec, option)
            if address not in present:
                return f"{option} {address} is no IPv4 address of this host; add it, or set another"
        return f"serves Teredo clients at {spec.server_address} and {spec.secondary_address}"


def _length_of(authentication: Authentication | None) -> int:
    if authentication is None:
        return 0
    return AUTHENTICATION_LENGTH + len(authentication.client_identifier) + len(authentication.value)


def _link_local(server: IPv4Address) -> IPv6Address:
    """Of a server: made like a Teredo address with its own endpoint (section 5.2.1)."""
    identifier = 0x8000 << 48 | (TEREDO_PORT ^ 0xFFFF) << 32 | int(server) ^ 0xFFFF_FFFF
    return IPv6Address(0xFE80 << 112 | identifier)
