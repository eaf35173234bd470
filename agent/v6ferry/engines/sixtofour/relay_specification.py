# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for a 6to4 relay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from v6ferry.engines.sixtofour.anycast import SERVING
from v6ferry.engines.specification import Options
from v6ferry.engines.tunnel import TunnelOptions


@dataclass(frozen=True, slots=True)
class SixToFourRelaySpec:
    """A 6to4 relay (RFC 3056 section 5)."""

    tunnel: TunnelOptions
    globally_unique: bool
    """Whether only globally unique IPv4 addresses are spoken to."""
    forwarding: bool
    anycast: bool
    """Whether the relay answers at 192.88.99.1 as well."""

    @classmethod
    def parse(cls, spec: Any, where: str) -> SixToFourRelaySpec:
        """Read what the user wrote.

        Raises:
            SpecificationError: it cannot be used.
        """
        options = Options(spec, where)
        result = cls(
            tunnel=TunnelOptions.read(options, "sixtofour0"),
            globally_unique=options.boolean("globally_unique", True),
            forwarding=options.boolean("forwarding", True),
            anycast=options.boolean("anycast", False),
        )
        options.finish()
        return result

    def warnings(self) -> tuple[str, ...]:
        """What the user should know before going on, a line each."""
        return (SERVING,) if self.anycast else ()
