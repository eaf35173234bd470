# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for a 6to4 router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from v6ferry.engines.lan.ipv4 import DhcpInterface, Ipv4Options
from v6ferry.engines.lan.options import Advertising, interface_identifier
from v6ferry.engines.sixtofour.anycast import relay_warnings
from v6ferry.engines.specification import (
    Options,
    interface_name,
    ipv4_address_or_name,
)
from v6ferry.engines.tunnel import TunnelOptions
from v6ferry.system.programs import Program

LARGEST_SUBNET_ID = 0xFFFF


@dataclass(frozen=True, slots=True)
class PrivateInterface:
    """An interface behind the router."""

    interface: str
    subnet_id: int | None
    """The fourth 16 bits of its prefix; None takes the interface's index."""
    identifier: int
    """The router's own interface identifier there."""
    advertise: bool
    dhcp: DhcpInterface | None = None


@dataclass(frozen=True, slots=True)
class SixToFourRouterSpec:
    """A 6to4 router (RFC 3056 section 5.3) with the interfaces behind it."""

    tunnel: TunnelOptions
    globally_unique: bool
    """Whether only globally unique IPv4 addresses make a prefix, and are spoken to."""
    private_interfaces: tuple[PrivateInterface, ...]
    relay: str | None
    """Address or name of the relay; None reaches only other 6to4 sites."""
    accept_relays: str
    """``any`` or only the ``configured`` relay may bring packets from native sources."""
    route_metric: int
    relay_refresh_interval: float
    """Seconds."""
    forwarding: bool
    default_route: bool
    advertising: Advertising
    ipv4: Ipv4Options

    @classmethod
    def parse(cls, spec: Any, where: str) -> SixToFourRouterSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        tunnel = TunnelOptions.read(options, "sixtofour0")
        private = _private_interfaces(options, tunnel)
        result = cls(
            tunnel=tunnel,
            globally_unique=options.boolean("globally_unique", True),
            private_interfaces=private,
            relay=options.text("relay", "", _relay) or None,
            accept_relays=options.choice("accept_relays", "any", ("any", "configured")),
            route_metric=options.integer("route_metric", 2048, 1, 0x7FFF_FFFF),
            relay_refresh_interval=options.integer("relay_refresh_interval", 86400, 10, 604_800),
            forwarding=options.boolean("forwarding", True),
            default_route=options.boolean("default_route", True),
            advertising=Advertising.read(options),
            ipv4=Ipv4Options.read(
                options,
                tuple(one.interface for one in private),
                tuple(one.dhcp for one in private if one.dhcp is not None),
            ),
        )
        options.finish()
        return result

    def warnings(self) -> tuple[str, ...]:
        """What the user should know before going on, a line each."""
        return relay_warnings(self.relay)

    def programs(self) -> Mapping[str, Program]:
        """The programs of the host that it takes, by the option that wants them."""
        return self.ipv4.programs()


def _private_interfaces(options: Options, tunnel: TunnelOptions) -> tuple[PrivateInterface, ...]:
    found: list[PrivateInterface] = []
    for index, one in enumerate(options.mappings("private_interfaces")):
        name = one.text("interface", None, interface_name)
        private = PrivateInterface(
            interface=name,
            subnet_id=one.optional_integer("subnet_id", 1, LARGEST_SUBNET_ID),
            identifier=int(one.text("identifier", "::1", interface_identifier)),
            advertise=one.boolean("advertise", True),
            dhcp=DhcpInterface.read(one, name),
        )
        one.finish()
        where = f"private_interfaces[{index}]"
        if private.interface in tunnel.underlay_interfaces or private.interface == tunnel.interface:
            raise options.fail(
                where, f"{private.interface} is on the public side; give another interface"
            )
        if any(private.interface == other.interface for other in found):
            raise options.fail(where, f"{private.interface} is there twice")
        for other in found:
            if private.subnet_id is not None and private.subnet_id == other.subnet_id:
                raise options.fail(
                    where,
                    f"{other.interface} has subnet_id {private.subnet_id} already; give each"
                    " interface one of its own",
                )
        found.append(private)
    return tuple(found)


def _relay(text: str) -> str:
    return ipv4_address_or_name(text) if text else ""
