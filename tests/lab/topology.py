# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's topology as data: hosts, networks, and what joins them.

Everything here is a frozen value that checks itself when made, so a ``Topology`` that exists can be
built. ``Topology.as_dict`` and ``Topology.from_dict`` carry one through JSON unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from typing import Any

AnyAddress = IPv4Address | IPv6Address
AnyInterface = IPv4Interface | IPv6Interface
AnyNetwork = IPv4Network | IPv6Network

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
_INTERFACE_NAME_LENGTH = 15  # IFNAMSIZ less the terminating zero


class TopologyError(ValueError):
    """A topology contradicts itself; the message names the host, network or option."""


def check_name(what: str, name: str) -> str:
    """Return ``name`` if it is a DNS label of 32 characters at most, as file names here must be.

    Raises:
        TopologyError: it is not; ``what`` says in the message whose name it is.
    """
    if not _NAME.fullmatch(name):
        raise TopologyError(
            f"{what} {name!r}: use 1 to 32 lower-case letters, digits and inner hyphens"
        )
    return name


@dataclass(frozen=True)
class Network:
    """One link: two hosts get a veth pair, any other number the ports of a bridge."""

    name: str
    ipv6: bool = True
    """False makes the link IPv4-only: IPv6 is disabled on every interface attached to it."""
    mtu: int = 1500
    """Octets, on every attached interface and on the switch."""
    transmit_offload: bool = True
    """False has every sender finish its checksums and segments (``ethtool -K IFACE tx off``)."""

    def __post_init__(self) -> None:
        check_name("network", self.name)
        if not 576 <= self.mtu <= 65535 or (self.ipv6 and self.mtu < 1280):
            raise TopologyError(
                f"network {self.name}: mtu={self.mtu} is out of range; "
                "use 576 to 65535, and at least 1280 where ipv6 is on (RFC 8200 section 5)"
            )


@dataclass(frozen=True)
class Interface:
    """Where a host is attached to a network."""

    name: str
    network: str
    addresses: tuple[AnyInterface, ...] = ()


@dataclass(frozen=True)
class Route:
    """A static route; the gateway must lie in the subnet of one of the host's interfaces."""

    destination: AnyNetwork
    gateway: AnyAddress
    metric: int = 0
    """0 leaves the choice to the kernel."""


@dataclass(frozen=True)
class Zone:
    """A DNS zone that a host serves; it accepts updates signed with the lab's TSIG key."""

    name: str
    records: tuple[str, ...] = ()
    """Lines of zone file syntax (RFC 1035 section 5), beyond SOA, NS and the hosts' addresses."""

    def __post_init__(self) -> None:
        for label in self.name.split("."):
            check_name(f"zone {self.name!r}, label", label)


@dataclass(frozen=True)
class Host:
    """A machine of the lab."""

    name: str
    interfaces: tuple[Interface, ...]
    routes: tuple[Route, ...] = ()
    ipv4_forwarding: bool = False
    ipv6: bool = True
    """False makes it an IPv4-only machine: IPv6 is off on every interface it will ever have."""
    zones: tuple[Zone, ...] = ()
    """If there are any, BIND serves them from the moment the lab is up."""
    groups: tuple[str, ...] = ()
    """Groups of the Ansible inventory."""

    def __post_init__(self) -> None:
        check_name("host", self.name)
        names = [interface.name for interface in self.interfaces]
        for name in names:
            if not 0 < len(name) <= _INTERFACE_NAME_LENGTH or not name.isalnum() or name == "lo":
                raise TopologyError(
                    f"host {self.name}: interface {name!r}: use 1 to {_INTERFACE_NAME_LENGTH} "
                    "letters and digits, and not lo"
                )
        if len(set(names)) < len(names):
            raise TopologyError(f"host {self.name}: two interfaces have one name: {names}")
        for route in self.routes:
            self.interface_towards(route.gateway)

    def interface_towards(self, gateway: AnyAddress) -> Interface:
        """Return the interface whose subnet ``gateway`` lies in.

        Raises:
            TopologyError: there is none.
        """
        for interface in self.interfaces:
            if any(gateway in address.network for address in interface.addresses):
                return interface
        raise TopologyError(
            f"host {self.name}: gateway {gateway} is in no subnet of the host; "
            "give an interface an address of that subnet"
        )

    @property
    def addresses(self) -> tuple[AnyAddress, ...]:
        """All static addresses, in the order of the interfaces."""
        return tuple(address.ip for i in self.interfaces for address in i.addresses)


