# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of every router that advertises something."""

from __future__ import annotations


class ModuleDocFragment:
    """What hosts are told beside prefixes and lifetimes."""

    DOCUMENTATION = r"""
options:
  preference:
    description:
      - How much hosts prefer this router over others (RFC 4191).
    type: str
    choices:
      - low
      - medium
      - high
    default: medium
  dns_servers:
    description:
      - The IPv6 addresses of recursive DNS servers that hosts are offered (RFC 8106).
    type: list
    elements: str
    default: []
  dns_search:
    description:
      - The domains of the DNS search list that hosts are offered (RFC 8106).
    type: list
    elements: str
    default: []
  dns_lifetime:
    description:
      - How many seconds hosts use the DNS servers and the search list after an advertisement.
    type: int
    default: 1800
"""
