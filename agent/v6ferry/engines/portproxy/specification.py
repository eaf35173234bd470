# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may write for a rule of PortProxy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from v6ferry.engines.specification import Options, ipv4_address_or_name

DIRECTIONS = ("v4tov4", "v4tov6", "v6tov4", "v6tov6")
EVERYWHERE = "*"
_WILDCARDS = {4: "0.0.0.0", 6: "::"}
_LONGEST_PORT = len("65535")
MOST_PORTS = 1024
"""Of one rule: each is a socket."""

Prefix = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ListenOn:
    """One address and port, and the port that it leads to."""

    host: str
    port: int
    connect_port: int


@dataclass(frozen=True, slots=True)
class PortProxySpec:
    """A rule of PortProxy; what ``netsh interface portproxy add v6tov4`` and the like make."""

    direction: str | None
    """One of ``DIRECTIONS``; None takes the families of the addresses."""
    listen_address: str
    """An address, or ``*`` for all."""
    listen_ports: tuple[int, ...]
    connect_address: str
    """An address or a name."""
    connect_ports: tuple[int, ...]
    """One for all, or as many as ``listen_ports``, in their order."""
    allowed_sources: tuple[Prefix, ...]
    refused_sources: tuple[Prefix, ...]
    maximum_connections: int | None
    connect_timeout: int
    """Seconds for each address."""
    idle_timeout: int
    """Seconds; 0 for none."""
    keepalive: tuple[int, int, int] | None
    """Idle seconds, seconds between probes, their number."""
    send_proxy: int
    """Version of the PROXY protocol; 0 for none."""
    accept_proxy: bool
    fast_open: bool
    transparent_source: bool
    cut_when_removed: bool
    drain_timeout: int
    """Seconds that connections of a removed rule have; 0 for all they need."""
    name_refresh_interval: int
    """Seconds."""

    @classmethod
    def parse(cls, spec: Any, where: str) -> PortProxySpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        listen_ports = options.text("listen_port", None, ports)
        connect_ports = options.text("connect_port", "", _optional_ports) or listen_ports
        result = cls(
            direction=options.text("direction", "", _direction),
            listen_address=options.text("listen_address", EVERYWHERE, _listen_address),
            listen_ports=listen_ports,
            connect_address=options.text("connect_address", None, _address_or_name),
            connect_ports=connect_ports,
            allowed_sources=options.texts("allowed_sources", (), _prefix),
            refused_sources=options.texts("refused_sources", (), _prefix),
            maximum_connections=options.optional_integer("maximum_connections", 1, 10_000_000),
            connect_timeout=options.integer("connect_timeout", 10, 1, 300),
            idle_timeout=options.integer("idle_timeout", 0, 0, 7 * 86400),
            keepalive=_keepalive(options),
            send_proxy=("none", "v1", "v2").index(
                options.choice("send_proxy", "none", ("none", "v1", "v2"))
            ),
            accept_proxy=options.boolean("accept_proxy", False),
            fast_open=options.boolean("fast_open", False),
            transparent_source=options.boolean("transparent_source", False),
            cut_when_removed=options.choice("when_removed", "drain", ("drain", "cut")) == "cut",
            drain_timeout=options.integer("drain_timeout", 0, 0, 7 * 86400),
            name_refresh_interval=options.integer("name_refresh_interval", 300, 5, 86400),
        )
        options.finish()
        result._check(options)
        return result

    def _check(self, options: Options) -> None:
        many, more = len(self.listen_ports), len(self.connect_ports)
        if more not in (1, many):
            raise options.fail(
                "connect_port",
                f"has {more} ports, listen_port has {many}: give one, or as many",
            )
        for option, text, place in (
            ("listen_address", self.listen_address, 1),
            ("connect_address", self.connect_address, -1),
        ):
            version = version_of(text)
            if self.direction and version and str(version) != self.direction[place]:
                raise options.fail(
                    option, f"{text} is an IPv{version} address, but direction is {self.direction}"
                )
        families = set(self.listen_versions) & set(self.connect_versions)
        if self.transparent_source and not families:
            raise options.fail(
                "transparent_source",
                "needs one family on both sides: an IPv6 source has no IPv4 packets, and"
                " the other way round",
            )
        for one in self.listeners():
            if one.connect_port == one.port and self._leads_back(one.host):
                raise options.fail(
                    "connect_address", f"{self.connect_address} port {one.port} leads to this rule"
                )

    def _leads_back(self, host: str) -> bool:
        version = version_of(self.connect_address)
        if version is None or version != version_of(host):
            return False
        if host in _WILDCARDS.values():
            return ip_address(self.connect_address.partition("%")[0]).is_loopback
        return host == self.connect_address

    @property
    def listen_versions(self) -> tuple[int, ...]:
        """4, 6 or both."""
        if self.direction:
            return (int(self.direction[1]),)
        version = version_of(self.listen_address)
        return (version,) if version else (4, 6)

    @property
    def connect_versions(self) -> tuple[int, ...]:
        """4, 6 or both."""
        if self.direction:
            return (int(self.direction[-1]),)
        version = version_of(self.connect_address)
        return (version,) if version else (6, 4)

    @property
    def name(self) -> str | None:
        """The name to resolve, where no address was given."""
        return None if version_of(self.connect_address) else self.connect_address

    def listeners(self) -> Iterator[ListenOn]:
        """Where to listen."""
        hosts = [self.listen_address]
        if self.listen_address == EVERYWHERE:
            hosts = [_WILDCARDS[version] for version in self.listen_versions]
        many = len(self.listen_ports)
        connect_ports = self.connect_ports * many if len(self.connect_ports) == 1 else None
        for host in hosts:
            pairs = zip(self.listen_ports, connect_ports or self.connect_ports, strict=True)
            for port, connect_port in pairs:
                yield ListenOn(host, port, connect_port)


