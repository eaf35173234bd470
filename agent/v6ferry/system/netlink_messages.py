# SPDX-License-Identifier: GPL-3.0-or-later
"""What rtnetlink messages and errors mean; ``netlink`` sends and receives them."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network
from typing import Any

from pyroute2.netlink.exceptions import NetlinkError

from v6ferry.system.errors import SystemFault, refused
from v6ferry.system.interface_changes import (
    PresentAddress,
    PresentRoute,
    RouteChange,
    describe_route,
)
from v6ferry.system.state import Route

# linux/if_addr.h, rtnetlink.h, sockios.h
_IFA_F_NOPREFIXROUTE = 0x200
_RT_TABLE_MAIN = 254
_SIOCGIFMTU = 0x8921


def ipv6_address_in(message: Any) -> IPv6Address:
    """The address of an address message; on a point-to-point link, the local one."""
    return IPv6Address(message.get("local") or message.get("address"))


def present_address(message: Any) -> PresentAddress:
    """An address message as a value."""
    lifetimes = message.get("cacheinfo")
    return PresentAddress(
        address=ipv6_address_in(message),
        prefix_length=message["prefixlen"],
        preferred_lifetime=lifetimes["ifa_preferred"],
        valid_lifetime=lifetimes["ifa_valid"],
        makes_prefix_route=not message.get("IFA_FLAGS") & _IFA_F_NOPREFIXROUTE,
    )


def present_routes(message: Any, index: int) -> Iterable[PresentRoute]:
    """Yield a route once for each next hop that goes through the interface."""
    prefix = IPv6Network((message.get("RTA_DST") or "::", message["dst_len"]))
    hops = message.get("RTA_MULTIPATH")
    if hops:
        gateways = [hop.get("RTA_GATEWAY") for hop in hops if hop["oif"] == index]
    else:
        gateways = [message.get("RTA_GATEWAY")]
    for gateway in gateways:
        yield PresentRoute(
            Route(
                prefix, IPv6Address(gateway) if gateway else None, message.get("RTA_PRIORITY") or 0
            ),
            protocol=message["proto"],
            main_table=message.get("RTA_TABLE") == _RT_TABLE_MAIN,
        )


def interface_index(name: str) -> int | None:
    """The index of an interface; None if there is no such interface."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def interface_mtu(name: str) -> int:
    """The MTU of an interface in bytes; raises OSError if there is no such interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16si20x", name.encode(), 0)
        answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, request)
    mtu: int = struct.unpack_from("i", answer, 16)[0]
    return mtu


def error_number(error: NetlinkError | OSError) -> int:
    """The errno of a failed request."""
    number: int | None = error.code if isinstance(error, NetlinkError) else error.errno
    return number or errno.EIO


def fault_of(doing: str, error: NetlinkError | OSError) -> SystemFault:
    """The fault for a failed request, with what the kernel itself says of it."""
    detail = str(error.args[1]) if isinstance(error, NetlinkError) else ""
    return refused(doing, error_number(error), detail)


def route_conflict(change: RouteChange) -> SystemFault:
    """The fault for a route whose prefix and metric somebody else has."""
    return SystemFault(
        f"cannot add route {describe_route(change.route, change.interface)}: somebody else has a"
        " route with this prefix and metric; give the tunnel another route metric, or remove"
        f" that route (ip -6 route show {change.route.prefix})"
    )
