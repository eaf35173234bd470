# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic tunnels between IPv4-compatible addresses (RFC 2893 section 5).

The host at w.x.y.z has the address ::w.x.y.z, so every host finds every other, and none has to be
told of any. RFC 4213 has taken them out of the standard: this is for networks that still have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from random import Random
from typing import Any

from v6ferry.addresses.ipv4_embedded import IPV4_COMPATIBLE_PREFIX, ipv4_compatible
from v6ferry.engines.interface import OutgoingPacket, Wanted
from v6ferry.engines.specification import Options
from v6ferry.engines.tunnel import (
    ALL_ADDRESSES,
    ON_LINK_METRIC,
    TunnelOptions,
    tunnel_mtu,
    underlay_endpoints,
)
from v6ferry.forwarding.table import (
    COMPATIBLE,
    ISATAP,
    SIXTOFOUR,
    Encapsulation,
    ForwardingRule,
    IngressRule,
    NearRule,
    TunnelTable,
)
from v6ferry.system.state import HostFacts, InterfaceAddress, InterfaceState, Route

NEAR = (NearRule(ALL_ADDRESSES, False), NearRule(IPV4_COMPATIBLE_PREFIX, COMPATIBLE))
"""Only addresses of this host are on this side (RFC 2893 section 5.2 and 5.4)."""


@dataclass(frozen=True, slots=True)
class CompatibleTunnelSpec:
    """Automatic tunnels; what ``netsh interface ipv6 set state v4compat=enabled`` switches on."""

    tunnel: TunnelOptions

    @classmethod
    def parse(cls, spec: Any, where: str) -> CompatibleTunnelSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        result = cls(TunnelOptions.read(options, "compatible0"))
        options.finish()
        return result


class CompatibleTunnel:
    """A host with IPv4-compatible addresses.

    Args:
        spec: what the user set.
        random: unused; engines share one signature.
        now: unused; nothing here takes time.
    """

    def __init__(self, spec: CompatibleTunnelSpec, random: Random, now: float) -> None:
        self._spec = spec
        self._facts = HostFacts()
        self._gone = False

    def update_spec(self, spec: CompatibleTunnelSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        self._spec = spec

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts = facts

    def name_resolved(self, name: str, addresses: tuple[IPv4Address, ...], now: float) -> None:
        """See ``Engine.name_resolved``; it wants none."""

    def receive(
        self, packet: bytes, outer_source: IPv4Address, outer_destination: IPv4Address, now: float
    ) -> None:
        """See ``Engine.receive``; neighbor discovery is left to the kernel."""

    def note_traffic(self, packets_by_rule: Mapping[str, int]) -> None:
        """See ``Engine.note_traffic``."""

    def handle_timer(self, now: float) -> None:
        """See ``Engine.handle_timer``."""

    def next_deadline(self) -> float | None:
        """See ``Engine.next_deadline``."""
        return None

    def packets_to_send(self) -> list[OutgoingPacket]:
        """See ``Engine.packets_to_send``."""
        return []

    def wanted(self, now: float) -> Wanted:
        """See ``Engine.wanted``."""
        options, facts = self._spec.tunnel, self._facts
        endpoints = underlay_endpoints(options, facts)
        addresses = tuple(
            InterfaceAddress(ipv4_compatible(one), IPV4_COMPATIBLE_PREFIX.prefixlen)
            for one in endpoints
        )
        routes = (Route(IPV4_COMPATIBLE_PREFIX, None, ON_LINK_METRIC),) if endpoints else ()
        local = frozenset(one.address for one in addresses)
        table = TunnelTable(
            interface=options.interface,
            forwarding=(ForwardingRule(IPV4_COMPATIBLE_PREFIX, COMPATIBLE, "automatic"),),
            ingress=(IngressRule(IPV4_COMPATIBLE_PREFIX, (COMPATIBLE,), "automatic"),),
            encapsulation=Encapsulation(
                ttl=options.ttl,
                dscp=options.dscp,
                dynamic_mtu=options.dynamic_mtu,
                sources=(COMPATIBLE,),
            ),
            local_endpoints=frozenset(endpoints),
            host_endpoints=facts.host_endpoints | frozenset(endpoints),
            local_addresses=local,
            host_addresses=facts.host_addresses | local,
            endpoint_rules=options.endpoint_rules(),
            source_rules=NEAR,
            destination_rules=NEAR,
            automatic=(ISATAP, SIXTOFOUR, COMPATIBLE),
            ipv4_compatible=True,
        )
        mtu = tunnel_mtu(options, facts)
        return Wanted(InterfaceState(options.interface, mtu, addresses, routes), table)

    def begin_withdrawal(self, now: float) -> None:
        """See ``Engine.begin_withdrawal``: nobody has to be told."""
        self._gone = True

    def withdrawn(self) -> bool:
        """See ``Engine.withdrawn``."""
        return self._gone

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        endpoints = underlay_endpoints(self._spec.tunnel, self._facts)
        summary = "no IPv4 address that the tunnel may use"
        if endpoints:
            summary = f"automatic tunnels from {', '.join(f'::{one}' for one in endpoints)}"
        return {
            "ready": bool(endpoints),
            "summary": summary,
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(one) for one in endpoints],
            "addresses": [{"address": str(ipv4_compatible(one))} for one in endpoints],
        }

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``; everything follows from the host's addresses."""
        return {}

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
