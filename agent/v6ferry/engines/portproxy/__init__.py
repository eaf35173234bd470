# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of PortProxy: what a user may write, and what the workers are told of it.

``specification`` reads a rule, ``rule`` is its state: names, addresses, what is wrong with it.
``known_ports`` says which protocols need more than a proxy for TCP.
"""
