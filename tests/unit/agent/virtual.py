# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP engines in virtual time: hosts and routers on an underlay of plain Python.

Packets travel through the same decisions that the planes execute (``forwarding.decide``), with no
delay; time moves only when a test says so.
"""

from __future__ import annotations

import math
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from random import Random

from v6ferry.addresses.isatap import isatap_link_local
from v6ferry.engines.isatap.host import IsatapHost
from v6ferry.engines.isatap.router import IsatapRouter
from v6ferry.engines.isatap.specification import IsatapHostSpec, IsatapRouterSpec
from v6ferry.forwarding.decide import (
    Accept,
    Encapsulate,
    decide_decapsulation,
    decide_encapsulation,
)
from v6ferry.system.state import HostFacts, UnderlayAddress
from v6ferry.wire.ipv6 import Ipv6Header
from v6ferry.wire.neighbor_discovery import (
    NeighborAdvertisement,
    NeighborSolicitation,
    PrefixInformation,
    RouterAdvertisement,
    RouterSolicitation,
    decode,
    encode,
)

ROUTER, ROUTER2 = IPv4Address("10.0.0.1"), IPv4Address("10.0.2.1")
HOST_A, HOST_B = IPv4Address("192.168.47.99"), IPv4Address("131.107.71.209")
PREFIX = IPv6Network("2001:db8:0:7::/64")
PREFIX2 = IPv6Network("2001:db8:0:8::/64")
DEFAULT = IPv6Network("::/0")


def facts(*addresses, mtu=1500):
    """A host with these IPv4 addresses on eth0."""
    return HostFacts(
        underlay=tuple(UnderlayAddress(one, "eth0") for one in addresses),
        underlay_mtu={"eth0": mtu},
        host_endpoints=frozenset(addresses),
    )


def host_spec(**spec):
    """An ISATAP host's specification; its router is ROUTER unless the test says otherwise."""
    return IsatapHostSpec.parse({"routers": [str(ROUTER)], **spec}, "isatap_host/test")


def router_spec(*prefixes, **spec):
    """An ISATAP router's specification for prefixes given as text or as mappings."""
    entries = [one if isinstance(one, dict) else {"prefix": str(one)} for one in prefixes]
    return IsatapRouterSpec.parse({"prefixes": entries, **spec}, "isatap_router/test")


class Node:
    """An engine with a clock, and everything that it has sent: (time, endpoint, message)."""

    def __init__(self, engine, addresses, seed=1):
        self.now = 0.0
        self.engine = engine
        self.sent = []
        self.underlay = None
        self.traffic = {}
        self.set_addresses(*addresses)

    @classmethod
    def host(cls, *addresses, now=0.0, seed=1, **spec):
        """An ISATAP host."""
        return cls(IsatapHost(host_spec(**spec), Random(seed), now), addresses or (HOST_A,))

    @classmethod
    def router(cls, address=ROUTER, *prefixes, **spec):
        """An ISATAP router."""
        spec = router_spec(*(prefixes or (PREFIX,)), **spec)
        return cls(IsatapRouter(spec, Random(1), 0.0), (address,))

    def set_addresses(self, *addresses):
        """The host's IPv4 addresses are these now."""
        self.facts = facts(*addresses)
        self.engine.update_facts(self.facts, self.now)
        self.settle()

    def settle(self):
        """Send what is to be sent, as the driver does after each word to the engine."""
        self.wanted = self.engine.wanted(self.now)
        for one in self.engine.packets_to_send():
            self.sent.append((self.now, one.endpoint, decode(one.packet)[1]))
            if self.underlay is not None:
                self.underlay.carry(self, one)  # the answer settles this node again

    def run(self, seconds):
        """Let time pass."""
        end = self.now + seconds
        while (deadline := self.next_deadline()) <= end:
            self.now = max(deadline, self.now)
            self.tick()
        self.now = end

    def next_deadline(self):
        deadline = self.engine.next_deadline()
        return math.inf if deadline is None else deadline

    def tick(self):
        """Do what is due at ``now``."""
        self.engine.note_traffic(dict(self.traffic))
        self.engine.handle_timer(self.now)
        self.settle()

    def hear(self, message, sender=ROUTER, *, source=None, destination=None):
        """Receive a neighbor discovery message from the node at ``sender``."""
        here = self.facts.underlay[0].address
        packet = encode(
            message,
            source or isatap_link_local(sender),
            destination or isatap_link_local(here),
        )
        self.engine.receive(packet, sender, here, self.now)
        self.settle()

    def use(self, prefix=DEFAULT, packets=1):
        """Let packets go through the route of a prefix."""
        for rule in self.wanted.table.forwarding:
            if rule.prefix == prefix:
                self.traffic[rule.name] = self.traffic.get(rule.name, 0) + packets

    # What came of it

    def times(self, kind, endpoint=None):
        """When messages of a kind were sent, to an endpoint or to any."""
        return [
            time
            for time, to, message in self.sent
            if isinstance(message, kind) and endpoint in (None, to)
        ]

    @property
    def addresses(self):
        """Its IPv6 addresses, as text."""
        return {str(one.address) for one in self.wanted.interface.addresses}

    @property
    def gateways(self):
        """Gateway by prefix of its routes, both as text; None for on-link."""
        return {
            str(route.prefix): route.gateway and str(route.gateway)
            for route in self.wanted.interface.routes
        }

    def lifetimes(self, address):
        """Remaining (preferred, valid) seconds of an address; infinity for ever."""
        for one in self.wanted.interface.addresses:
            if str(one.address) == address:
                return tuple(
                    math.inf if end is None else max(0, round(end - self.now, 3))
                    for end in (one.preferred_until, one.valid_until)
                )
        raise AssertionError(f"{address} is not among {sorted(self.addresses)}")

    @property
    def status(self):
        return self.engine.status(self.now)


