#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module portproxy."""

from __future__ import annotations

DOCUMENTATION = r"""
module: portproxy
short_description: Proxy TCP connections between IPv4 and IPv6
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Declares to the machine's v6ferry agent that TCP connections to an address and port of the
    machine are proxied to a server, which may speak the other version of IP. So nodes of IPv4 alone
    use servers of IPv6 alone, and the other way round.
  - What C(netsh interface portproxy add v4tov4|v4tov6|v6tov4|v6tov6) does on Windows.
  - Rules can be changed while connections run. Those that run go on to the server that they have,
    and those of other rules notice nothing.
  - Protocols that carry addresses or ports inside, such as FTP and SIP, need more than this;
    C(v6ferry doctor) warns of their ports.
options:
  direction: &direction
    description:
      - The version of IP that clients speak, and the one that the server speaks.
      - By default those of O(listen_address) and O(connect_address); where these do not say, both.
    type: str
    choices:
      - v4tov4
      - v4tov6
      - v6tov4
      - v6tov6
  listen_address: &listen_address
    description:
      - The address where clients connect, one of this machine. V(*) takes them on all.
    type: str
    default: "*"
  listen_port: &listen_port
    description:
      - The port where clients connect, a range such as V(8000-8010), or a list such as
        V(80,8000-8010). Required with O(state=present).
    type: str
  connect_address: &connect_address
    description:
      - The server, by address or name. Required with O(state=present).
      - A name is resolved as every program of the machine does it, and again every
        O(name_refresh_interval) seconds. All of its addresses are tried as RFC 8305 has it.
    type: str
  connect_port: &connect_port
    description:
      - The server's port, O(listen_port) by default. A range or list leads each port of
        O(listen_port) to the one at the same place.
    type: str
  allowed_sources: &allowed_sources
    description:
      - Prefixes from which clients may connect. All may if there are none.
    type: list
    elements: str
    default: []
  refused_sources: &refused_sources
    description:
      - Prefixes from which clients may not connect, even if O(allowed_sources) has them.
    type: list
    elements: str
    default: []
  maximum_connections: &maximum_connections
    description:
      - How many connections the rule may have at a time. More wait until one of these has ended.
    type: int
  connect_timeout: &connect_timeout
    description:
      - How many seconds a server may take to accept, for each of its addresses.
    type: int
    default: 10
  idle_timeout: &idle_timeout
    description:
      - After how many seconds without a byte either way a connection is cut, to about 10 seconds.
        V(0) keeps idle connections.
    type: int
    default: 0
  keepalive: &keepalive
    description:
      - Whether TCP probes idle connections, so that those whose other end has died come to an end.
    type: bool
    default: true
  keepalive_idle: &keepalive_idle
    description:
      - After how many idle seconds the first probe is sent.
    type: int
    default: 60
  keepalive_interval: &keepalive_interval
    description:
      - Seconds between probes that are not answered.
    type: int
    default: 10
  keepalive_probes: &keepalive_probes
    description:
      - How many probes may stay without an answer.
    type: int
    default: 6
  send_proxy: &send_proxy
    description:
      - The version of the PROXY protocol by which the server is told the client's address. The
        server must expect it.
    type: str
    choices:
      - none
      - v1
      - v2
    default: none
  accept_proxy: &accept_proxy
    description:
      - Whether clients begin with a header of the PROXY protocol, of either version, because
        another proxy is before this one. O(allowed_sources) and O(refused_sources) are about the
        address that the header names, so let only that proxy reach the port.
    type: bool
    default: false
  fast_open: &fast_open
    description:
      - Whether data goes out with the SYN to servers that allow it (RFC 7413).
    type: bool
    default: false
  transparent_source: &transparent_source
    description:
      - Whether the server sees the client's address as the source, which only one version of IP on
        both sides allows. Answers to that address must be routed back through this machine and
        delivered locally (a policy route; see the documentation).
    type: bool
    default: false
  when_removed: &when_removed
    description:
      - What becomes of running connections when the rule is removed. V(drain) lets them end,
        V(cut) resets them.
    type: str
    choices:
      - drain
      - cut
    default: drain
  drain_timeout: &drain_timeout
    description:
      - After how many seconds connections of a removed rule are reset. V(0) gives them all the time
        that they need.
    type: int
    default: 0
  name_refresh_interval: &name_refresh_interval
    description:
      - How many seconds a name's addresses are used before they are looked up again, at the most.
        Where the DNS gives them a shorter time to live, that counts, but no less than 5 seconds.
    type: int
    default: 300
  rules:
    description:
      - Many rules at once, instead of the one that the other options describe. All of them are
        made, or none.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The name of the rule.
        type: str
        required: true
      state:
        description:
          - Whether the rule is wanted.
        type: str
        choices:
          - present
          - absent
        default: present
      direction: *direction
      listen_address: *listen_address
      listen_port: *listen_port
      connect_address: *connect_address
      connect_port: *connect_port
      allowed_sources: *allowed_sources
      refused_sources: *refused_sources
      maximum_connections: *maximum_connections
      connect_timeout: *connect_timeout
      idle_timeout: *idle_timeout
      keepalive: *keepalive
      keepalive_idle: *keepalive_idle
      keepalive_interval: *keepalive_interval
      keepalive_probes: *keepalive_probes
      send_proxy: *send_proxy
      accept_proxy: *accept_proxy
      fast_open: *fast_open
      transparent_source: *transparent_source
      when_removed: *when_removed
      drain_timeout: *drain_timeout
      name_refresh_interval: *name_refresh_interval
  purge:
    description:
      - Whether rules of the machine that O(rules) does not name are removed.
    type: bool
    default: false
extends_documentation_fragment:
  - v6ops.transition._attributes
  - v6ops.transition._resource
seealso:
  - module: v6ops.transition.transition_info
"""

