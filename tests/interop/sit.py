# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that a guest plays with the kernel's own sit driver: ISATAP host and ISATAP router."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Network

from tests.interop.guest import Guest, Job

INTERFACE = "is0"
"""The tunnel interface; it is also isatapd's own default."""


def start_isatap_host(guest: Guest, routers: Iterable[IPv4Address]) -> Job:
    """Make the guest an ISATAP host in isatapd's care.

    isatapd creates the tunnel interface, fills its potential router list and solicits; the kernel
    does the rest. Returns the running isatapd, whose output tells its doings.
    """
    names = " ".join(str(router) for router in routers)
    return guest.start(f"exec isatapd --verbose --user root --name {INTERFACE} {names}")


def start_isatap_router(
    guest: Guest, local: IPv4Address, prefix: IPv6Network, router_address: str
) -> Job:
    """Make the guest an ISATAP router: sit interface, forwarding, and radvd to answer hosts.

    Args:
        guest: the guest.
        local: its IPv4 address, the tunnel's local endpoint.
        prefix: the prefix to advertise, on-link and autonomous.
        router_address: its own address in that prefix, with the prefix length.

    Returns:
        The running radvd.
    """
    # RFC 5214 §8.2: advertisements only answer solicitations, to their senders.
    configuration = f"""
        interface {INTERFACE} {{
            AdvSendAdvert on;
            UnicastOnly on;
            AdvDefaultLifetime 1800;
            prefix {prefix} {{ AdvOnLink on; AdvAutonomous on; }};
        }};
    """
    text = base64.b64encode(configuration.encode()).decode()
    guest.check(
        "sysctl -w net.ipv6.conf.all.forwarding=1"
        f" && ip tunnel add {INTERFACE} mode isatap local {local} ttl 64"
        f" && ip link set {INTERFACE} up"
        f" && ip address add {router_address} dev {INTERFACE} nodad"
        f" && echo {text} | base64 -d >/etc/radvd.conf"
    )
    return guest.start("exec radvd --nodaemon --logmethod stderr --debug 3")
