# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for Teredo servers, clients and relays."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from v6ferry.engines.specification import Options, ipv4_address, ipv4_address_or_name
from v6ferry.engines.teredo.qualification import Secret
from v6ferry.engines.tunnel import TunnelOptions, configured_address
from v6ferry.wire.teredo import TEREDO_PORT

INTERFACE = "teredo0"
MOST_PEERS = 1_000_000
CLIENT_TYPES = ("client", "enterpriseclient", "natawareclient", "disabled")
SHORTEST_USE = 60
"""Seconds; planes carry packets for a while before the engine hears of it."""


@dataclass(frozen=True, slots=True)
class TeredoServerSpec:
    """A Teredo server (RFC 4380 section 5.3)."""

    tunnel: TunnelOptions
    server_address: IPv4Address
    secondary_address: IPv4Address
    globally_unique: bool
    forwarding: bool
    """Whether echo requests of clients go on to native hosts."""
    rate_limit: int
    """Datagrams a second to one IPv4 address; 0 sets no limit."""
    secrets: tuple[Secret, ...]
    require_authentication: bool

    @classmethod
    def parse(cls, spec: Any, where: str) -> TeredoServerSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        primary = options.text("server_address", None, _unicast)
        secondary = options.text("secondary_address", str(primary + 1), _unicast)
        result = cls(
            tunnel=TunnelOptions.read(options, INTERFACE),
            server_address=primary,
            secondary_address=secondary,
            globally_unique=options.boolean("globally_unique", True),
            forwarding=options.boolean("forwarding", True),
            rate_limit=options.integer("rate_limit", 500, 0, 1_000_000),
            secrets=tuple(map(_client, options.mappings("clients"))),
            require_authentication=options.boolean("require_authentication", False),
        )
        options.finish()
        if primary == secondary:
            raise options.fail("secondary_address", f"{secondary} is the server_address too")
        identifiers = [one.identifier for one in result.secrets]
        if len(set(identifiers)) < len(identifiers):
            raise options.fail("clients", "two clients have the same client_identifier")
        if result.require_authentication and not result.secrets:
            raise options.fail("require_authentication", "needs clients with their keys")
        return result


@dataclass(frozen=True, slots=True)
class TeredoClientSpec:
    """A Teredo client (RFC 4380 section 5.2)."""

    tunnel: TunnelOptions
    type: str
    servers: tuple[str, ...]
    """Addresses or names, the most preferred first."""
    secondary_server: IPv4Address | None
    """The other address of the first server; None for the one after it."""
    client_port: int
    """Our UDP port; 0 for one of our own choice."""
    refresh_interval: float
    """Seconds."""
    longest_refresh_interval: float | None
    """Seconds up to which it may be learned; None not to learn it."""
    cone_bit: bool
    last_resort: bool
    managed_network_names: tuple[str, ...]
    """Each has an address in a managed network and nowhere else."""
    dormant_after: int
    """Seconds without use; 0 for never."""
    local_discovery: bool
    """Whether clients on the same link find each other without a server (section 5.2.8)."""
    globally_unique: bool
    secret: Secret | None
    route_metric: int
    server_refresh_interval: float
    """Seconds."""
    most_peers: int

    @classmethod
    def parse(cls, spec: Any, where: str) -> TeredoClientSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        kind = options.choice("type", "client", CLIENT_TYPES)
        secondary = options.text("secondary_server", "", str)
        identifier = options.text("client_identifier", "", str)
        key = options.text("key", "", str)
        result = cls(
            tunnel=TunnelOptions.read(options, INTERFACE),
            type=kind,
            servers=options.texts("servers", (), ipv4_address_or_name),
            secondary_server=_optional_address(options, "secondary_server", secondary),
            client_port=options.integer("client_port", 0, 0, 65535),
            refresh_interval=options.integer("refresh_interval", 30, 5, 3600),
            longest_refresh_interval=options.optional_integer("longest_refresh_interval", 5, 3600),
            cone_bit=options.boolean("cone_bit", False),
            last_resort=options.boolean("last_resort", True),
            managed_network_names=options.texts("managed_network_names", (), _name),
            dormant_after=options.integer("dormant_after", 0, 0, 604_800),
            local_discovery=options.boolean("local_discovery", True),
            globally_unique=options.boolean("globally_unique", True),
            secret=_secret(options, identifier, key),
            route_metric=options.integer("route_metric", 3072, 1, 0x7FFF_FFFF),
            server_refresh_interval=options.integer("server_refresh_interval", 3600, 10, 604_800),
            most_peers=options.integer("most_peers", 4096, 16, MOST_PEERS),
        )
        options.finish()
        if not result.servers and kind != "disabled":
            raise options.fail("servers", "is required, such as [teredo.example.com]")
        if 0 < result.dormant_after < SHORTEST_USE:
            raise options.fail(
                "dormant_after",
                f"{result.dormant_after} is out of range, use 0 for never, or {SHORTEST_USE} or"
                " more",
            )
        longest = result.longest_refresh_interval
        if longest is not None and longest < result.refresh_interval:
            raise options.fail(
                "longest_refresh_interval",
                f"{longest} is less than the refresh_interval of {result.refresh_interval}",
            )
        return result


