#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module configured_tunnel."""

from __future__ import annotations

DOCUMENTATION = r"""
module: configured_tunnel
short_description: Configure an IPv6-over-IPv4 tunnel to one far end
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares one end of a configured tunnel (RFC 4213) to the machine's v6ferry agent, router to
    router, host to router or host to host. The far end is configured likewise, with local and
    remote address exchanged.
  - Each tunnel is a resource with a name and a tunnel interface of its own; a machine can have
    thousands of them.
  - What C(netsh interface ipv6 add v6v4tunnel) makes on Windows, and C(ip tunnel add mode sit) on
    Linux.
options:
  interface:
    description:
      - The name of the tunnel interface, at most 15 characters.
      - If not given, it is C(ct-) and O(name). A longer name is cut off after 8 characters in all,
        with C(-) and six hexadecimal digits of the SHA-256 of O(name) behind it.
      - What C(netsh interface ipv6 add v6v4tunnel interface=) sets.
    type: str
  remote:
    description:
      - The IPv4 address of the far end, or a name that has one. Required with O(state=present).
      - A name is looked up again every O(name_refresh_interval) seconds, or when the DNS says that
        it may have changed. The tunnel then goes to the new address, its interface stays.
      - What C(netsh interface ipv6 add v6v4tunnel remoteaddress=) sets.
    type: str
  local:
    description:
      - The IPv4 address of this end; one of a loopback interface may be given, too.
      - If not given, it is the address from which the kernel would send to the far end, as far as
        O(underlay_interfaces) and O(underlay_addresses) allow it.
      - What C(netsh interface ipv6 add v6v4tunnel localaddress=) sets.
    type: str
  addresses:
    description:
      - The IPv6 addresses of the tunnel interface, with their prefix lengths.
      - A link-local address is formed from the local IPv4 address (RFC 4213 section 3.7) unless
        there is one among these.
      - What C(netsh interface ipv6 add address) sets.
    type: list
    elements: str
    default: []
  routes:
    description:
      - The static routes through the tunnel.
      - What C(netsh interface ipv6 add route PREFIX INTERFACE) sets.
    type: list
    elements: dict
    default: []
    suboptions:
      prefix:
        description:
          - The destination, an IPv6 prefix.
        type: str
        required: true
      metric:
        description:
          - The metric of the route; the lower one wins. If not given, it is O(route_metric).
        type: int
  default_route:
    description:
      - Whether the default route leads through the tunnel.
      - What C(netsh interface ipv6 add route ::/0 INTERFACE) sets.
    type: bool
    default: false
  route_metric:
    description:
      - The metric of the default route, and of routes that have none of their own.
    type: int
    default: 1024
  forwarding:
    description:
      - Whether the machine forwards IPv6 packets, as a router does.
      - An interface that lives on router advertisements keeps accepting them.
      - What C(netsh interface ipv6 set interface INTERFACE forwarding=) sets.
    type: bool
    default: false
  allowed_sources:
    description:
      - The IPv6 prefixes in which the sources of packets from the tunnel must lie, such as those of
        the network behind the far end (RFC 4213 section 3.6, BCP 38). Others are dropped.
      - Link-local sources are always allowed. An empty list allows all.
    type: list
    elements: str
    default: []
  refused_sources:
    description:
      - The IPv6 prefixes in which no source of a packet from the tunnel may lie, such as the
        prefixes of this site on a tunnel to the Internet (RFC 4213 section 3.6, BCP 38).
      - The longest prefix of O(allowed_sources) and O(refused_sources) counts.
    type: list
    elements: str
    default: []
  keepalive:
    description:
      - Whether the far end is asked whether it is there. The tunnel is ready only if it answers.
    type: bool
    default: false
  keepalive_interval:
    description:
      - How many seconds lie between two questions, from 1 to 3600.
    type: int
    default: 10
  keepalive_losses:
    description:
      - How many questions in a row without an answer make the far end silent, from 1 to 100.
    type: int
    default: 3
  keepalive_target:
    description:
      - An IPv6 address that is sent ICMPv6 echo requests through the tunnel.
      - If not given, the far end itself is asked with neighbour solicitations for the link-local
        address that its IPv4 address gives (RFC 4213 section 3.8). Give one for a far end that has
        another link-local address.
    type: str
  keepalive_routes:
    description:
      - What becomes of the routes while the far end is silent. With V(withdraw) they are taken out
        until it answers again, so that routes with a higher metric take over.
    type: str
    choices:
      - withdraw
      - keep
    default: withdraw
  name_refresh_interval:
    description:
      - After how many seconds a name in O(remote) is looked up again at the latest, from 10 to
        86400.
    type: int
    default: 300
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
  - v6ops.transition._tunnel
seealso:
  - module: v6ops.transition.isatap_router
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Connect two IPv6 networks, router to router
  v6ops.transition.configured_tunnel:
    name: branch7
    local: 192.0.2.1
    remote: 198.51.100.7
    addresses: [2001:db8:0:ff::1/64]
    routes:
      - prefix: 2001:db8:7::/48
    forwarding: true
    allowed_sources: [2001:db8:7::/48, 2001:db8:0:ff::/64]

- name: Give a host the IPv6 Internet through a tunnel broker, host to router
  v6ops.transition.configured_tunnel:
    name: broker
    remote: tunnel.example.net
    name_refresh_interval: 60
    addresses: [2001:db8:1f0a::2/64]
    default_route: true
    route_metric: 512
    refused_sources: [2001:db8:7::/48]
    keepalive: true
    keepalive_target: 2001:db8:1f0a::1
    wait: 15

- name: Fall back to a second tunnel within 6 seconds, and back again
  v6ops.transition.configured_tunnel:
    name: "{{ item.name }}"
    remote: "{{ item.remote }}"
    default_route: true
    route_metric: "{{ item.metric }}"
    keepalive: true
    keepalive_interval: 2
    keepalive_losses: 3
    keepalive_routes: withdraw
  loop:
    - {name: first, remote: 192.0.2.65, metric: 512}
    - {name: second, remote: 192.0.2.129, metric: 1024}
  loop_control:
    label: "{{ item.name }}"

- name: Connect two hosts, host to host, with a link-local address that outlives IPv4 addresses
  v6ops.transition.configured_tunnel:
    name: mate
    interface: mate0
    remote: 10.0.1.2
    addresses: [fe80::1/64, 2001:db8:0:fe::1/64]
    routes:
      - prefix: 2001:db8:8::/48
        metric: 100
    underlay_interfaces: [eth0]
    underlay_addresses: [10.0.0.0/8]
    allowed_endpoints: [10.0.0.0/8]
    tunnel_mtu: dynamic
    mtu: 1400
    ttl: 32
    dscp: inherit

- name: Take a tunnel away
  v6ops.transition.configured_tunnel:
    name: branch7
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create configured_tunnel branch7
status:
  description: How the resource fares; V(null) if there is none.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether both ends are known and, with O(keepalive), the far end answers.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: from 192.0.2.1 to 198.51.100.7
    interface:
      description: The tunnel interface.
      type: str
      sample: ct-branch7
    local:
      description: The IPv4 address of this end.
      type: str
      sample: 192.0.2.1
    remote:
      description: The IPv4 address of the far end.
      type: str
      sample: 198.51.100.7
    remote_name:
      description: The name of the far end; V(null) if its address was given.
      type: str
    addresses:
      description: The IPv6 addresses of the tunnel interface.
      type: list
      elements: dict
      sample:
        - address: fe80::c000:201
          prefix_length: 64
    routes:
      description: The static routes that are in force.
      type: list
      elements: dict
    withdrawn_routes:
      description: The prefixes of those that are not, as the tunnel does not work.
      type: list
      elements: str
    keepalive:
      description: Who is asked, and whether it is V(asking), V(reachable) or V(silent).
      type: dict
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
    "interface": {"type": "str"},
    **TUNNEL_OPTIONS,
    "remote": {"type": "str"},
    "local": {"type": "str"},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "routes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "prefix": {"type": "str", "required": True},
            "metric": {"type": "int"},
        },
    },
    "default_route": {"type": "bool", "default": False},
    "route_metric": {"type": "int", "default": 1024},
    "forwarding": {"type": "bool", "default": False},
    "allowed_sources": {"type": "list", "elements": "str", "default": []},
    "refused_sources": {"type": "list", "elements": "str", "default": []},
    "keepalive": {"type": "bool", "default": False},
    "keepalive_interval": {"type": "int", "default": 10},
    "keepalive_losses": {"type": "int", "default": 3},
    "keepalive_target": {"type": "str"},
    "keepalive_routes": {"type": "str", "choices": ["withdraw", "keep"], "default": "withdraw"},
    "name_refresh_interval": {"type": "int", "default": 300},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC}


def main() -> None:
    """Declare the configured tunnel."""
    run_resource_module("configured_tunnel", SPEC)


if __name__ == "__main__":
    main()
