# SPDX-License-Identifier: GPL-3.0-or-later
"""The eBPF plane and the userspace plane do the same with packets that were on a wire.

``record.py`` has recorded them, in ``captured/``. Each is received by host A and by the router, and
what is in it is sent by both, too, whoever sent it then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path
from typing import NamedTuple

import pytest
from scapy.utils import RawPcapReader
from v6ferry.daemon.resources import check
from v6ferry.engines.isatap.tables import ON_LINK_METRIC, link_local_route, tunnel_table
from v6ferry.forwarding.offload import finished
from v6ferry.forwarding.table import TunnelTable
from v6ferry.system.state import HostFacts, InterfaceAddress, Route
from v6ferry.system.tun import Offload
from v6ferry.wire.checksum import internet_checksum

from tests.lab.agent_system.namespaces import isolated
from tests.lab.fast_path.agreement import ETHERNET, REDIRECT, Agreement, Bench
from tests.lab.isatap.intranet import LINK_LOCAL_A, A

pytestmark = pytest.mark.lab

CAPTURES = sorted(Path(__file__).with_name("captured").glob("*.pcap"))
HOST, ROUTER = IPv4Address("192.168.47.99"), IPv4Address("10.0.0.1")
LINK_LOCAL_ROUTER, OF_ROUTER = "fe80::5efe:a00:1", "2001:db8:0:7:0:5efe:a00:1"
PREFIX = IPv6Network("2001:db8:0:7::/64")
IPV4_HEADER, IPV6_HEADER, TCP = 20, 40, 6
LARGEST = 1480
"""Octets of an IPv6 packet that was on a wire; more is a super-packet, which a card would split."""


class Role(NamedTuple):
    """One of the two, as its engine has it after the start."""

    endpoint: IPv4Address
    addresses: tuple[str, ...]
    default_router: str | None
    potential_routers: frozenset[IPv4Address]

    def table(self, *, tunnel_mtu: str) -> TunnelTable:
        spec = {"routers": ["10.0.0.1"], "interface": "tun0", "tunnel_mtu": tunnel_mtu}
        tunnel = check("isatap_host", "default", spec).parsed.tunnel
        routes = [link_local_route(), Route(PREFIX, None, ON_LINK_METRIC)]
        if self.default_router is not None:
            routes.append(Route(IPv6Network("::/0"), IPv6Address(self.default_router), 1024))
        return tunnel_table(
            tunnel,
            HostFacts(),
            (self.endpoint,),
            [InterfaceAddress(IPv6Address(address)) for address in self.addresses],
            routes,
            [PREFIX],
            self.potential_routers,
        )


ROLES = {
    "host": Role(HOST, (LINK_LOCAL_A, A), LINK_LOCAL_ROUTER, frozenset({ROUTER})),
    "router": Role(ROUTER, (LINK_LOCAL_ROUTER, OF_ROUTER), None, frozenset()),
}


def packets(capture: Path) -> Iterator[bytes]:
    """The IPv4 packets of a capture, super-packets as the many that they stand for."""
    for frame, _when in RawPcapReader(str(capture)):
        packet = frame[ETHERNET : ETHERNET + int.from_bytes(frame[16:18], "big")]
        header, inner = packet[:IPV4_HEADER], packet[IPV4_HEADER:]
        if len(inner) <= LARGEST:
            yield packet
            continue
        assert inner[6] == TCP
        headers = IPV6_HEADER + (inner[IPV6_HEADER + 12] >> 4) * 4
        for one in finished(inner, Offload(16, headers, LARGEST - headers, IPV6_HEADER)):
            yield with_length(header, IPV4_HEADER + len(one)) + one


def with_length(header: bytes, length: int) -> bytes:
    changed = bytearray(header)
    changed[2:4], changed[10:12] = length.to_bytes(2, "big"), bytes(2)
    changed[10:12] = internet_checksum(changed).to_bytes(2, "big")
    return bytes(changed)


@pytest.mark.parametrize("tunnel_mtu", ["static", "dynamic"])
@pytest.mark.parametrize("role", ROLES)
@isolated
def test_both_planes_do_the_same_with_captured_packets(role: str, tunnel_mtu: str) -> None:
    bench = Bench([f"{ROLES[role].endpoint}/32"])
    verdicts: Counter[str] = Counter()
    try:
        for capture in CAPTURES:
            # Tables of their own for each: so the counters of each are compared.
            agreement = Agreement(bench, [ROLES[role].table(tunnel_mtu=tunnel_mtu)])
            try:
                for packet in packets(capture):
                    agreement.receive(packet)
                    agreement.transmit("tun0", packet[IPV4_HEADER:])
                agreement.compare_counters()
            except AssertionError as error:
                raise AssertionError(f"{capture.name}: {error}") from error
            finally:
                agreement.end()
            verdicts += agreement.verdicts
    finally:
        bench.close()
    # The program must have carried much of it: both ways, a comparison or two a packet.
    assert verdicts[str(REDIRECT)] > 200, verdicts


def test_there_are_captures_of_every_kind() -> None:
    assert {capture.stem for capture in CAPTURES} == {
        "echoes",
        "errors",
        "fragments-inner",
        "fragments-outer",
        "redirects",
        "sit-host",
        "sit-router",
        "start",
        "tcp",
        "tcp-without-offload",
    }
    assert sum(capture.stat().st_size for capture in CAPTURES) < 200_000
