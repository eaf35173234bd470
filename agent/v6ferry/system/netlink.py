# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's network configuration over rtnetlink."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Collection, Iterable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from v6ferry.system.errors import NO_IPV6, SystemFault
from v6ferry.system.interface_changes import (
    PROTOCOL_KERNEL,
    AddressChange,
    BringUp,
    Change,
    MtuChange,
    Preparation,
    PresentInterface,
    PresentRoute,
    RouteChange,
    interface_changes,
)
from v6ferry.system.links import Links
from v6ferry.system.netlink_dump import Dumps
from v6ferry.system.netlink_events import Changes, watch_changes
from v6ferry.system.netlink_messages import (
    error_number,
    fault_of,
    interface_index,
    interface_mtu,
    ipv6_address_in,
    present_address,
    present_routes,
    route_conflict,
)
from v6ferry.system.state import (
    ROUTE_PROTOCOL,
    HostFacts,
    InterfaceState,
    Route,
    UnderlayRoute,
)
from v6ferry.system.sysctl import PROC_SYS, read_sysctl, write_sysctl
from v6ferry.system.traffic_control import TrafficControl
from v6ferry.system.underlay import underlay_facts

# linux/if.h, if_addr.h, netlink.h, rtnetlink.h
_IFF_UP = 0x1
_IFA_F_NODAD = 0x02
_IFA_F_UNUSABLE = 0x08 | 0x20 | 0x40
"""Not unique, deprecated, or not known to be unique yet."""
_IFA_F_NOPREFIXROUTE = 0x200
_RT_TABLE_MAIN = 254
_RTN_UNICAST = 1
_RTN_LOCAL = 2
_RTEXT_FILTER_SKIP_STATS = 8

_NO_ROUTE = frozenset(
    {
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EACCES,  # a prohibit route
        errno.EINVAL,  # a blackhole route
    }
)
_ALREADY_GONE = frozenset({errno.ESRCH, errno.EADDRNOTAVAIL})

_TUNNEL_SYSCTLS = {
    # The engine forms the addresses: no link-local one from the kernel (IN6_ADDR_GEN_MODE_NONE).
    "addr_gen_mode": "1",
    # The engine hears the router advertisements; the kernel must neither send nor hear them.
    "accept_ra": "0",
    "router_solicitations": "0",
    # A host whose default is "off" still wants IPv6 here: somebody configured a tunnel.
    "disable_ipv6": "0",
    # Without an agent there is no carrier, and the fast path forwards all the same.
    "ignore_routes_with_linkdown": "0",
}


class Ipv6Route(NamedTuple):
    """How the kernel would send to an IPv6 destination."""

    interface: str
    gateway: IPv6Address | None
    source: IPv6Address | None
    is_local: bool
    """Whether the destination is the host itself."""