def clash(one: PortProxySpec, other: PortProxySpec) -> str | None:
    """Where two rules would listen both, in words; None if they do not get in each other's way."""
    ports = set(one.listen_ports) & set(other.listen_ports)
    versions = set(one.listen_versions) & set(other.listen_versions)
    addresses = {one.listen_address, other.listen_address}
    if not ports or not versions or (len(addresses) > 1 and EVERYWHERE not in addresses):
        return None
    address = next(iter(addresses - {EVERYWHERE}), EVERYWHERE)
    return f"{address} port {min(ports)}"


def version_of(text: str) -> int | None:
    """The version of an IP address; None if the text is none."""
    try:
        return ip_address(text.partition("%")[0]).version
    except ValueError:
        return None


def ports(text: str) -> tuple[int, ...]:
    """Ports such as ``80`` or ``8000-8010,8080``, in this order."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = [_port(first), _port(last) if dash else _port(first)]
        if numbers[0] > numbers[1]:
            raise ValueError(f"{part.strip()} ends before it begins")
        found += range(numbers[0], numbers[1] + 1)
    if len(set(found)) != len(found):
        twice = next(port for port in found if found.count(port) > 1)
        raise ValueError(f"{twice} is there twice")
    if len(found) > MOST_PORTS:
        raise ValueError(f"{len(found)} ports are too many, use {MOST_PORTS} in one rule at most")
    return tuple(found)


def _port(text: str) -> int:
    text = text.strip()
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_PORT
    if not is_number or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is no port, use 1 to 65535, as in 80 or 8000-8010,8080")
    return int(text)


def _optional_ports(text: str) -> tuple[int, ...]:
    return ports(text) if text else ()


def _direction(text: str) -> str | None:
    if text and text not in DIRECTIONS:
        raise ValueError(f"{text!r} is not one of {', '.join(DIRECTIONS)}")
    return text or None


def _listen_address(text: str) -> str:
    if text == EVERYWHERE:
        return text
    return _address(text, f"an address of this host, or {EVERYWHERE}")


def _address_or_name(text: str) -> str:
    if ":" in text:
        return _address(text, "an address or a host name")
    return ipv4_address_or_name(text)


def _address(text: str, what: str) -> str:
    plain, percent, zone = text.partition("%")
    try:
        address = ip_address(plain)
    except ValueError:
        raise ValueError(f"{text!r} is not {what}") from None
    if address.is_multicast or address.is_unspecified:
        advice = f", use {EVERYWHERE}" if address.is_unspecified else ""
        raise ValueError(f"{text} is not {what}{advice}")
    is_link_local = isinstance(address, IPv6Address) and address.is_link_local
    if is_link_local != bool(percent and zone):
        raise ValueError(
            f"{text} is link-local, so add its interface, as in {address}%eth0"
            if is_link_local
            else f"{text}: only link-local addresses have an interface"
        )
    return f"{address}%{zone}" if zone else str(address)


def _prefix(text: str) -> Prefix:
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a prefix, use one such as 10.0.0.0/8 or 2001:db8::/32"
        ) from None


def _keepalive(options: Options) -> tuple[int, int, int] | None:
    times = (
        options.integer("keepalive_idle", 60, 1, 32767),
        options.integer("keepalive_interval", 10, 1, 32767),
        options.integer("keepalive_probes", 6, 1, 127),
    )
    return times if options.boolean("keepalive", True) else None
