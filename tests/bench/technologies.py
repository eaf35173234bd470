# SPDX-License-Identifier: GPL-3.0-or-later
"""How two hosts have a tunnel between them, by each technology: of ours, and of the sit driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network
from typing import Any

from v6ferry.addresses import isatap_link_local
from v6ferry.addresses.sixrd import delegated_prefix
from v6ferry.addresses.sixtofour import sixtofour_address

from tests.interop import sit
from tests.interop.namespaces import Namespace

_DOMAIN = IPv6Network("2001:db8::/32")


@dataclass(frozen=True)
class Technology:
    """A kind of tunnel.

    Attributes:
        name: for people.
        interface: of our agent.
        resource: kind, name and spec of a host's tunnel, by its own address and the other one's.
        add_sit: has the kernel's driver make the same, on a host that is told the other's address.
        target: where a host is reached through the tunnel, by its IPv4 address.
        is_link_local: whether the target takes an interface beside it.
    """

    name: str
    interface: str
    resource: Callable[[IPv4Address, IPv4Address], Mapping[str, Any]]
    add_sit: Callable[[Namespace, IPv4Address], None]
    target: Callable[[IPv4Address], str]
    is_link_local: bool = False

    def reached_at(self, host: IPv4Address, interface: str | None = None) -> str:
        """Return where a host is reached through a tunnel interface, by default that of ours."""
        target = self.target(host)
        return f"{target}%{interface or self.interface}" if self.is_link_local else target


def _resource(kind: str, name: str, **spec: Any) -> Mapping[str, Any]:
    return {"kind": kind, "name": name, "spec": {"tunnel_mtu": "dynamic", **spec}}


def _configured_address(host: IPv4Address) -> str:
    return f"2001:db8:0:e::{int(host) & 0xFF:x}"


def _sixrd_address(host: IPv4Address) -> str:
    return str(delegated_prefix(_DOMAIN, host, 0)[int(host)])


ISATAP = Technology(
    "ISATAP",
    "isatap0",
    # Link-local addresses need no router: nobody has to answer at the other's address.
    lambda _own, other: _resource(
        "isatap_host", "default", link_local="always", routers=[str(other)]
    ),
    lambda host, _other: host.add_sit(sit.INTERFACE),
    lambda host: str(isatap_link_local(host)),
    is_link_local=True,
)
SIXTOFOUR = Technology(
    "6to4",
    "sixtofour0",
    lambda _own, _other: _resource("sixtofour_host", "default", mode="enabled"),
    lambda host, _other: sit.make_tunnel(
        host, host.address, f"{sixtofour_address(host.address)}/16"
    ),
    lambda host: str(sixtofour_address(host)),
)
CONFIGURED = Technology(
    "configured tunnel",
    "ct0",
    lambda own, other: _resource(
        "configured_tunnel",
        "ct0",
        interface="ct0",
        remote=str(other),
        addresses=[f"{_configured_address(own)}/64"],
    ),
    lambda host, other: sit.make_tunnel(
        host, host.address, f"{_configured_address(host.address)}/64", remote=other
    ),
    _configured_address,
)
SIXRD = Technology(
    "6rd",
    "sixrd0",
    lambda _own, other: _resource(
        "sixrd_ce", "default", prefix=str(_DOMAIN), border_relays=[str(other)]
    ),
    lambda host, _other: sit.make_tunnel(
        host, host.address, f"{_sixrd_address(host.address)}/32", sixrd_prefix=_DOMAIN
    ),
    _sixrd_address,
)
TECHNOLOGIES = (ISATAP, SIXTOFOUR, CONFIGURED, SIXRD)