class Netlink:
    """Reads and changes the network configuration of this network namespace.

    An async context manager, for use in the event loop (and thread) that entered it. Methods may
    run at the same time; changes to interfaces are made one after the other. Every method raises
    SystemFault when the kernel refuses.
    """

    def __init__(self, *, sysctl_root: Path = PROC_SYS) -> None:
        self._sysctl_root = sysctl_root
        self._changing = asyncio.Lock()
        self._new: set[int] = set()
        """Devices just made, of which we know without asking how they are."""

    async def __aenter__(self) -> Netlink:
        # Strict checking makes the kernel filter dumps itself: on a router with a full routing
        # table, the routes of one interface still take a millisecond.
        self._rtnetlink = AsyncIPRoute(strict_check=True, ext_ack=True)
        self.traffic_control = TrafficControl(self._rtnetlink)
        self._dump = Dumps(self._rtnetlink)
        self.links = Links(self._rtnetlink, self._dump)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._rtnetlink.close()

    # What the host has

    async def underlay(self, exclude: Collection[str] = ()) -> HostFacts:
        """Return the host's IPv4 addresses, those that a tunnel may use, and the MTUs beside them.

        A tunnel may use addresses of scope global on interfaces that are administratively up. An
        interface that lost its carrier counts: whoever manages it decides when the address goes.
        Those of loopback interfaces come last: routers have their stable address there.

        Args:
            exclude: Names of interfaces that no tunnel may use, such as our own tunnels.
        """
        links = await self._dump("link", ext_mask=_RTEXT_FILTER_SKIP_STATS)
        addresses = await self._dump("addr", family=socket.AF_INET)
        return underlay_facts(links, addresses, exclude)

    async def host_ipv6_addresses(self) -> frozenset[IPv6Address]:
        """Return every IPv6 address of the host, whatever its interface and scope."""
        messages = await self._dump("addr", family=socket.AF_INET6)
        return frozenset(ipv6_address_in(message) for message in messages)

    async def preferred_ipv6_addresses(self) -> dict[str, tuple[IPv6Address, ...]]:
        """Return, by interface, the IPv6 addresses of global scope that programs may use."""
        found: dict[str, tuple[IPv6Address, ...]] = {}
        for message in await self._dump("addr", family=socket.AF_INET6):
            if message["scope"] or message.get("IFA_FLAGS", 0) & _IFA_F_UNUSABLE:
                continue
            try:
                name = socket.if_indextoname(message["index"])
            except OSError:
                continue  # it has vanished since
            found[name] = (*found.get(name, ()), ipv6_address_in(message))
        return found

    async def foreign_routes(self, name: str) -> tuple[Route, ...]:
        """Return the unicast IPv6 routes through an interface that others set, in any table.

        Others are the administrator and routing daemons; the kernel's own routes are left out.
        There are none if there is no such interface.
        """
        index = interface_index(name)
        if index is None:
            return ()
        return tuple(
            entry.route
            for entry in await self._routes(index)
            if not entry.is_own and entry.protocol != PROTOCOL_KERNEL
        )

    async def preferred_sources(
        self, destinations: Iterable[IPv4Address]
    ) -> dict[IPv4Address, IPv4Address]:
        """Return the source address that the kernel would choose to each; see ``route_to``."""
        routes = {one: await self.route_to(one) for one in destinations}
        return {one: route.source for one, route in routes.items() if route is not None}

    async def route_to(
        self, destination: IPv4Address, source: IPv4Address | None = None, tos: int = 0
    ) -> UnderlayRoute | None:
        """Return how the kernel would send a packet of this host to an IPv4 address.

        Args:
            destination: The address.
            source: That of the packet, which rules may look at; None takes the kernel's choice.
            tos: The packet's TOS octet, which they may look at, too.

        Returns:
            None if it would not, or only as a broadcast or multicast: the broadcast address of
            an attached subnet is no tunnel endpoint, and only the routing table knows it.
        """
        request: dict[str, Any] = {"family": socket.AF_INET, "dst": str(destination), "tos": tos}
        if source is not None:
            request |= {"src": str(source), "src_len": source.max_prefixlen}
        try:
            answer = await self._rtnetlink.route("get", **request)
        except (NetlinkError, OSError) as error:
            if error_number(error) in _NO_ROUTE:
                return None
            raise fault_of(f"look up the route to {destination}", error) from error
        message = answer[0]
        chosen, index = source or message.get("RTA_PREFSRC"), message.get("RTA_OIF")
        if message["type"] not in (_RTN_UNICAST, _RTN_LOCAL) or chosen is None:
            return None
        try:
            interface = socket.if_indextoname(index)
            metrics = message.get("RTA_METRICS")
            learned = metrics.get("RTAX_MTU") if metrics is not None else None
            mtu = learned or interface_mtu(interface)
        except OSError:
            return None  # it vanished between the two questions: there is no such route now
        return UnderlayRoute(interface, IPv4Address(chosen), mtu)

    async def ipv6_route_to(
        self, destination: IPv6Address, interface: str | None = None
    ) -> Ipv6Route | None:
        """Return how the kernel would send to an IPv6 address; None if it would not.

        Args:
            destination: The address.
            interface: Where to, for a link-local address.
        """
        request: dict[str, Any] = {"family": socket.AF_INET6, "dst": str(destination)}
        if interface is not None and (index := interface_index(interface)) is not None:
            request["oif"] = index
        try:
            message = (await self._rtnetlink.route("get", **request))[0]
        except (NetlinkError, OSError) as error:
            if error_number(error) in _NO_ROUTE:
                return None
            raise fault_of(f"look up the route to {destination}", error) from error
        if message["type"] not in (_RTN_UNICAST, _RTN_LOCAL):
            return None
        gateway, source = message.get("RTA_GATEWAY"), message.get("RTA_PREFSRC")
        return Ipv6Route(
            socket.if_indextoname(message.get("RTA_OIF")),
            None if gateway is None else IPv6Address(gateway),
            None if source is None else IPv6Address(source),
            message["type"] == _RTN_LOCAL,
        )

    async def interface_alias(self, name: str) -> str | None:
        """Return the alias of an interface ("" for none); None if there is no such interface."""
        index = interface_index(name)
        if index is None:
            return None
        try:
            link = (await self._rtnetlink.link("get", index=index))[0]
        except (NetlinkError, OSError) as error:
            if error_number(error) == errno.ENODEV:
                return None
            raise fault_of(f"read interface {name}", error) from error
        return str(link.get("ifalias") or "")

    async def set_interface_alias(self, name: str, alias: str) -> None:
        """Set the alias of a TUN device just made, which ``ip link`` shows to people."""
        index = interface_index(name)
        try:
            await self._rtnetlink.link("set", index=index, ifalias=alias)
        except (NetlinkError, OSError) as error:
            raise fault_of(f"set the alias of interface {name}", error) from error
        if index is not None:
            self._new.add(index)

    async def remove_interface(self, index: int) -> None:
        """Remove an interface, whoever holds it open; it is no fault if it is gone already."""
        try:
            await self._rtnetlink.link("del", index=index)
        except (NetlinkError, OSError) as error:
            if error_number(error) != errno.ENODEV:
                raise fault_of(f"remove the interface with index {index}", error) from error

    async def watch(self, callback: Callable[[Changes], None]) -> None:
        """Call ``callback`` with the kinds of things that changed, until cancelled.

        The kinds are those of ``netlink_events.CHANGE_KINDS``. The first call comes at once and
        names all of them; see ``netlink_events.watch_changes``.
        """
        await watch_changes(callback)

    # What a tunnel interface should be

    async def apply_interface(
        self, state: InterfaceState, now: float, dry_run: bool = False
    ) -> list[str]:
        """Make an interface what it should be, with as few changes as possible.

        The interface is ours: every IPv6 address that is not wanted goes. Routes go only if they
        carry our protocol number. A route whose place (prefix and metric) somebody else has is
        reported after all else is done.

        Args:
            state: What is wanted.
            now: Seconds on the clock of the times in ``state``.
            dry_run: Only say what would be done; the interface need not exist then.

        Returns:
            One line for each change; none when all is as it should be.

        Raises:
            SystemFault: The kernel refuses, has no IPv6, or the interface is not there.
        """
        if not (self._sysctl_root / "net/ipv6").exists():
            raise SystemFault(NO_IPV6.format(root=self._sysctl_root))
        async with self._changing:
            index = interface_index(state.name)
            if index is None and not dry_run:
                raise SystemFault(
                    f"cannot configure interface {state.name}: it does not exist; it is made anew"
                    " when the resource is applied again"
                )
            present = PresentInterface()
            if index is not None and index not in self._new:
                present = await self._present(state, index)
            self._new.discard(index or 0)
            changes = list(interface_changes(state, present, now))
            if index is not None and not dry_run:
                await self._make(changes, index)
            lines = [str(change) for change in changes]
            if state.ipv4 is not None and index is not None and not dry_run:
                lines += await self.links.apply_ipv4(state.name, state.ipv4)
            return lines

    async def _present(self, state: InterfaceState, index: int) -> PresentInterface:
        try:
            link = (
                await self._rtnetlink.link("get", index=index, ext_mask=_RTEXT_FILTER_SKIP_STATS)
            )[0]
        except (NetlinkError, OSError) as error:
            raise fault_of(f"read interface {state.name}", error) from error
        addresses = await self._dump("addr", family=socket.AF_INET6, index=index)
        return PresentInterface(
            mtu=link.get("mtu"),
            up=bool(link["flags"] & _IFF_UP),
            prepared=self._is_prepared(state.name),
            addresses=tuple(present_address(message) for message in addresses),
            routes=await self._routes(index),
        )

    async def _make(self, changes: Iterable[Change], index: int) -> None:
        """Make the changes; a route that is in another's way does not hold up the rest."""
        conflict: SystemFault | None = None
        for change in changes:
            try:
                await self._make_one(change, index)
            except (NetlinkError, OSError) as error:
                number = error_number(error)
                if number in _ALREADY_GONE and getattr(change, "operation", "") == "remove":
                    continue  # somebody was faster; it is as it should be
                if number == errno.EEXIST and isinstance(change, RouteChange):
                    conflict = conflict or route_conflict(change)
                    continue
                raise fault_of(str(change), error) from error
        if conflict is not None:
            raise conflict

    async def _make_one(self, change: Change, index: int) -> None:
        rtnetlink = self._rtnetlink
        if isinstance(change, MtuChange):
            await rtnetlink.link("set", index=index, mtu=change.mtu)
        elif isinstance(change, Preparation):
            self._prepare(change.interface)
        elif isinstance(change, BringUp):
            await rtnetlink.link("set", index=index, state="up")
        elif isinstance(change, AddressChange):
            await self._change_address(change, index)
        else:
            await self._change_route(change, index)

    async def _change_address(self, change: AddressChange, index: int) -> None:
        where = {"index": index, "address": str(change.address), "prefixlen": change.prefix_length}
        if change.operation == "remove":
            await self._rtnetlink.addr("del", **where)
            return
        await self._rtnetlink.addr(
            "replace",
            # No duplicate address detection: the identifier comes from a unique IPv4 address, and
            # the link has no multicast to ask on (RFC 5214 section 6). Prefixes are on-link only
            # where the engine says so.
            flags=_IFA_F_NODAD | _IFA_F_NOPREFIXROUTE,
            preferred_lft=change.preferred_lifetime,
            valid_lft=change.valid_lifetime,
            **where,
        )

    async def _change_route(self, change: RouteChange, index: int) -> None:
        route = change.route
        spec: dict[str, Any] = {
            "family": socket.AF_INET6,
            "dst": str(route.prefix),
            "oif": index,
            "priority": route.metric,
            "table": _RT_TABLE_MAIN,
            # In a removal too: the kernel then spares an equal route that is not ours.
            "proto": ROUTE_PROTOCOL,
        }
        if route.gateway is not None:
            spec["gateway"] = str(route.gateway)
        if change.operation == "remove":
            # Without a gateway the kernel would take the first route of this prefix and metric.
            await self._rtnetlink.route("del", **({"gateway": "::"} | spec))
        elif route.gateway is None or change.beside_own:
            # Every interface has fe80::/64 with the same metric; on-link routes stay apart.
            await self._rtnetlink.route("append", **spec)
        else:
            # "add" refuses a prefix and metric that anybody has: appending to a stranger's route
            # would split that one's traffic with our tunnel (equal-cost multipath).
            await self._rtnetlink.route("add", **spec)

    def _is_prepared(self, name: str) -> bool:
        folder = f"net/ipv6/conf/{name}"
        if not (self._sysctl_root / folder).exists():
            return False  # its MTU is below IPv6's minimum
        return all(
            read_sysctl(f"{folder}/{key}", root=self._sysctl_root) == value
            for key, value in _TUNNEL_SYSCTLS.items()
        )

    def _prepare(self, name: str) -> None:
        for key, value in _TUNNEL_SYSCTLS.items():
            write_sysctl(f"net/ipv6/conf/{name}/{key}", value, root=self._sysctl_root)

    async def _routes(self, index: int) -> tuple[PresentRoute, ...]:
        messages = await self._dump("route", family=socket.AF_INET6, oif=index, type=_RTN_UNICAST)
        return tuple(entry for message in messages for entry in present_routes(message, index))
