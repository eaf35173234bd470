# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own interfaces: what they are, and the addresses that a router has on them."""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Interface, IPv6Address

from pyroute2 import AsyncIPRoute
from pyroute2.netlink.exceptions import NetlinkError

from v6ferry.system.interface_changes import AddressChange, PresentAddress
from v6ferry.system.netlink_dump import Dumps
from v6ferry.system.netlink_messages import (
    error_number,
    fault_of,
    interface_index,
    ipv6_address_in,
    present_address,
)
from v6ferry.system.state import LINK_LOCAL_PREFIX, LinkFacts

# linux/if.h, if_addr.h, rtnetlink.h
_IFF_UP = 0x1
_IFF_LOOPBACK = 0x8
_IFF_LOWER_UP = 0x10000
_IFA_F_DADFAILED = 0x08
_IFA_F_TENTATIVE = 0x40
_RTEXT_FILTER_SKIP_STATS = 8
_RT_SCOPE_UNIVERSE, _RT_SCOPE_HOST = 0, 254
_ALREADY_GONE = frozenset({errno.EADDRNOTAVAIL, errno.ENODEV})


class Links:
    """Reads the interfaces and changes single addresses of them.

    Args:
        rtnetlink: the socket to the kernel.
        dump: reads its tables.
    """

    def __init__(self, rtnetlink: AsyncIPRoute, dump: Dumps) -> None:
        self._rtnetlink = rtnetlink
        self._dump = dump

    async def facts(self, exclude: Collection[str] = ()) -> dict[str, LinkFacts]:
        """Return what is known of every interface that is no loopback interface, by name.

        Args:
            exclude: names of interfaces to leave out, such as our own tunnels.

        Raises:
            SystemFault: the kernel refuses.
        """
        link_local: dict[int, IPv6Address] = {}
        for message in await self._dump("addr", family=socket.AF_INET6):
            address = ipv6_address_in(message)
            # One whose uniqueness is not yet known must not be spoken from (RFC 4862 section 5.4).
            unusable = message.get("IFA_FLAGS") & (_IFA_F_TENTATIVE | _IFA_F_DADFAILED)
            if address in LINK_LOCAL_PREFIX and not unusable:
                link_local.setdefault(message["index"], address)
        ipv4: dict[int, list[IPv4Interface]] = {}
        for message in await self._dump("addr", family=socket.AF_INET):
            if message["scope"] == _RT_SCOPE_UNIVERSE:
                own = message.get("local") or message.get("address")
                one = IPv4Interface((own, message["prefixlen"]))
                ipv4.setdefault(message["index"], []).append(one)
        found = {}
        for link in await self._dump("link", ext_mask=_RTEXT_FILTER_SKIP_STATS):
            name, index, flags = link.get("ifname"), link["index"], link["flags"]
            if not flags & _IFF_LOOPBACK and name not in exclude:
                is_up = flags & (_IFF_UP | _IFF_LOWER_UP) == _IFF_UP | _IFF_LOWER_UP
                found[name] = LinkFacts(
                    index, link_local.get(index), is_up, tuple(ipv4.get(index, ()))
                )
        return found

    async def addresses(self, name: str) -> tuple[PresentAddress, ...]:
        """Return the IPv6 addresses of an interface; none if there is no such interface.

        Raises:
            SystemFault: the kernel refuses.
        """
        index = interface_index(name)
        if index is None:
            return ()
        messages = await self._dump("addr", family=socket.AF_INET6, index=index)
        return tuple(present_address(message) for message in messages)

    async def change_address(self, change: AddressChange) -> None:
        """Make a change; one to an interface that has gone, or a removal that came late, is none.

        Raises:
            SystemFault: the kernel refuses.
        """
        index = interface_index(change.interface)
        if index is None:
            return
        where = {"index": index, "address": str(change.address), "prefixlen": change.prefix_length}
        try:
            if change.operation == "remove":
                await self._rtnetlink.addr("del", **where)
                return
            # With duplicate address detection and an on-link route, as on any link with others.
            await self._rtnetlink.addr(
                "replace",
                preferred_lft=change.preferred_lifetime,
                valid_lft=change.valid_lifetime,
                **where,
            )
        except (NetlinkError, OSError) as error:
            if error_number(error) in _ALREADY_GONE:
                return
            raise fault_of(str(change), error) from error

    async def apply_ipv4(self, name: str, wanted: frozenset[IPv4Address]) -> list[str]:
        """Give an interface of our own these IPv4 addresses, and no others.

        They are of scope host: the kernel takes packets for them, and never chooses one of them as
        a source.

        Returns:
            One line for each change.

        Raises:
            SystemFault: the kernel refuses.
        """
        index = interface_index(name)
        if index is None:
            return []
        present = {
            IPv4Address(message.get("local") or message.get("address"))
            for message in await self._dump("addr", family=socket.AF_INET, index=index)
        }
        lines: list[str] = []
        for address in sorted(wanted ^ present):
            adding = address in wanted
            line = f"{'add' if adding else 'remove'} address {address} of {name}"
            where = {"index": index, "address": str(address), "prefixlen": address.max_prefixlen}
            try:
                if adding:
                    await self._rtnetlink.addr("add", scope=_RT_SCOPE_HOST, **where)
                else:
                    await self._rtnetlink.addr("del", **where)
            except (NetlinkError, OSError) as error:
                if error_number(error) in _ALREADY_GONE:
                    continue
                raise fault_of(line, error) from error
            lines.append(line)
        return lines
