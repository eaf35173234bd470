# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that 6to4 hosts, routers and relays have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """The tunnel interface, and which IPv4 addresses it may use."""

    DOCUMENTATION = r"""
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: sixtofour0
  globally_unique:
    description:
      - Whether only globally unique IPv4 addresses are used and spoken to, as RFC 3056 wants it on
        the Internet.
      - V(false) is for a closed network, where private addresses are unique.
    type: bool
    default: true
"""
