# SPDX-License-Identifier: GPL-3.0-or-later
"""6rd, IPv6 rapid deployment on IPv4 infrastructures (RFC 5969).

``specification``    what a user can set for a customer edge and for a border relay
``customer_edge``    the customer edge engine, which puts together:
``private_side``     which of its interfaces gets which /64 of the delegated prefix
``relays``           the border relays: which of them are alive, and which one is used
``border_relay``     the border relay engine
``tables``           tables of a 6rd interface, for both
"""
