# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of routers whose private interfaces have prefixes that may change at any time."""

from __future__ import annotations


class ModuleDocFragment:
    """What hosts behind the router are told, and for how long."""

    DOCUMENTATION = r"""
options:
  router_lifetime:
    description:
      - How many seconds hosts keep the default route after an advertisement, up to 9000, and not
        less than O(advertisement_interval).
      - If not given, it is 1800.
    type: int
  preferred_lifetime:
    description:
      - How many seconds addresses stay preferred after an advertisement.
      - If not given, it is 2700, or O(valid_lifetime) where that is less. It must not be longer
        than that.
    type: int
  valid_lifetime:
    description:
      - How many seconds addresses stay valid after an advertisement. The default is that of
        RFC 9096 for prefixes that may change at any time.
    type: int
    default: 5400
  advertisement_interval:
    description:
      - How many seconds may pass between two advertisements, from 4 to 1800 (MaxRtrAdvInterval of
        RFC 4861). What changes is told at once.
    type: int
    default: 600
  advertised_mtu:
    description:
      - The MTU in bytes that hosts are told to use; by default they are told none, and learn the
        MTU of the tunnel from the router's Packet Too Big messages.
    type: int
extends_documentation_fragment:
  - v6ops.transition._advertising
"""