@dataclass(frozen=True, slots=True)
class TeredoRelaySpec:
    """A Teredo relay, or a host-specific one (RFC 4380 section 5.4)."""

    tunnel: TunnelOptions
    host_specific: bool
    """Whether it relays for this host alone (section 5.4.3)."""
    port: int
    """Our UDP port."""
    opens_nat: bool
    """Whether direct bubbles open a NAT before us (section 5.4.3)."""
    globally_unique: bool
    route_metric: int
    most_peers: int

    @classmethod
    def parse(cls, spec: Any, where: str) -> TeredoRelaySpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        host_specific = options.boolean("host_specific", False)
        result = cls(
            tunnel=TunnelOptions.read(options, INTERFACE),
            host_specific=host_specific,
            port=options.integer("port", 3545, 1, 65535),
            opens_nat=options.boolean("behind_nat", False),
            globally_unique=options.boolean("globally_unique", True),
            route_metric=options.integer("route_metric", 256, 1, 0x7FFF_FFFF),
            most_peers=options.integer("most_peers", 65536, 16, MOST_PEERS),
        )
        options.finish()
        if result.port == TEREDO_PORT:
            raise options.fail("port", f"{TEREDO_PORT} is that of servers, use another")
        return result


def _client(options: Options) -> Secret:
    identifier = options.text("client_identifier", None, _identifier)
    key = options.text("key", None, _key)
    options.finish()
    return Secret(identifier, key)


def _secret(options: Options, identifier: str, key: str) -> Secret | None:
    if bool(identifier) != bool(key):
        missing = "key" if identifier else "client_identifier"
        raise options.fail(missing, "is required, because the other one of the two is given")
    if not identifier:
        return None
    try:
        return Secret(_identifier(identifier), _key(key))
    except ValueError as error:
        raise options.fail("client_identifier", str(error)) from None


def _name(text: str) -> str:
    name = ipv4_address_or_name(text)
    if configured_address(name) is not None:
        raise ValueError(f"{text} is an address, use a name that managed networks alone know")
    return name


def _identifier(text: str) -> bytes:
    octets = text.encode()
    if not 1 <= len(octets) <= 255:
        raise ValueError("has to have 1 to 255 octets")
    return octets


def _key(text: str) -> bytes:
    if not text:
        raise ValueError("is empty")
    return text.encode()


def _unicast(text: str) -> IPv4Address:
    address = ipv4_address(text)
    if not 0 < int(address) >> 24 < 224 or address.is_loopback:
        raise ValueError(f"{text} is no address of a host")
    return address


def _optional_address(options: Options, name: str, text: str) -> IPv4Address | None:
    if not text:
        return None
    try:
        return _unicast(text)
    except ValueError as error:
        raise options.fail(name, str(error)) from None
