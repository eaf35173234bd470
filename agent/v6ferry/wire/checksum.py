# SPDX-License-Identifier: GPL-3.0-or-later
"""The Internet checksum (RFC 1071) and its use by ICMPv6 (RFC 4443 section 2.3)."""

from __future__ import annotations

from ipaddress import IPv6Address

_NEXT_HEADER_ICMPV6 = 58


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
        + _NEXT_HEADER_ICMPV6.to_bytes(4, "big")
    )
    return internet_checksum(pseudo_header + payload)
