# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for a 6to4 host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from v6ferry.engines.sixtofour.anycast import relay_warnings
from v6ferry.engines.specification import Options, ipv4_address_or_name
from v6ferry.engines.tunnel import TunnelOptions


@dataclass(frozen=True, slots=True)
class SixToFourHostSpec:
    """A 6to4 host/router (RFC 3056) that routes for nobody but itself."""

    tunnel: TunnelOptions
    mode: str
    """``automatic`` (only without native IPv6), ``enabled`` or ``disabled``."""
    globally_unique: bool
    """Whether only globally unique IPv4 addresses make a 6to4 address, and are spoken to."""
    relay: str | None
    """Address or name of the relay; None reaches only other 6to4 sites."""
    accept_relays: str
    """``any`` or only the ``configured`` relay may bring packets from native sources."""
    route_metric: int
    relay_refresh_interval: float
    """Seconds."""

    @classmethod
    def parse(cls, spec: Any, where: str) -> SixToFourHostSpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        result = cls(
            tunnel=TunnelOptions.read(options, "sixtofour0"),
            mode=options.choice("mode", "automatic", ("automatic", "enabled", "disabled")),
            globally_unique=options.boolean("globally_unique", True),
            relay=options.text("relay", "", _relay) or None,
            accept_relays=options.choice("accept_relays", "any", ("any", "configured")),
            route_metric=options.integer("route_metric", 2048, 1, 0x7FFF_FFFF),
            relay_refresh_interval=options.integer("relay_refresh_interval", 86400, 10, 604_800),
        )
        options.finish()
        return result

    def warnings(self) -> tuple[str, ...]:
        """What the user should know before going on, a line each."""
        return relay_warnings(self.relay)


def _relay(text: str) -> str:
    return ipv4_address_or_name(text) if text else ""
