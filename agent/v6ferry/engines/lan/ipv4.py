# SPDX-License-Identifier: GPL-3.0-or-later
"""IPv4 for the hosts behind a router, as Internet Connection Sharing gives it on Windows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

from v6ferry.engines.specification import Options, interface_name, ipv4_address
from v6ferry.system.programs import DNSMASQ, NFT, Program
from v6ferry.system.state import (
    DhcpRange,
    DhcpService,
    HostFacts,
    Ipv4Sharing,
    LinkFacts,
    Masquerading,
)

_LONGEST_DHCP_PREFIX = 30
"""A subnet with a longer prefix has room for nobody but the router."""
# It goes into the files of nft and dnsmasq, to which * and others have meanings.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._@-]+")
_RANGE = re.compile(r"\s*([0-9.]+)\s*-\s*([0-9.]+)\s*")


@dataclass(frozen=True, slots=True)
class AddressRange:
    """IPv4 addresses from the first to the last."""

    first: IPv4Address
    last: IPv4Address

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class DhcpInterface:
    """A private interface whose hosts get their IPv4 addresses by DHCP."""

    interface: str
    range: AddressRange | None
    """None for all addresses of the subnet."""

    @classmethod
    def read(cls, options: Options, interface: str) -> DhcpInterface | None:
        """Take the options of one private interface out of ``options``; None for no DHCP."""
        wanted = options.boolean("dhcp", False)
        among = options.text("dhcp_range", "", _address_range)
        if among is not None and not wanted:
            raise options.fail("dhcp_range", "is without effect; set dhcp to true beside it")
        return cls(plain_interface_name(interface), among) if wanted else None

    def serve(self, facts: LinkFacts | None) -> DhcpRange | str:
        """What is served on the interface as it is, or why nothing can be."""
        name = self.interface
        if facts is None:
            return f"{name}: no DHCP, as there is no such interface"
        subnets = [one for one in facts.ipv4 if one.network.prefixlen <= _LONGEST_DHCP_PREFIX]
        if not subnets:
            return (
                f"{name}: no DHCP, as the interface has no IPv4 address; give it one, such as"
                " 192.168.0.1/24"
            )
        if self.range is None:
            return _range_of(name, subnets[0], None)
        for one in subnets:
            if self.range.first in one.network and self.range.last in one.network:
                return _range_of(name, one, self.range)
        there = ", ".join(map(str, subnets))
        return f"{name}: no DHCP, as dhcp_range {self.range} is not in its subnet ({there})"


@dataclass(frozen=True, slots=True)
class Ipv4Options:
    """What a user can set."""

    share: bool
    public_interfaces: tuple[str, ...]
    """Empty for those that have the public addresses."""
    private_interfaces: tuple[str, ...]
    dhcp: tuple[DhcpInterface, ...]
    lease_time: int
    """Seconds."""
    dns_servers: tuple[IPv4Address, ...]

    @classmethod
    def read(
        cls, options: Options, private: tuple[str, ...], dhcp: tuple[DhcpInterface, ...]
    ) -> Ipv4Options:
        """Take the options out of ``options``.

        Args:
            options: of a router.
            private: its private interfaces.
            dhcp: those with DHCP.
        """
        share = options.boolean("ipv4_sharing", False)
        public = options.texts("public_interfaces", (), plain_interface_name)
        if share and not private:
            raise options.fail(
                "ipv4_sharing", "there is nobody to share with; give private_interfaces"
            )
        for name in private if share else ():
            try:
                plain_interface_name(name)
            except ValueError as error:
                raise options.fail("ipv4_sharing", str(error)) from None
        for index, name in enumerate(public):
            if name in private:
                raise options.fail(
                    f"public_interfaces[{index}]",
                    f"{name} is among the private interfaces; give another interface",
                )
        if public and not share:
            raise options.fail(
                "public_interfaces", "is without effect; set ipv4_sharing to true beside it"
            )
        return cls(
            share=share,
            public_interfaces=public,
            private_interfaces=private,
            dhcp=dhcp,
            lease_time=options.integer("dhcp_lease_time", 3600, 120, 31_536_000),
            dns_servers=options.texts("dhcp_dns_servers", (), ipv4_address),
        )

    def programs(self) -> Mapping[str, Program]:
        """The programs that it takes, by the option that wants them."""
        wanted = {"ipv4_sharing": NFT} if self.share else {}
        return wanted | ({"dhcp": DNSMASQ} if self.dhcp else {})

    def sharing(self, facts: HostFacts, public: tuple[str, ...]) -> Ipv4Sharing:
        """What the host should do.

        Args:
            facts: what is known of it.
            public: interfaces with a public address, for a user who has named none.
        """
        public = self.public_interfaces or public
        served = [one.serve(facts.links.get(one.interface)) for one in self.dhcp]
        ranges = tuple(one for one in served if isinstance(one, DhcpRange))
        return Ipv4Sharing(
            Masquerading(self.private_interfaces, public) if self.share and public else None,
            DhcpService(ranges, self.lease_time, self.dns_servers) if ranges else None,
        )

    def problems(self, facts: HostFacts, public: tuple[str, ...]) -> list[str]:
        """Why part of it cannot be done at the moment, a line each; as for ``sharing``."""
        served = [one.serve(facts.links.get(one.interface)) for one in self.dhcp]
        found = [one for one in served if isinstance(one, str)]
        if self.share and not (self.public_interfaces or public):
            found.append(
                "IPv4 is not shared, as no interface with a public address is known; name it in"
                " public_interfaces"
            )
        return found


def status(sharing: Ipv4Sharing) -> dict[str, Any]:
    """What a user wants to know, JSON-ready."""
    masquerading, dhcp = sharing.masquerading, sharing.dhcp
    return {
        "ipv4_sharing": None
        if masquerading is None
        else {
            "private_interfaces": list(masquerading.private_interfaces),
            "public_interfaces": list(masquerading.public_interfaces),
        },
        "dhcp": {}
        if dhcp is None
        else {one.interface: f"{one.first}-{one.last}" for one in dhcp.ranges},
    }


def plain_interface_name(text: str) -> str:
    """The name of an interface, without characters that firewalls and DHCP servers read."""
    name = interface_name(text)
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be used here: the name may have letters, digits and . _ @ -"
        )
    return name


def _address_range(text: str) -> AddressRange | None:
    """Two addresses, as 192.168.0.100-192.168.0.199."""
    if not text:
        return None
    found = _RANGE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no range, use one such as 192.168.0.100-192.168.0.199")
    first, last = (ipv4_address(one) for one in found.groups())
    if first > last:
        raise ValueError(f"{first} comes after {last}; give the lower address first")
    return AddressRange(first, last)


def _range_of(name: str, own: IPv4Interface, among: AddressRange | None) -> DhcpRange:
    # The server itself never gives away the host's own address.
    first, last = own.network.network_address + 1, own.network.broadcast_address - 1
    if among is not None:
        first, last = max(first, among.first), min(last, among.last)
    return DhcpRange(name, first, last, own.netmask)
