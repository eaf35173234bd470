# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic tunnels between IPv4-compatible addresses (RFC 2893 section 5).

The host at w.x.y.z has the address ::w.x.y.z, so every host finds every other, and none has to be
told of any. RFC 4213 has taken them out of the standard: this is for networks that still have them.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from v6ferry.addresses.ipv4_embedded import IPV4_COMPATIBLE_PREFIX, ipv4_compatible
from v6ferry.engines.interface import Wanted
from v6ferry.engines.quiet import QuietEngine
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
from v6ferry.system.state import InterfaceAddress, InterfaceState, Route

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


class CompatibleTunnel(QuietEngine):
    """A host with IPv4-compatible addresses.

    Args:
        spec: what the user set.
        random: unused; engines share one signature.
        now: unused; nothing here takes time.
    """

    def __init__(self, spec: CompatibleTunnelSpec, random: Random, now: float) -> None:
        super().__init__()
        self._spec = spec

    def update_spec(self, spec: CompatibleTunnelSpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        self._spec = spec

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
