# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can set for a 6to4 relay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from v6ferry.engines.specification import Options
from v6ferry.engines.tunnel import TunnelOptions


@dataclass(frozen=True, slots=True)
class SixToFourRelaySpec:
    """A 6to4 relay (RFC 3056 section 5)."""

    tunnel: TunnelOptions
    globally_unique: bool
    """Whether only globally unique IPv4 addresses are spoken to."""
    forwarding: bool

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
        )
        options.finish()
        return result
