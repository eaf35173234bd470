#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module compatible_tunnel."""

from __future__ import annotations

DOCUMENTATION = r"""
module: compatible_tunnel
short_description: Give a host automatic tunnels between IPv4-compatible addresses
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares to the machine's v6ferry agent that the machine takes part in automatic tunneling (RFC
    2893 section 5). The host with the IPv4 address w.x.y.z has the IPv6 address C(::w.x.y.z), and
    reaches all others that have one.
  - RFC 4213 has taken this out of the standard, and every other tunnel refuses such addresses. It
    is for networks that still use it.
  - What C(netsh interface ipv6 set state v4compat=enabled) switches on, on Windows Server 2003.
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
    type: str
    default: compatible0
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
seealso:
  - module: v6ops.transition.configured_tunnel
  - module: v6ops.transition.isatap_host
"""

EXAMPLES = r"""
- name: Have automatic tunnels inside the site only
  v6ops.transition.compatible_tunnel:
    allowed_endpoints: [10.0.0.0/8]

- name: Use one address of one interface, and follow the IPv4 path MTU
  v6ops.transition.compatible_tunnel:
    interface: auto0
    underlay_interfaces: [eth0]
    underlay_addresses: [10.0.0.0/8]
    tunnel_mtu: dynamic
    mtu: 1400
    ttl: 32
    dscp: inherit
    wait: 10

- name: Have no automatic tunnels any more
  v6ops.transition.compatible_tunnel:
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create compatible_tunnel default
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether the host has an IPv4 address that the tunnel may use.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: "automatic tunnels from ::10.0.0.1"
    interface:
      description: The tunnel interface.
      type: str
      sample: compatible0
    addresses:
      description: The IPv6 addresses of the tunnel interface.
      type: list
      elements: dict
      sample:
        - address: "::a00:1"
    counters:
      description: Packets by what became of them.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    RESOURCE_OPTIONS,
    TUNNEL_OPTIONS,
    run_resource_module,
)

SPEC = {
    "interface": {"type": "str", "default": "compatible0"},
    **TUNNEL_OPTIONS,
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the automatic tunnels."""
    run_resource_module("compatible_tunnel", SPEC)


if __name__ == "__main__":
    main()
