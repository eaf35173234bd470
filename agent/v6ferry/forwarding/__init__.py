# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a packet: tables that engines fill, and the planes that execute them.

``table``       the forwarding and ingress tables, as data
``decide``      what a table says of one packet: the reference that every plane must agree with
``ecn``         RFC 6040
``icmp_errors`` ICMPv6 errors that a tunnel owes to senders (RFC 4213 section 3.2 and 3.4)
``counters``    packets and drops, by name
``userspace``   the plane in plain Python over TUN and raw sockets

Engines import ``table`` alone; ``explain`` imports ``decide``.
"""