EXAMPLES = r"""
- name: Let nodes of IPv4 alone use a web server of IPv6 alone
  v6ops.transition.portproxy:
    name: web
    direction: v4tov6
    listen_address: 10.0.0.1
    listen_port: "80,443"
    connect_address: 2001:db8:0:6::6

- name: Let nodes of IPv6 use a service of this machine that knows IPv4 alone
  v6ops.transition.portproxy:
    name: ledger
    direction: v6tov4
    listen_port: "8000-8010"
    connect_address: 127.0.0.1
    connect_port: "9000-9010"
    allowed_sources: ["2001:db8::/32"]
    refused_sources: ["2001:db8:bad::/48"]
    maximum_connections: 500
    idle_timeout: 3600
    wait: 5

- name: Have these rules and no others
  v6ops.transition.portproxy:
    purge: true
    rules:
      - name: mail
        direction: v4tov6
        listen_port: 25
        connect_address: mail.corp.example
        connect_port: 2525
        name_refresh_interval: 60
        connect_timeout: 3
        send_proxy: v2
        fast_open: true
      - name: behind-balancer
        listen_address: 10.0.0.1
        listen_port: 8443
        connect_address: 10.0.0.4
        accept_proxy: true
        transparent_source: true
        keepalive: true
        keepalive_idle: 30
        keepalive_interval: 5
        keepalive_probes: 3
        when_removed: drain
        drain_timeout: 60

- name: Have one rule no more
  v6ops.transition.portproxy:
    name: ledger
    state: absent
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample:
    - create portproxy web
status:
  description:
    - How the rule fares; V(null) if there is none. With O(rules), that of each by its name.
  returned: success
  type: dict
  contains:
    ready:
      description: Whether the machine listens, and the server's address is known.
      type: bool
      sample: true
    summary:
      description: One line for people.
      type: str
      sample: "10.0.0.1 port 80,443 to 2001:db8:0:6::6: 3 connections"
    connect_addresses:
      description: The server's addresses, in the order in which they are tried.
      type: list
      elements: str
      sample:
        - "2001:db8:0:6::6"
    problems:
      description: What the user should know, such as protocols that need more than a proxy.
      type: list
      elements: str
      sample: []
    counters:
      description:
        - Connections that run (C(active)), were accepted, were refused, and were cut for being
          idle; bytes each way; connections for which no server was reached, by errno; and how long
          connections took, item n counting those of less than 2 to the power of n milliseconds.
      type: dict
"""

from ansible_collections.v6ops.transition.plugins.module_utils._resource import (
    RESOURCE_OPTIONS,
    many_options,
    run_resource_module,
)

SPEC = {
    "direction": {"type": "str", "choices": ["v4tov4", "v4tov6", "v6tov4", "v6tov6"]},
    "listen_address": {"type": "str", "default": "*"},
    "listen_port": {"type": "str"},
    "connect_address": {"type": "str"},
    "connect_port": {"type": "str"},
    "allowed_sources": {"type": "list", "elements": "str", "default": []},
    "refused_sources": {"type": "list", "elements": "str", "default": []},
    "maximum_connections": {"type": "int"},
    "connect_timeout": {"type": "int", "default": 10},
    "idle_timeout": {"type": "int", "default": 0},
    "keepalive": {"type": "bool", "default": True},
    "keepalive_idle": {"type": "int", "default": 60},
    "keepalive_interval": {"type": "int", "default": 10},
    "keepalive_probes": {"type": "int", "default": 6},
    "send_proxy": {"type": "str", "choices": ["none", "v1", "v2"], "default": "none"},
    "accept_proxy": {"type": "bool", "default": False},
    "fast_open": {"type": "bool", "default": False},
    "transparent_source": {"type": "bool", "default": False},
    "when_removed": {"type": "str", "choices": ["drain", "cut"], "default": "drain"},
    "drain_timeout": {"type": "int", "default": 0},
    "name_refresh_interval": {"type": "int", "default": 300},
}
ARGUMENT_SPEC = {**RESOURCE_OPTIONS, **SPEC, **many_options("rules", SPEC)}


def main() -> None:
    """Declare the rule, or all rules."""
    run_resource_module("portproxy", SPEC, many="rules")


if __name__ == "__main__":
    main()
