# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts that a guest plays with the kernel's own sit driver.

ISATAP host and router, 6to4 host and router, an end of a configured tunnel, 6rd customer edge.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from tests.interop.guest import Guest, Job
from tests.interop.namespaces import Namespace

INTERFACE = "is0"
"""The tunnel interface; it is also isatapd's own default."""
ADVERTISED_SECONDS = 20.0
"""The longest wait for an address from radvd; it advertises after 3 s at the latest."""


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
    guest.check(
        "sysctl -w net.ipv6.conf.all.forwarding=1"
        f" && ip tunnel add {INTERFACE} mode isatap local {local} ttl 64"
        f" && ip link set {INTERFACE} up"
        f" && ip address add {router_address} dev {INTERFACE} nodad"
    )
    # RFC 5214 §8.2: advertisements only answer solicitations, to their senders.
    return _start_radvd(guest, INTERFACE, prefix, "UnicastOnly on;")


def _start_radvd(guest: Guest, interface: str, prefix: IPv6Network, options: str = "") -> Job:
    configuration = f"""
        interface {interface} {{
            AdvSendAdvert on;
            AdvDefaultLifetime 1800;
            {options}
            prefix {prefix} {{ AdvOnLink on; AdvAutonomous on; }};
        }};
    """
    text = base64.b64encode(configuration.encode()).decode()
    guest.check(f"echo {text} | base64 -d >/etc/radvd.conf")
    return guest.start("exec radvd --nodaemon --logmethod stderr --debug 3")


def make_tunnel(
    host: Guest | Namespace,
    local: IPv4Address,
    address: str,
    *,
    remote: IPv4Address | None = None,
    sixrd_prefix: IPv6Network | None = None,
    default_gateway: IPv4Address | None = None,
) -> None:
    """Make a tunnel interface with an IPv6 address: by default that of a 6to4 host.

    Args:
        host: that has it, a guest or one of several inside it.
        local: its IPv4 address, the tunnel's local endpoint.
        address: its address on the tunnel, with the length of the prefix that is on-link there.
        remote: the far end, of a configured tunnel.
        sixrd_prefix: of a customer edge, with all bits of IPv4 addresses behind it.
        default_gateway: the endpoint that all else goes to.
    """
    commands = [
        "modprobe sit",
        f"ip tunnel add {INTERFACE} mode sit remote {remote or 'any'} local {local} ttl 64",
    ]
    if sixrd_prefix is not None:
        commands.append(f"ip tunnel 6rd dev {INTERFACE} 6rd-prefix {sixrd_prefix}")
    commands += [
        f"ip link set {INTERFACE} up",
        f"ip address add {address} dev {INTERFACE} nodad",
    ]
    if default_gateway is not None:
        commands.append(f"ip -6 route add default via ::{default_gateway} dev {INTERFACE}")
    host.check(" && ".join(commands))


def take_tunnel_away(host: Guest | Namespace) -> None:
    """Delete the tunnel interface."""
    host.check(f"ip link delete {INTERFACE}")


def start_routing(guest: Guest, prefix: IPv6Network) -> tuple[Namespace, IPv6Address]:
    """Forward for a stock host behind, which has what radvd advertises; return it and its address.

    Args:
        guest: the guest.
        prefix: of the link between the two, a /64.
    """
    host = Namespace(guest, "behind", IPv4Address("192.168.2.2"))
    guest.check(
        "modprobe veth && sysctl -w net.ipv6.conf.all.forwarding=1"
        f" && ip netns add {host.name} && ip link add lan0 type veth peer eth0 netns {host.name}"
        f" && ip link set lan0 up && ip address add {prefix[1]}/64 dev lan0 nodad"
    )
    host.check("ip link set lo up && ip link set eth0 up")
    _start_radvd(guest, "lan0", prefix, "MinRtrAdvInterval 3; MaxRtrAdvInterval 4;")
    wanted = f"inet6 {prefix.network_address}".removesuffix(":")
    shown = host.eventually(
        f"ip -6 -o address show dev eth0 -tentative | grep '{wanted}'", ADVERTISED_SECONDS
    )
    return host, IPv6Address(shown.split(" inet6 ")[1].partition("/")[0])


def stop_routing(guest: Guest) -> None:
    """Undo ``start_routing``."""
    guest.check("killall radvd; ip link delete lan0; ip netns delete behind")
    guest.check("sysctl -w net.ipv6.conf.all.forwarding=0")
