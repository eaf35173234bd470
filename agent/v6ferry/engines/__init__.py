# SPDX-License-Identifier: GPL-3.0-or-later
"""State machines without I/O, one a technology.

Packets, facts about the host and the time go in; packets, wanted addresses and routes, a
forwarding table and the next deadline come out. An engine opens no socket, reads no clock and
draws no random number of its own; the daemon (or a test, in virtual time) hands them in.

``interface``      the contract between an engine and whoever drives it
``specification``  checked reading of what a user wrote
``quiet``          what engines have in common that exchange no packets of their own
``tunnel``         what tunnels of every technology have in common
``lan``            the router's side of private interfaces: prefixes and advertisements
``isatap``         ISATAP host and router (RFC 5214)
``configured``     configured tunnels (RFC 4213)
``compatible``     automatic tunnels between IPv4-compatible addresses (RFC 2893)
``sixtofour``      6to4 host, router and relay (RFC 3056)
``sixrd``          6rd customer edge and border relay (RFC 5969)
``teredo``         Teredo server, client and relay (RFC 4380)
"""
