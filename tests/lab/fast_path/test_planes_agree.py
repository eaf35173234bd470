# SPDX-License-Identifier: GPL-3.0-or-later
"""The eBPF plane and the userspace plane do the same with every packet.

Tables and packets are drawn at random.
"""

from __future__ import annotations

import struct
from collections import Counter
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from random import Random
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from v6ferry.addresses import isatap_link_local
from v6ferry.addresses.teredo import TeredoAddress
from v6ferry.forwarding.table import (
    ANYBODY,
    COMPATIBLE,
    ISATAP,
    PEERS,
    SIXTOFOUR,
    TEREDO,
    BitPattern,
    Embedded,
    Encapsulation,
    Endpoint,
    EndpointRule,
    Fixed,
    ForwardingRule,
    IngressRule,
    Listed,
    NearRule,
    TunnelTable,
)
from v6ferry.wire.checksum import internet_checksum
from v6ferry.wire.ipv4 import PROTOCOL_IPV6, PROTOCOL_UDP

from tests.lab.agent_system.namespaces import isolated
from tests.lab.fast_path.agreement import OURS, REDIRECT, SECOND, SHOT, Agreement, Bench

PACKETS = 250
EXAMPLES = 500
"""Together more than 100 000 packets."""

IPV4 = [
    OURS,
    SECOND,
    *map(
        IPv4Address,
        (
            "192.168.47.100",
            "198.51.100.7",  # behind a path of 1400 octets
            "192.0.2.77",  # behind one of 1290
            "131.107.71.209",
            "10.0.0.1",
            "203.0.113.66",  # unreachable
            "192.168.47.255",
            "224.0.0.1",
            "127.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
        ),
    ),
]
SIXRD = Embedded(32, BitPattern(0x20010DB9 << 96, 0xFFFFFFFF << 96), 192 << 24, 8)
PREFIXES = [
    IPv6Network(text)
    for text in (
        "::/0", "fe80::/64", "fe80::/10", "2001:db8::/32", "2001:db8:0:7::/64", "2002::/16",
        "2001:db9::/32", "2001:db8:5::/48", "2001:db8::9/128", "2001::/32", "::/96",
    )
]  # fmt: skip
IPV4_PREFIXES = [
    IPv4Network(text)
    for text in ("0.0.0.0/0", "192.168.0.0/16", "192.168.47.100/32", "131.107.0.0/16", "10.0.0.0/8")
]
SELECTORS = [ISATAP, SIXTOFOUR, SIXRD, TEREDO, COMPATIBLE]
PORTS = [3544, 4096]
MORE_PORTS = [61001, 61002]
"""Of ours, for single peers (RFC 6081 section 5.3)."""
TRUNCATED = 7


def addresses(random: Random) -> IPv6Address:
    """An address of a kind that matters, more often than not with one of our IPv4 addresses."""
    ipv4 = int(random.choice(IPV4))
    kind = random.randrange(10)
    if kind == 0:
        return (
            isatap_link_local(IPv4Address(ipv4 or 1))
            if ipv4 >> 24 in (10, 192, 198)
            else (IPv6Address((0xFE80 << 112) | 0x2000_5EFE << 32 | ipv4))
        )
    high = random.choice([0xFE80 << 48, 0x20010DB8_00000007, 0x20010DB8_00050000, 0x20010DB7 << 32])
    if kind == 1:
        return IPv6Address(high << 64 | random.choice([0x5EFE, 0x0200_5EFE]) << 32 | ipv4)
    if kind == 2:
        return IPv6Address(0x2002 << 112 | ipv4 << 80 | random.choice([1, 1 << 64 | 5]))
    if kind == 3:
        return IPv6Address(0x20010DB9 << 96 | (ipv4 & 0xFFFFFF) << 72 | 1)
    if kind == 4:
        return IPv6Address(random.choice([ipv4, 0xFFFF << 32 | ipv4, 1, 0]))
    if kind == 5:
        return IPv6Address(random.choice(["ff02::1", "ff02::2", "ff02::1:ff00:1", "ff0e::5"]))
    if kind == 6:
        return IPv6Address(random.choice(["2001:db8::9", "2001:db8:5::5", "2001:db8:0:7::99"]))
    if kind == 7:
        return TeredoAddress(
            IPv4Address("192.0.2.9"), IPv4Address(ipv4), random.choice(PORTS)
        ).encode()
    return IPv6Address(high << 64 | random.choice([1, 9, 0x0211_22FF_FE33_4455]))


