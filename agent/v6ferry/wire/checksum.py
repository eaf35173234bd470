# SPDX-License-Identifier: GPL-3.0-or-later
"""The Internet checksum (RFC 1071) and its use by ICMPv6 and TCP (RFC 8200 section 8.1)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address

from v6ferry.wire.ipv6 import IPV6_HEADER_LENGTH, NEXT_HEADER_ICMPV6, NEXT_HEADER_TCP


def internet_checksum(data: bytes | bytearray | memoryview) -> int:
    """Return the 16-bit checksum of ``data``; data with a right checksum inside gives 0.

    An odd number of bytes counts as if a zero byte followed.
    """
    # A ones' complement sum of 16-bit words is the number modulo 65535, because 65536 is 1 modulo
    # 65535. Of the two ways to write zero, only all-zero data gives +0 (checksum 0xffff).
    number = int.from_bytes(data, "big") << (len(data) & 1) * 8
    folded = number % 0xFFFF
    if folded == 0 and number:
        return 0
    return 0xFFFF - folded


def icmpv6_checksum(
    source: IPv6Address, destination: IPv6Address, payload: bytes | memoryview
) -> int:
    """Return the checksum of the ICMPv6 message ``payload`` with its pseudo-header.

    With the message's checksum field zero this is the value to put there; over a received message
    the result is 0 exactly if its checksum is right.
    """
    pseudo_header = (
        source.packed
        + destination.packed
        + len(payload).to_bytes(4, "big")
        + NEXT_HEADER_ICMPV6.to_bytes(4, "big")
    )
    return internet_checksum(pseudo_header + payload)


def pseudo_header_sum(addresses: bytes, length: int, next_header: int) -> int:
    """Return the sum, not complemented, of a pseudo-header (RFC 8200 section 8.1).

    It is what the checksum field holds when hardware, or a kernel, is to add the rest.

    Args:
        addresses: source and destination, 32 bytes.
        length: bytes of the upper-layer packet.
        next_header: its protocol.
    """
    number = int.from_bytes(addresses, "big") + length + next_header
    return number % 0xFFFF or 0xFFFF


def tcp_checksums_are_right(packets: Iterable[bytes]) -> bool:
    """Whether TCP segments have the checksums that they should.

    They are summed together: two wrong ones that make up for each other are taken for right, which
    is as improbable as that a single wrong one looks right.

    Args:
        packets: IPv6 packets, in each the segment right behind the header.
    """
    total = 0
    for packet in packets:
        # Addresses and segment lie side by side; of the pseudo-header length and protocol are
        # missing. Little-endian, for that needs no padding: multiplying by 256 swaps the bytes.
        total += int.from_bytes(packet[8:], "little")
        total += (len(packet) - IPV6_HEADER_LENGTH + NEXT_HEADER_TCP) * 256
    return total % 0xFFFF == 0
