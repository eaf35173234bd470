# SPDX-License-Identifier: GPL-3.0-or-later
"""What one tunnel of a host would bring back, no other one lets through (RFC 6324 section 3.3)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

from v6ferry.addresses.teredo import TeredoAddress
from v6ferry.forwarding.table import (
    ISATAP,
    SIXTOFOUR,
    TEREDO,
    IngressRule,
    Listed,
    TunnelTable,
)

from tests.lab.agent_system.namespaces import isolated
from tests.lab.fast_path.agreement import OURS, Agreement, Bench
from tests.lab.fast_path.test_planes_agree import IPV4, outer

THERE = IPV4[2]
DESTINATION = TeredoAddress(THERE, OURS, 3544).encode()
PACKET = outer(THERE, OURS, IPv6Address("2001:db8::1"), DESTINATION)


def table(name: str, *automatic: object) -> TunnelTable:
    peer = IngressRule(IPv6Network("::/0"), (Listed(frozenset({THERE})),), "peer")
    ours = frozenset({OURS})
    return TunnelTable(
        name, ingress=(peer,), local_endpoints=ours, host_endpoints=ours, automatic=automatic
    )


@isolated
def test_each_tunnel_refuses_what_any_other_would_bring_back_rfc6324_3_3():
    bench = Bench()
    try:
        both = Agreement(bench, [table("tun0", ISATAP)])
        both.receive(PACKET)
        assert both.reference.counters("tun0").packets_in == 1
        both.add(table("tun1", SIXTOFOUR, TEREDO))
        both.receive(PACKET)
        drops = both.reference.counters("tun0").drops
        assert drops == {"loop_destination_embeds_our_endpoint": 1}
        both.forget("tun1")
        both.receive(PACKET)
        assert both.reference.counters("tun0").packets_in == 2
        both.compare_counters()
        both.end()
    finally:
        bench.close()


@isolated
def test_what_the_site_of_any_tunnel_holds_is_no_loop_for_the_others_rfc6324_3_3():
    bench = Bench()
    try:
        both = Agreement(bench, [table("tun0", TEREDO)])
        both.receive(PACKET)
        assert both.reference.counters("tun0").packets_in == 0
        site = IPv6Network((int(DESTINATION) >> 64 << 64, 64))
        both.add(replace(table("tun1"), site_prefixes=(site,)))
        both.receive(PACKET)
        assert both.reference.counters("tun0").packets_in == 1
        both.forget("tun1")
        both.receive(PACKET)
        drops = both.reference.counters("tun0").drops
        assert drops == {"loop_destination_embeds_our_endpoint": 2}
        both.compare_counters()
        both.end()
    finally:
        bench.close()
