# SPDX-License-Identifier: GPL-3.0-or-later
"""The Teredo relay engine (RFC 4380 section 5.4), for native hosts or for its own host alone."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

from v6ferry.addresses.teredo import TEREDO_PREFIX
from v6ferry.engines.interface import Wanted
from v6ferry.engines.teredo.node import TeredoNode
from v6ferry.engines.teredo.outbox import addresses_of, is_global
from v6ferry.engines.teredo.peers import Peer
from v6ferry.engines.teredo.specification import TeredoRelaySpec
from v6ferry.engines.teredo.tables import NATIVE_SIDE, OVERHEAD, only, teredo_table
from v6ferry.engines.tunnel import tunnel_mtu, underlay_endpoints
from v6ferry.system.state import HostFacts, InterfaceState, Route
from v6ferry.wire.teredo import is_bubble


class TeredoRelay(TeredoNode):
    """A Teredo relay, or a host-specific one.

    Args:
        spec: what the user set.
        random: makes nonces.
        now: the time at which the engine starts.
    """

    def __init__(self, spec: TeredoRelaySpec, random: Random, now: float) -> None:
        super().__init__(
            random, now, globally_unique=spec.globally_unique, most_peers=spec.most_peers
        )
        self._spec = spec

    # What the engine is told

    def update_spec(self, spec: TeredoRelaySpec, now: float) -> None:
        """See ``Engine.update_spec``."""
        if (spec.host_specific, spec.port) != (self._spec.host_specific, self._spec.port):
            self._forget_peers()
        self._spec, self._wanted = spec, None
        self._globally_unique = spec.globally_unique
        self.peers.most = spec.most_peers

    def update_facts(self, facts: HostFacts, now: float) -> None:
        """See ``Engine.update_facts``."""
        self._facts, self._wanted = facts, None

    # What differs from clients

    def _native(self) -> tuple[IPv6Address, ...]:
        """The host's own native addresses."""
        return tuple(
            one
            for _interface, addresses in sorted(self._facts.preferred_addresses.items())
            for one in addresses
            if _is_native(one)
        )

    def address_for(self, peer: Peer) -> IPv6Address | None:
        """See ``TeredoNode.address_for``."""
        return next(iter(self._native()), None)

    def _may_send(self, source: IPv6Address, destination: IPv6Address) -> bool:
        return destination in TEREDO_PREFIX and self._is_near(source)

    def _may_receive(self, packet: bytes) -> bool:
        source, destination = addresses_of(packet)
        if is_bubble(packet) and destination not in self._native():
            return False
        return source in TEREDO_PREFIX and self._is_near(destination)

    def _is_near(self, address: IPv6Address) -> bool:
        return address in self._native() if self._spec.host_specific else _is_native(address)

    def _sends_direct_bubbles(self) -> bool:
        return self._spec.opens_nat

    # What the engine wants

    def endpoints(self) -> tuple[IPv4Address, ...]:
        """See ``TeredoNode.endpoints``."""
        return underlay_endpoints(self._spec.tunnel, self._facts)

    def _make_wanted(self) -> Wanted:
        spec, endpoints, native = self._spec, self.endpoints(), self._native()
        works = bool(endpoints and native)
        # RFC 4380 section 5.4: nothing but the whole prefix, and never a part of it.
        routes = (Route(TEREDO_PREFIX, None, spec.route_metric),) if works else ()
        return Wanted(
            interface=InterfaceState(
                spec.tunnel.interface,
                tunnel_mtu(spec.tunnel, self._facts, overhead=OVERHEAD),
                (),
                routes,
                forwarding=not spec.host_specific,
            ),
            table=teredo_table(
                spec.tunnel,
                self._facts,
                endpoints,
                spec.port,
                native[:1],
                (TEREDO_PREFIX,) if works else (),
                only(native) if spec.host_specific else NATIVE_SIDE,
            ),
        )

    def snapshot(self) -> dict[str, Any]:
        """See ``Engine.snapshot``: the clients that are known."""
        return {"peers": self.peers.snapshot()}

    def restore(self, snapshot: Mapping[str, Any], now: float) -> None:
        """See ``Engine.restore``."""
        try:
            self._restore_peers(snapshot["peers"], now)
        except (KeyError, TypeError, ValueError):
            self._discard("snapshot: malformed")

    def status(self, now: float) -> dict[str, Any]:
        """See ``Engine.status``."""
        endpoints, native = self.endpoints(), self._native()
        return {
            "ready": bool(endpoints and native),
            "summary": self._summary(),
            "interface": self._spec.tunnel.interface,
            "underlay_addresses": [str(one) for one in endpoints],
            "port": self._spec.port,
            "peers": len(self.peers),
            "discarded": dict(sorted(self._discarded.items())),
        }

    def _summary(self) -> str:
        endpoints, native = self.endpoints(), self._native()
        if not endpoints:
            return "no IPv4 address that the tunnel may use"
        if not native:
            return "no native IPv6 address, which a relay needs to be found at"
        whom = "this host" if self._spec.host_specific else "native IPv6"
        return f"relays between Teredo clients and {whom} at {endpoints[0]}:{self._spec.port}"


def _is_native(address: IPv6Address) -> bool:
    return is_global(address) and address not in TEREDO_PREFIX