def fixed(random: Random) -> Fixed:
    """An endpoint, in rare cases one that has no port."""
    return Fixed(random.choice(IPV4), random.choice([*PORTS, 3544, 0]))


def near_rules(random: Random) -> tuple[NearRule, ...]:
    """Rules for the near side: mostly none."""
    if random.random() < 0.6:
        return ()
    prefixes = random.sample(PREFIXES, random.randint(1, 3))
    return tuple(NearRule(one, random.choice([True, False, *SELECTORS])) for one in prefixes)


def peers(random: Random) -> dict[IPv6Address, Endpoint]:
    """A peer table."""
    return {
        addresses(random): Endpoint(
            random.choice(IPV4), random.choice(PORTS), random.choice([0, 0, *MORE_PORTS])
        )
        for _number in range(random.randint(0, 6))
    }


def tables(random: Random, names: list[str]) -> list[TunnelTable]:
    """A table for each tunnel interface."""
    host_endpoints = frozenset({OURS, SECOND})
    host_addresses = frozenset(addresses(random) for _number in range(4))
    made = []
    for name in names:
        port = random.choice([0, 0, *PORTS])
        forwarding = [
            ForwardingRule(
                prefix,
                random.choice([*SELECTORS, ISATAP, None, PEERS, fixed(random)]),
                f"{prefix} out",
            )
            for prefix in random.sample(PREFIXES, random.randint(0, 6))
        ]
        listed_only = random.random() < 0.2
        ingress = []
        for prefix in random.sample(PREFIXES, random.randint(0, 6)):
            selectors: list[Any] = (
                [] if listed_only else random.sample(SELECTORS, random.randint(0, 2))
            )
            if listed_only or random.random() < 0.4:
                selectors.append(Listed(frozenset(random.sample(IPV4, 3))))
            if not listed_only and random.random() < 0.3:
                selectors.append(random.choice([PEERS, ANYBODY]))
            random.shuffle(selectors)
            ingress.append(IngressRule(prefix, tuple(selectors), f"{prefix} in"))
        made.append(
            TunnelTable(
                interface=name,
                forwarding=tuple(forwarding),
                ingress=tuple(ingress),
                encapsulation=Encapsulation(
                    ttl=random.randint(1, 255),
                    dscp=random.choice([None, 0, 46]),
                    dynamic_mtu=random.random() < 0.5,
                    sources=tuple(random.sample(SELECTORS, random.randint(0, 2))),
                    default_source=random.choice([None, OURS, SECOND]),
                    port=port,
                    more_ports=frozenset(MORE_PORTS if port else ()),
                ),
                endpoint_rules=tuple(
                    EndpointRule(one, random.random() < 0.7)
                    for one in random.sample(IPV4_PREFIXES, random.choice([0, 0, 1, 3]))
                ),
                source_rules=near_rules(random),
                destination_rules=near_rules(random),
                automatic=tuple(random.sample(SELECTORS, random.randint(0, 4))),
                site_prefixes=tuple(random.sample(PREFIXES, random.choice([0, 0, 0, 1, 2]))),
                local_endpoints=frozenset(random.sample([OURS, SECOND], random.randint(1, 2))),
                host_endpoints=host_endpoints,
                host_addresses=host_addresses,
                handed_up=frozenset({133, 134, 135, 136, 137}),
                multicast=random.random() < 0.3,
                ipv4_compatible=random.random() < 0.4,
            )
        )
    return made


