# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a packet: tables that engines fill, and the planes that execute them.

``table``       the forwarding and ingress tables, as data
``decide``      what a table says of one packet: the reference that every plane must agree with
``candidates``  which tunnels are asked about a packet from the underlay
``acceptance``  asks them, and remembers
``path``        the way of one flow through the underlay, remembered
``ecn``         RFC 6040
``answers``     datagrams that have an answer in the table
``rate_limit``  how much one address is sent
``offload``     super-packets of TCP: taken apart, and put together
``icmp_errors`` ICMPv6 errors that a tunnel owes to senders (RFC 4213 section 3.2 and 3.4)
``counters``    packets and drops, by name
``tunnel``      a tunnel interface as a plane has it
``userspace``   the plane in plain Python over TUN and sockets
``ebpf``        the plane in the kernel, which leaves to the other one what needs thought

Engines import ``table`` alone; ``explain`` imports ``decide``.
"""