@dataclass(frozen=True)
class Topology:
    """Networks, the hosts on them, and where those hosts look names up."""

    name: str
    networks: tuple[Network, ...]
    hosts: tuple[Host, ...]
    domain: str = "corp.example"
    """The hosts' DNS suffix and search list."""
    name_servers: tuple[AnyAddress, ...] = ()

    def __post_init__(self) -> None:
        check_name("topology", self.name)
        for what, names in (
            ("network", [network.name for network in self.networks]),
            ("host", [host.name for host in self.hosts]),
        ):
            if len(set(names)) < len(names):
                raise TopologyError(f"topology {self.name}: two {what}s have one name: {names}")
        links = {network.name: network for network in self.networks}
        for host in self.hosts:
            for interface in host.interfaces:
                self._check_interface(host, interface, links)

    def _check_interface(
        self, host: Host, interface: Interface, links: Mapping[str, Network]
    ) -> None:
        where = f"host {host.name}: interface {interface.name}"
        if interface.network not in links:
            raise TopologyError(
                f"{where}: network {interface.network!r} is not in topology {self.name}; "
                f"it has {', '.join(sorted(links))}"
            )
        for address in interface.addresses:
            if address.version == 6 and not (host.ipv6 and links[interface.network].ipv6):
                raise TopologyError(
                    f"{where}: {address} is IPv6, but the host or network "
                    f"{interface.network} is IPv4-only; take it away or set ipv6=True"
                )

    def host(self, name: str) -> Host:
        """Return the host called ``name``.

        Raises:
            TopologyError: there is none.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise TopologyError(f"topology {self.name} has no host {name!r}; it has {known}")

    def network(self, name: str) -> Network:
        """Return the network called ``name``, which an interface of this topology names."""
        return next(network for network in self.networks if network.name == name)

    def attachments(self, network: Network) -> Iterator[tuple[Host, Interface]]:
        """Yield each host and interface on ``network``, in the order of the hosts."""
        for host in self.hosts:
            for interface in host.interfaces:
                if interface.network == network.name:
                    yield host, interface

    def as_dict(self) -> dict[str, Any]:
        """Return the topology as values that JSON has."""
        value: dict[str, Any] = _to_json(self)
        return value

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Topology:
        """Return the topology that ``as_dict`` gave.

        Raises:
            TopologyError, KeyError, TypeError, ValueError: ``value`` is not of that form.
        """
        return cls(
            **{
                **value,
                "networks": tuple(Network(**network) for network in value["networks"]),
                "hosts": tuple(_host_from_dict(host) for host in value["hosts"]),
                "name_servers": tuple(ip_address(server) for server in value["name_servers"]),
            }
        )


def _to_json(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _to_json(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, bool | int | str):
        return value
    return str(value)  # an address or network


def _host_from_dict(value: Mapping[str, Any]) -> Host:
    interfaces = tuple(
        Interface(i["name"], i["network"], tuple(ip_interface(a) for a in i["addresses"]))
        for i in value["interfaces"]
    )
    routes = tuple(
        Route(ip_network(r["destination"]), ip_address(r["gateway"]), r["metric"])
        for r in value["routes"]
    )
    zones = tuple(Zone(zone["name"], tuple(zone["records"])) for zone in value["zones"])
    return Host(
        **{
            **value,
            "interfaces": interfaces,
            "routes": routes,
            "zones": zones,
            "groups": tuple(value["groups"]),
        }
    )