def inner_packet(random: Random, known: list[IPv6Address]) -> bytes:
    """An IPv6 packet, mostly in order."""
    source, destination = (
        random.choice(known) if random.random() < 0.3 else addresses(random) for _end in range(2)
    )
    next_header = random.choice([6, 17, 58, 58, 59, 0, 44])
    length = random.choice([0, 1, 8, 40, 600, 1240, 1241, 1360, 1361, 1440, 1441, 1800])
    payload = bytearray(random.randbytes(length))
    if next_header == 58 and length:
        payload[0] = random.choice([128, 129, 1, 2, 132, 133, 134, 135, 136, 137, 138])
    version = 6 if random.random() < 0.98 else random.choice([4, 5])
    traffic_class = random.choice([0, 1, 2, 3, 0xB8, 0xBB])
    word = version << 28 | traffic_class << 20 | random.getrandbits(20)
    said = length if random.random() < 0.97 else max(0, length + random.choice([-1, 1, 5000]))
    header = struct.pack("!IHBB", word, said, next_header, random.choice([1, 64, 255]))
    return header + source.packed + destination.packed + bytes(payload)


def outer(
    outer_source: IPv4Address,
    outer_destination: IPv4Address,
    source: IPv6Address,
    destination: IPv6Address,
) -> bytes:
    """A packet in protocol 41 with nothing inside."""
    inner = struct.pack("!IHBB", 6 << 28, 0, 59, 64) + source.packed + destination.packed
    header = bytearray(
        struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inner), 1, 0, 64, PROTOCOL_IPV6, 0)
        + outer_source.packed
        + outer_destination.packed
    )
    header[10:12] = internet_checksum(header).to_bytes(2, "big")
    return bytes(header) + inner


def outer_packet(random: Random, inner: bytes) -> bytes:
    """An IPv4 packet as the kernel gives it to sockets: its headers are in order."""
    words = 5 if random.random() < 0.97 else 6
    udp = b""
    if random.random() < 0.4:
        their_port = random.choice([*PORTS, 9])
        our_port = random.choice([*PORTS, *PORTS, *MORE_PORTS, 53])
        udp = struct.pack("!HHHH", their_port, our_port, 8 + len(inner), random.choice([0, 0, 7]))
    length = words * 4 + len(udp) + len(inner)
    flags = random.choice([0, 0x4000])
    tos = random.choice([0, 1, 2, 3, 0xB8])
    source, destination = random.choice(IPV4), random.choice([OURS, OURS, SECOND, IPV4[2]])
    protocol = PROTOCOL_UDP if udp else PROTOCOL_IPV6
    header = bytearray(
        struct.pack("!BBHHHBBH", 0x40 | words, tos, length, 1, flags, 64, protocol, 0)
        + source.packed
        + destination.packed
        + bytes(words * 4 - 20)
    )
    header[10:12] = internet_checksum(header).to_bytes(2, "big")
    return bytes(header) + udp + inner


def check(bench: Bench, seed: int, totals: Counter[str]) -> None:
    """Draw tables and packets, and compare."""
    random = Random(seed)
    made = tables(random, bench.names[: random.randint(1, 3)])
    known_peers = {table.interface: peers(random) for table in made}
    agreement = Agreement(bench, made, known_peers)
    known = [address for table in made for address in sorted(table.host_addresses)]
    known += [address for one in known_peers.values() for address in one]
    try:
        for _number in range(PACKETS):
            inner = inner_packet(random, known)
            if random.random() < 0.5:
                agreement.transmit(random.choice(made).interface, inner)
            else:
                agreement.receive(outer_packet(random, inner))
        agreement.compare_counters()
    finally:
        agreement.end()
    totals += agreement.verdicts


@isolated
def test_both_planes_do_the_same_with_100_000_packets():
    bench = Bench()
    totals: Counter[str] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(seed=st.integers(0, 2**64 - 1))
    # These have failed once.
    @example(seed=1)
    @example(seed=17208695)
    def compare(seed: int) -> None:
        check(bench, seed, totals)

    try:
        compare()
    finally:
        bench.close()
    assert totals.total() >= 100_000
    # The programs must have decided much of it, each way.
    assert totals[str(REDIRECT)] > 1000
    assert totals[str(SHOT)] > 1000
