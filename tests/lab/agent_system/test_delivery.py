# SPDX-License-Identifier: GPL-3.0-or-later
"""What the userspace plane gives to the kernel as one packet, and what the kernel makes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw
from v6ferry.forwarding.counters import Counters
from v6ferry.forwarding.decide import Accept
from v6ferry.forwarding.delivery import Delivery
from v6ferry.forwarding.offload import finished
from v6ferry.system.tun import Tun, open_tun
from v6ferry.wire.checksum import pseudo_header_sum, tcp_checksums_are_right

from tests.lab.agent_system.namespaces import ip, isolated, run

A, B = "2001:db8:a::1", "2001:db8:b::1"
ACCEPT = Accept("2001:db8:a::/48", control_only=False)


@contextlib.contextmanager
def router() -> Iterator[tuple[Tun, Tun]]:
    """The tunnels to A and to B, between which the kernel routes."""
    with open_tun("to_a") as to_a, open_tun("to_b") as to_b:
        run("sysctl -qw net.ipv6.conf.all.forwarding=1")
        for name, prefix in (("to_a", "2001:db8:a::/48"), ("to_b", "2001:db8:b::/48")):
            ip(f"link set {name} up")
            ip(f"-6 route add {prefix} dev {name}")
        yield to_a, to_b


def forwarded(
    packets: list[Packet], *, super_packets: bool = False
) -> tuple[list[bytes], Counters]:
    """What comes out towards B when the packets are delivered together from A.

    The kernel splits what it sends to B, or with super-packets leaves that to us.
    """
    counters, delivery = Counters(), Delivery()
    with router() as (to_a, to_b):
        to_b.take_super_packets(super_packets)
        for packet in packets:
            delivery.add(to_a, counters, ACCEPT, bytes(packet))
        delivery.flush()
        came = []
        # The kernel forwards while it takes the packet; nothing has to be waited for.
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, offload = to_b.read()
                came += [packet] if offload is None else finished(packet, offload)
    return [one for one in came if IPv6(one).src == A], counters


def one_hop_further(packets: list[Packet]) -> list[bytes]:
    for packet in packets:
        packet.hlim -= 1
    return [bytes(packet) for packet in packets]


def segments(*lengths: int, **fields: object) -> list[Packet]:
    packets, sequence = [], 2**32 - 1000
    for number, length in enumerate(lengths):
        tcp = TCP(sport=9, dport=9, seq=sequence % 2**32, ack=7, flags="A", **fields)
        packets.append(IPv6(src=A, dst=B, fl=5, tc=2) / tcp / Raw(bytes([number]) * length))
        sequence += length
    return packets


TIMESTAMPS = [("NOP", None), ("NOP", None), ("Timestamp", (7, 8))]


@isolated
@pytest.mark.parametrize(
    "lengths", [(1208,) * 50, (1208, 1208, 77), (1, 1, 1), (1207, 1206), (64, 64, 999, 999)]
)
@pytest.mark.parametrize("options", [[], TIMESTAMPS])
@pytest.mark.parametrize("super_packets", [False, True])
def test_kernel_forwards_the_segments_that_came(lengths, options, super_packets):
    """To the last bit, but for the hop limit; whether the kernel splits them or we do."""
    packets = segments(*lengths, options=options)
    packets[-1][TCP].flags = "PA"
    came, counters = forwarded(packets, super_packets=super_packets)
    assert counters.packets_in == len(lengths)
    assert counters.bytes_in == sum(len(one) for one in packets)
    assert came == one_hop_further(packets)


@isolated
def test_order_of_different_connections_is_kept():
    packets = segments(100, 100)
    other = IPv6(src=A, dst=B) / UDP(sport=5, dport=5) / Raw(b"between")
    packets.insert(1, other)
    came, _counters = forwarded(packets)
    assert came == one_hop_further(packets)


@isolated
def test_segment_with_a_wrong_checksum_is_forwarded_as_wrong_as_it_came():
    packets = segments(100, 100, 100)
    packets[1][TCP].chksum = 0x1234
    came, _counters = forwarded(packets)
    assert came == one_hop_further(packets)


@isolated
def test_packet_of_a_kernel_without_checksum_gets_one():
    """As from a tunnel of the kernel in a container of the same machine."""
    tcp, udp = segments(1000)[0], IPv6(src=A, dst=B) / UDP(sport=5, dport=5) / Raw(b"right")
    right = [bytes(one) for one in (tcp, udp)]
    for packet, octets, protocol in ((tcp, right[0], TCP), (udp, right[1], UDP)):
        packet[protocol].chksum = pseudo_header_sum(octets[8:40], len(octets) - 40, octets[6])
    came, _counters = forwarded([tcp, udp])
    assert came == one_hop_further([IPv6(one) for one in right])


@isolated
def test_what_receive_offload_put_together_is_split_again():
    """The kernel merges protocol 41 packets too before raw sockets see them."""
    (merged,) = segments(20000)
    octets = bytes(merged)
    merged[TCP].chksum = pseudo_header_sum(octets[8:40], len(octets) - 40, 6)
    came, counters = forwarded([merged])
    assert {len(one) for one in came[:-1]} == {1280}
    assert tcp_checksums_are_right(came)
    assert b"".join(bytes(IPv6(one)[TCP].payload) for one in came) == octets[60:]
    assert counters.packets_in == 1


@isolated
def test_device_that_is_down_takes_nothing_and_all_is_counted():
    counters, delivery = Counters(), Delivery()
    with open_tun("to_a") as to_a:
        for packet in segments(100, 100, 100):
            delivery.add(to_a, counters, ACCEPT, bytes(packet))
        delivery.flush()
        delivery.flush()
    assert counters.drops == {"tunnel_interface_refused": 3}
    assert counters.packets_in == 0
