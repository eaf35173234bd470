# SPDX-License-Identifier: GPL-3.0-or-later
"""How the host would send to an IPv6 address, from the same tables that the planes execute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from v6ferry.addresses import decode, format_isatap
from v6ferry.daemon.control import RequestError
from v6ferry.daemon.host import Host
from v6ferry.daemon.runners import AnyRunner
from v6ferry.daemon.supervisor import Supervisor
from v6ferry.forwarding.counters import DropReason
from v6ferry.forwarding.decide import Drop, decide_encapsulation
from v6ferry.forwarding.icmp_errors import tunnel_path_mtu
from v6ferry.forwarding.table import Endpoint, TunnelTable
from v6ferry.forwarding.userspace import UserspacePlane
from v6ferry.system.netlink import Ipv6Route
from v6ferry.wire.ipv6 import IPV6_MINIMUM_MTU

_WHY = {
    DropReason.NO_RULE: "no forwarding rule of the tunnel holds it",
    DropReason.REFUSED_BY_RULE: (
        "the rule refuses it: what it holds never passes here, or there is no far end (see v6ferry"
        " show)"
    ),
    DropReason.ENDPOINT_REFUSED: (
        "the IPv4 address it leads to is not among those that the tunnel speaks to"
        " (allowed_endpoints, or what the technology itself refuses)"
    ),
    DropReason.DESTINATION_NOT_EMBEDDED: (
        "it lies in an on-link prefix of the tunnel but embeds no IPv4 address (on an ISATAP link,"
        " expected ...:5efe:w.x.y.z)"
    ),
    DropReason.INNER_SOURCE: "the source is in no prefix that is behind this tunnel",
    DropReason.ENDPOINT_NOT_UNICAST: "the endpoint is not a unicast address",
    DropReason.MULTICAST: "this tunnel carries no multicast (RFC 5214 section 6.3)",
    DropReason.LOOP_ENDPOINT: "the endpoint is this host itself: a loop (RFC 6324)",
    DropReason.LOOP_SOURCE: "the source embeds an IPv4 address of this host: a loop (RFC 6324)",
}


_MOST_IDLE_TUNNELS = 3
_PORT_CHOICE = {
    "preserving": "it keeps ports, so each peer has one of ours to itself and is told of it",
    "sequential": "it chooses ports in order, so each peer is told the one that comes next",
    "random": "it chooses ports at random, so peers behind a NAT that tells ports apart are out of"
    " reach",
    "unknown": "how it chooses ports is not known so far",
}


async def explain(
    supervisor: Supervisor, host: Host, destination: str, source: str | None
) -> Mapping[str, Any]:
    """Follow a packet from the routing table to the underlay, without sending it.

    Args:
        supervisor: knows the tunnels.
        host: gives routes and tables.
        destination: an IPv6 address; a link-local one may carry ``%interface``.
        source: the inner source, such as that of a packet to be forwarded; None takes the kernel's.

    Returns:
        ``steps`` for people, ``verdict`` and ``sent`` as the outcome, and each finding by name.

    Raises:
        RequestError: an address cannot be used.
    """
    address, zone = _address("destination", destination)
    tunnels = _tunnels(supervisor)
    if address.is_link_local and zone is None:
        zone = _only_tunnel(address, tunnels)
    trail = _Trail(address)
    route = await host.netlink.ipv6_route_to(address, zone)
    if route is None:
        trail.idle_tunnels(_idle(supervisor, host))
        return trail.end(False, "the kernel has no IPv6 route to it; see ip -6 route")
    trail.route(route)
    if route.is_local:
        for line in _proxied(supervisor, address):
            trail.step(line)
        return trail.end(True, "it is an address of this host")
    runner = tunnels.get(route.interface)
    if runner is None:
        trail.idle_tunnels(_idle(supervisor, host))
        return trail.end(True, f"it goes natively through {route.interface}, no tunnel of ours")
    trail.found["resource"] = runner.resource.label
    table = host.plane.tables().get(route.interface)
    if table is None:
        return trail.end(False, f"{runner.resource.label} does not run: {runner.fault}")
    if source is not None:
        inner_source = _address("source", source)[0]
    elif route.source is not None:
        inner_source = route.source
    else:
        return trail.end(False, f"{route.interface} has no IPv6 address to send from")
    trail.found["source"] = format_isatap(inner_source)
    trail.teredo(runner.status())
    return await _through_tunnel(trail, host, table, inner_source)


def _tunnels(supervisor: Supervisor) -> dict[str, AnyRunner]:
    """The resources that are tunnels, by interface."""
    return {
        runner.interface: runner
        for runner in supervisor.runners.values()
        if runner.interface is not None
    }


def _idle(supervisor: Supervisor, host: Host) -> dict[str, str]:
    """Resources whose tunnels carry nothing at the moment, and why: they have no endpoint."""
    tables = host.plane.tables()
    return {
        runner.resource.label: str(runner.status()["summary"])
        for interface, runner in _tunnels(supervisor).items()
        if (table := tables.get(interface)) is None
        or not table.local_endpoints
        or runner.status().get("state") == "offline"
    }


def _proxied(supervisor: Supervisor, address: IPv6Address) -> Iterator[str]:
    """The rules of PortProxy that take connections to an address of this host."""
    for runner in supervisor.runners.values():
        status = runner.status()
        if runner.resource.kind != "portproxy" or 6 not in runner.resource.parsed.listen_versions:
            continue
        if status["listen_address"].partition("%")[0] in ("*", str(address)):
            where = ", ".join(status["connect_addresses"]) or "nowhere yet"
            yield (
                f"{runner.resource.label} takes TCP connections to port {status['listen_port']}"
                f" and leads to {where} port {status['connect_port']}"
            )


async def _through_tunnel(
    trail: _Trail, host: Host, table: TunnelTable, source: IPv6Address
) -> Mapping[str, Any]:
    decision = decide_encapsulation(
        table, source, trail.destination, host.plane.peers(table.interface)
    )
    if decision.rule is not None:
        trail.found["rule"] = decision.rule
        trail.step(f"the forwarding table of {table.interface} has the rule {decision.rule}")
    if isinstance(decision, Drop) and decision.reason is DropReason.NO_PEER and table.on_demand:
        return trail.end(True, _how_peers_are_found(trail))
    if isinstance(decision, Drop):
        why = _WHY.get(decision.reason, decision.reason.value)
        trail.found["drop_reason"] = decision.reason.value
        return trail.end(False, f"it is dropped ({decision.reason.value}): {why}")
    trail.found["endpoint"] = str(decision.endpoint)
    encapsulation = table.encapsulation
    tos = (encapsulation.dscp or 0) << 2
    plane = host.plane.carrier(table.interface)
    endpoint = Endpoint(decision.endpoint, decision.port, decision.local_port)
    underlay = host.plane.way_of_programs(table.interface, endpoint, decision.source, tos)
    if underlay is None:
        if plane != UserspacePlane.name:
            trail.step(
                f"the {plane} plane hands it up to the agent: the kernel has no route to the"
                f" endpoint {decision.endpoint} for what comes in by {table.interface}"
            )
            plane = UserspacePlane.name
        underlay = await host.netlink.route_to(decision.endpoint, decision.source, tos)
    if underlay is None:
        return trail.end(False, f"the kernel has no IPv4 route to the endpoint {decision.endpoint}")
    outer_source = decision.source or underlay.source
    dynamic = encapsulation.dynamic_mtu
    trail.found |= {
        "outer_source": str(outer_source),
        "uplink": underlay.interface,
        "uplink_mtu": underlay.mtu,
        "plane": plane,
        "dont_fragment": dynamic and underlay.mtu > IPV6_MINIMUM_MTU + encapsulation.overhead,
    }
    protocol = "protocol 41"
    if encapsulation.port:
        ours = decision.local_port or encapsulation.port
        protocol = f"UDP, port {ours} to {decision.port}"
        trail.found["port"] = decision.port
    trail.step(
        f"the {plane} plane puts it into IPv4 ({protocol}) from {outer_source} to"
        f" {decision.endpoint}, time to live {encapsulation.ttl}, through {underlay.interface}"
    )
    if dynamic:
        mtu = tunnel_path_mtu(underlay.mtu, encapsulation.overhead)
        trail.found["mtu"] = mtu
        trail.step(f"packets up to {mtu} bytes fit the IPv4 path MTU of {underlay.mtu} bytes")
    else:
        trail.step(
            f"DF is clear (static tunnel MTU): IPv4 fragments it beyond {underlay.mtu} bytes"
        )
    return trail.end(True, f"it goes through {table.interface} to the endpoint {decision.endpoint}")


def _how_peers_are_found(trail: _Trail) -> str:
    """What goes before a packet to a Teredo peer that has not been heard for a while."""
    parts = decode(trail.destination).teredo
    if parts is None:
        trail.found["found_by"] = "echo request"
        return "an echo request through the Teredo server finds its relay first; the packet waits"
    endpoint = f"{parts.client}, port {parts.port}"
    trail.found["endpoint"], trail.found["port"] = str(parts.client), parts.port
    if parts.cone:
        return f"it goes to the client's NAT at {endpoint}, which lets everybody in"
    trail.found["found_by"] = "bubbles"
    return (
        f"bubbles to the client's NAT at {endpoint}, and through its server {parts.server}, go"
        " first; the packet waits"
    )


class _Trail:
    """Collects what is found."""

    def __init__(self, destination: IPv6Address) -> None:
        self.destination = destination
        self.found: dict[str, Any] = {"destination": format_isatap(destination)}
        self.found["address"] = decode(destination).as_dict()
        self._steps: list[str] = []
        known = decode(destination)
        embedded = f", of IPv4 host {known.embedded_ipv4}" if known.embedded_ipv4 else ""
        self.step(f"{self.found['destination']}: {known.kind} address{embedded}")
        if known.kind == "teredo-obsolete":
            self.step(
                "3ffe:831f::/32 was the Teredo prefix of Windows XP; nobody has it any more, and"
                " clients, servers and relays refuse it (RFC 4380 has 2001::/32)"
            )

    def step(self, line: str) -> None:
        self._steps.append(line)

    def route(self, route: Ipv6Route) -> None:
        gateway = None if route.gateway is None else format_isatap(route.gateway)
        self.found["interface"], self.found["gateway"] = route.interface, gateway
        way = "on-link" if gateway is None else f"via {gateway}"
        start = "" if route.source is None else f", from {format_isatap(route.source)}"
        self.step(f"the kernel routes it {way} through {route.interface}{start}")

    def teredo(self, status: Mapping[str, Any]) -> None:
        """Say what a Teredo client has to do first, and whom its NAT lets it reach."""
        if status.get("state") in ("dormant", "probe"):
            self.found["state"] = status["state"]
            has = "asks its server as soon as a packet comes" * (status["state"] == "dormant")
            self.step(f"the Teredo client has no address so far: it {has or 'asks its server'}")
        if status.get("nat") == "symmetric":
            self.found["nat"], choice = status["nat"], status["port_choice"]
            self.found["port_choice"] = choice
            self.step(f"before this host is a symmetric NAT: {_PORT_CHOICE[choice]}")

    def idle_tunnels(self, why: Mapping[str, str]) -> None:
        """Say which tunnels it might have gone through."""
        self.found["idle"] = dict(why)
        shown = list(why.items())[:_MOST_IDLE_TUNNELS]
        for label, summary in shown:
            self.step(f"{label} carries nothing at the moment: {summary}")
        if len(why) > len(shown):
            self.step(f"nor do {len(why) - len(shown)} more (see v6ferry show)")

    def end(self, sent: bool, verdict: str) -> Mapping[str, Any]:
        return {**self.found, "steps": self._steps, "sent": sent, "verdict": verdict}


def _address(name: str, text: str) -> tuple[IPv6Address, str | None]:
    plain, percent, zone = text.partition("%")
    try:
        address = IPv6Address(plain)
    except AddressValueError as error:
        raise RequestError(
            f"{name}: {text!r} is not an IPv6 address; give one such as 2001:db8::1, or"
            " fe80::1%isatap0 with its interface"
        ) from error
    if percent and not zone:
        raise RequestError(f"{name}: {text!r} names no interface after %")
    return address, zone or None


def _only_tunnel(address: IPv6Address, tunnels: Mapping[str, AnyRunner]) -> str:
    if len(tunnels) != 1:
        example = next(iter(sorted(tunnels)), "isatap0")
        raise RequestError(
            f"destination: {address} is link-local, so it needs its interface: {address}%{example}"
        )
    return next(iter(tunnels))
