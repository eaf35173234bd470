# SPDX-License-Identifier: GPL-3.0-or-later
"""The private side of a customer edge: which interface gets which /64 of the delegated prefix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network

from v6ferry.engines.lan.advertised import AdvertisedLink
from v6ferry.engines.lan.options import Advertising, interface_identifier
from v6ferry.engines.specification import Options, interface_name
from v6ferry.engines.tunnel import TunnelOptions


@dataclass(frozen=True, slots=True)
class PrivateInterface:
    """An interface behind the customer edge."""

    interface: str
    subnet_id: int
    """The bits between the delegated prefix and the 64th."""
    identifier: int
    """The customer edge's own interface identifier there."""
    advertise: bool


@dataclass(frozen=True, slots=True)
class PrivateSide:
    """All of them, and what their hosts are told."""

    interfaces: tuple[PrivateInterface, ...]
    forwarding: bool
    advertising: Advertising

    @classmethod
    def read(cls, options: Options, tunnel: TunnelOptions, delegated_length: int) -> PrivateSide:
        """Take the options of the private side out of ``options``.

        Args:
            options: of the customer edge.
            tunnel: its tunnel.
            delegated_length: of the delegated prefix; more than 64 leaves no room.
        """
        return cls(
            interfaces=_interfaces(options, tunnel, delegated_length),
            forwarding=options.boolean("forwarding", True),
            advertising=Advertising.read(options),
        )

    def links(self, delegated: IPv6Network | None, has_way_out: bool) -> Iterator[AdvertisedLink]:
        """What each interface is told.

        Args:
            delegated: the prefix to give subnets of; None if there is none at the moment.
            has_way_out: whether packets to everywhere get anywhere (RFC 7084 G-4).
        """
        is_default = self.forwarding and has_way_out and delegated is not None
        for one in self.interfaces:
            yield self.advertising.link(
                one.interface,
                () if delegated is None else (subnet(delegated, one.subnet_id),),
                is_default=is_default,
                identifier=one.identifier,
                advertise=one.advertise,
            )


def subnet(delegated: IPv6Network, subnet_id: int) -> IPv6Network:
    """The /64 with a subnet ID."""
    return IPv6Network((int(delegated.network_address) | subnet_id << 64, 64))


def _interfaces(
    options: Options, tunnel: TunnelOptions, delegated_length: int
) -> tuple[PrivateInterface, ...]:
    subnets = 1 << max(0, 64 - delegated_length)
    found: list[PrivateInterface] = []
    given: list[tuple[Options, str, int | None]] = []
    for index, one in enumerate(options.mappings("private_interfaces")):
        name = one.text("interface", None, interface_name)
        where = f"private_interfaces[{index}]"
        if name in tunnel.underlay_interfaces or name == tunnel.interface:
            raise options.fail(where, f"{name} is on the provider's side; give another interface")
        if any(name == other for _options, other, _subnet in given):
            raise options.fail(where, f"{name} is there twice")
        subnet_id = one.optional_integer("subnet_id", 0, (1 << 64) - 1)
        if subnet_id is not None and subnet_id >= subnets:
            raise one.fail(
                "subnet_id",
                f"{subnet_id} does not fit a delegated /{delegated_length}, use 0 to {subnets - 1}",
            )
        for _options, other, taken in given:
            if subnet_id is not None and subnet_id == taken:
                raise options.fail(
                    where,
                    f"{other} has subnet_id {subnet_id} already; give each interface one of its"
                    " own",
                )
        given.append((one, name, subnet_id))
    if len(given) > subnets:
        raise options.fail(
            "private_interfaces",
            f"{len(given)} interfaces need a /64 each, but a delegated /{delegated_length} has"
            f" {subnets}; give fewer, or ask the provider for a shorter prefix",
        )
    taken_ids = {subnet_id for _options, _name, subnet_id in given if subnet_id is not None}
    # Subnet 0, where the tunnel interface has its address, comes last.
    free = (n for n in (*range(1, subnets if subnets < 1 << 16 else 1 << 16), 0))
    free_ids = (number for number in free if number not in taken_ids)
    for one, name, subnet_id in given:
        found.append(
            PrivateInterface(
                interface=name,
                subnet_id=next(free_ids) if subnet_id is None else subnet_id,
                identifier=int(one.text("identifier", "::1", interface_identifier)),
                advertise=one.boolean("advertise", True),
            )
        )
        one.finish()
    return tuple(found)
