# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes <-> typed values: IPv4, IPv6, ICMPv4, ICMPv6, Neighbor Discovery, Teredo. No I/O, no state.

One module a format; all raise ``WireError`` and nothing else on bytes that they cannot read and on
values that do not fit. Import the formats from their modules: ``ipv4``, ``ipv6``, ``icmpv4``,
``icmpv6``, ``neighbor_discovery``; ``parser`` and ``checksum`` are what they are made from.
"""

from v6ferry.wire.parser import WireError

__all__ = ["WireError"]
