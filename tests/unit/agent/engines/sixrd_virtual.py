# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6rd customer edge in virtual time, with border relays that forward or are silent."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from random import Random

from v6ferry.engines.sixrd.customer_edge import SixrdCustomerEdge
from v6ferry.engines.sixrd.specification import SixrdCustomerEdgeSpec
from v6ferry.engines.sixrd.tables import FROM_RELAYS, RELAYED, probe_rule
from v6ferry.forwarding.decide import Accept, decide_decapsulation
from v6ferry.system.state import HostFacts, LinkFacts, UnderlayAddress
from v6ferry.wire.ipv6 import Ipv6Header
from v6ferry.wire.neighbor_discovery import decode

EDGE, RELAY, RELAY2 = map(IPv4Address, ("10.100.100.1", "10.0.0.1", "10.0.0.2"))
SPEC = {"prefix": "2001:db8::/32", "ipv4_mask_length": 8, "border_relays": [str(RELAY)]}


def spec(**options):
    return SixrdCustomerEdgeSpec.parse({**SPEC, **options}, "sixrd_ce/test")


def facts(*addresses, private=(), sources=None):
    underlay = [UnderlayAddress(one, "wan0") for one in addresses]
    underlay += [UnderlayAddress(one, "lan0") for one in private]
    return HostFacts(
        underlay=tuple(underlay),
        underlay_mtu={"wan0": 1500},
        sources=sources or {},
        host_endpoints=frozenset([*addresses, *private]),
        links={"lan0": LinkFacts(3, None), "lan1": LinkFacts(4, None)},
    )


class Edge:
    """A customer edge; relays in ``forwarding`` send back what they are given."""

    def __init__(self, host=None, **options):
        self.now = 0.0
        self.engine = SixrdCustomerEdge(spec(**options), Random(1), self.now)
        self.forwarding = {RELAY, RELAY2}
        self.counters = {}
        self.probed = []
        self.advertised = []
        self.set_facts(host or facts(EDGE))

    def set_facts(self, host):
        links = {
            name: replace(one, link_local=IPv6Address(f"fe80::{one.index}"))
            for name, one in host.links.items()
        }
        self.engine.update_facts(replace(host, links=links), self.now)
        self.settle()

    def settle(self):
        self.wanted = self.engine.wanted(self.now)
        for one in self.engine.packets_to_send():
            self.probed.append((self.now, one.endpoint))
            if one.endpoint in self.forwarding:
                self._come_back(one)
        for one in self.engine.link_packets_to_send():
            self.advertised.append((self.now, one.interface, decode(one.packet)[1]))

    def _come_back(self, one):
        """The relay forwards it to the destination, which is the edge itself."""
        header = Ipv6Header.parse(one.packet)
        decision = decide_decapsulation(
            self.wanted.table, one.endpoint, one.source, header.source, header.destination
        )
        assert decision == Accept(probe_rule(one.endpoint)), decision
        self._count(decision.rule)

    def _count(self, rule):
        self.counters[rule] = self.counters.get(rule, 0) + 1

    def run(self, seconds, traffic=None):
        """Let time pass; each second, packets go out ("one way") or go and come ("two way")."""
        end, next_second = self.now + seconds, self.now
        while True:
            deadline = self.engine.next_deadline()
            times = [end, *([] if deadline is None else [deadline])]
            if traffic:
                times.append(next_second)
            self.now = max(self.now, min(times))
            if self.now >= end:
                return
            if traffic and self.now >= next_second:
                next_second += 1
                self._count(RELAYED)
                if traffic == "two way":
                    self._count(FROM_RELAYS)
            if deadline is not None and deadline <= self.now:
                self.engine.note_traffic(dict(self.counters))
                self.engine.handle_timer(self.now)
                self.settle()

    @property
    def status(self):
        return self.engine.status(self.now)

    @property
    def delegated(self):
        return self.status["delegated_prefix"]

    @property
    def in_use(self):
        (one,) = [one["address"] for one in self.status["border_relays"] if one["in_use"]]
        return IPv4Address(one)

    def state_of(self, relay):
        (one,) = [
            one["reachability"]
            for one in self.status["border_relays"]
            if one["address"] == str(relay)
        ]
        return one
