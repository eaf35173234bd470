# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a client is to be used at all: its type, the network it is in, other IPv6."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from v6ferry.addresses import decode
from v6ferry.engines.teredo.outbox import is_global
from v6ferry.engines.teredo.specification import TeredoClientSpec
from v6ferry.system.state import HostFacts

LOOK_AGAIN = 60.0
"""Seconds after which a managed network is looked for again: the host may have left it."""
_CALLED = {"isatap": "ISATAP", "6to4": "6to4"}


class State(str, Enum):
    """How a client fares, in the words of ``netsh interface teredo show state``."""

    OFFLINE = "offline"
    DORMANT = "dormant"
    PROBE = "probe"
    QUALIFIED = "qualified"


class ManagedNetwork:
    """Whether the host is in a managed network: one of some names has an address there.

    Windows takes a network for managed where it finds a controller of its domain, by a name that
    the DNS of that network alone knows.
    """

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def resolved(self, name: str, addresses: tuple[IPv4Address, ...]) -> None:
        """A name has these addresses now, or none."""
        self._known[name] = bool(addresses)

    def why_off(self, spec: TeredoClientSpec) -> str | None:
        """Why a client of this kind is off here, or has to wait; None if neither."""
        for name in managed_names(spec):
            if name not in self._known:
                return f"idle until it is known whether this network is managed ({name})"
            if self._known[name]:
                return (
                    f"idle: this is a managed network, {name} has an address here; set type to"
                    " enterpriseclient to use Teredo all the same"
                )
        return None

    def snapshot(self) -> dict[str, bool]:
        """For ``restore``, JSON-ready."""
        return dict(self._known)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Know what a predecessor knew.

        Raises:
            AttributeError: this is no snapshot.
        """
        self._known = {str(name): bool(known) for name, known in snapshot.items()}


def managed_names(spec: TeredoClientSpec) -> tuple[str, ...]:
    """Return the names by which a client of this type tells a managed network."""
    return () if spec.type in ("enterpriseclient", "disabled") else spec.managed_network_names


def name_refresh_interval(spec: TeredoClientSpec) -> float:
    """Return the seconds after which names are looked up again."""
    return min(spec.server_refresh_interval, LOOK_AGAIN if managed_names(spec) else float("inf"))


def why_not_used(spec: TeredoClientSpec, facts: HostFacts, managed: ManagedNetwork) -> str | None:
    """Why Teredo is not used although it could be; None if it is."""
    if spec.type == "disabled":
        return "disabled (type)"
    why = managed.why_off(spec)
    if why is not None or not spec.last_resort:
        return why
    for interface, address in _elsewhere(spec, facts):
        kind = decode(address).kind
        if is_global(address) and kind != "teredo":
            return (
                f"idle: there is {_CALLED.get(kind, 'native IPv6')}, {address} on {interface}, and"
                " Teredo is the last resort; set last_resort to false to use it all the same"
            )
    return None


def _elsewhere(spec: TeredoClientSpec, facts: HostFacts) -> Iterator[tuple[str, IPv6Address]]:
    """Addresses that programs may use on other interfaces, those of other tunnels last."""
    for group in (facts.preferred_addresses, facts.tunnel_addresses):
        for interface, addresses in sorted(group.items()):
            if interface != spec.tunnel.interface:
                for address in addresses:
                    yield interface, address
