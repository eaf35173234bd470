# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of whoever reaches native IPv6 hosts through a 6to4 relay."""

from __future__ import annotations


class ModuleDocFragment:
    """The relay, how it is found, and what is accepted from it."""

    DOCUMENTATION = r"""
options:
  relay:
    description:
      - The IPv4 address or name of a 6to4 relay, through which the native IPv6 Internet is
        reached. There is a default route through it then.
      - Without one, only other 6to4 sites are reached. None is preset, as the public ones have
        been switched off (RFC 7526).
      - What C(netsh interface 6to4 set relay) sets.
      - The anycast address V(192.88.99.1) is taken like any other, but the module warns of it, as
        it has been deprecated (RFC 7526).
    type: str
  accept_relays:
    description:
      - Through which relays packets from native IPv6 hosts are accepted, if there is an O(relay).
      - V(any) is what the Internet needs, where the relay nearest to the native host carries
        them (RFC 3056); such packets can be forged by anybody.
      - V(configured) accepts them from the addresses of O(relay) alone, for networks in which all
        go through it, both ways.
    type: str
    choices:
      - any
      - configured
    default: any
  relay_refresh_interval:
    description:
      - After how many seconds the relay's name is looked up again, at the latest.
      - What C(netsh interface 6to4 set relay interval=) sets, in minutes.
    type: int
    default: 86400
  route_metric:
    description:
      - The metric of the default route through the relay.
    type: int
    default: 2048
"""