def advertisement(*prefixes, router_lifetime=1800, **fields):
    """A router advertisement; prefixes as networks (usual lifetimes) or PrefixInformation."""
    entries = tuple(
        one if isinstance(one, PrefixInformation) else PrefixInformation(one) for one in prefixes
    )
    return RouterAdvertisement(
        prefixes=entries or (PrefixInformation(PREFIX),), router_lifetime=router_lifetime, **fields
    )


class Underlay:
    """An IPv4 network in which every node reaches every other, unless a test cuts one off."""

    def __init__(self, *nodes):
        self.nodes = list(nodes)
        self.cut = set()
        for node in nodes:
            node.underlay = self

    def node_at(self, endpoint):
        for node in self.nodes:
            if any(one.address == endpoint for one in node.facts.underlay):
                return node
        return None

    def carry(self, sender, one):
        """An engine's own packet, through the receiver's ingress table."""
        source = one.source or sender.facts.underlay[0].address
        receiver = self.node_at(one.endpoint)
        if receiver is None or sender in self.cut or receiver in self.cut:
            return
        header = Ipv6Header.parse(one.packet)
        decision = decide_decapsulation(
            receiver.wanted.table, source, one.endpoint, header.source, header.destination
        )
        if isinstance(decision, Accept):
            receiver.engine.receive(one.packet, source, one.endpoint, receiver.now)
            receiver.settle()

    def run(self, seconds, step=None):
        """Let time pass for all nodes; ``step`` is called every 0.2 s."""
        end = self.nodes[0].now + seconds
        next_step = self.nodes[0].now
        while True:
            times = [node.next_deadline() for node in self.nodes]
            now = min([*times, next_step if step else math.inf, end])
            for node in self.nodes:
                node.now = max(node.now, now)
            if now >= end:
                return
            if step and now >= next_step:
                next_step = now + 0.2
                step()
            for node, time in zip(self.nodes, times, strict=True):
                if time <= now:
                    node.tick()

    def send(self, sender, source, destination):
        """A data packet of ``sender``; returns the node that gets it out of its tunnel, or None."""
        decision = decide_encapsulation(
            sender.wanted.table, IPv6Address(source), IPv6Address(destination)
        )
        if not isinstance(decision, Encapsulate):
            return None
        sender.traffic[decision.rule] = sender.traffic.get(decision.rule, 0) + 1
        receiver = self.node_at(decision.endpoint)
        if receiver is None or sender in self.cut or receiver in self.cut:
            return None
        accepted = decide_decapsulation(
            receiver.wanted.table,
            decision.source or sender.facts.underlay[0].address,
            decision.endpoint,
            IPv6Address(source),
            IPv6Address(destination),
        )
        return receiver if isinstance(accepted, Accept) else None


def without_host_facts(node):
    """A node's facts as they are before the kernel was asked."""
    return replace(node.facts, underlay=(), host_endpoints=frozenset())


__all__ = [
    "NeighborAdvertisement",
    "NeighborSolicitation",
    "Node",
    "RouterSolicitation",
    "Underlay",
    "advertisement",
]
