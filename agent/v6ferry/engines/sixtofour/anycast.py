# SPDX-License-Identifier: GPL-3.0-or-later
"""The anycast address of 6to4 relays (RFC 3068), deprecated by RFC 7526."""

from __future__ import annotations

from v6ferry.addresses.sixtofour import ANYCAST_RELAY

SERVING = (
    f"anycast: {ANYCAST_RELAY} is deprecated and off by default for good reasons (RFC 7526): sites"
    " that use it cannot tell who carries their packets, and networks filter it; give them this"
    " relay's own address, and keep 192.88.99.0/24 from being announced beyond your network"
)
USING = (
    f"relay: {ANYCAST_RELAY} is deprecated (RFC 7526): nobody may answer, or anybody, and networks"
    " filter it; name a relay that you know"
)


def relay_warnings(relay: str | None) -> tuple[str, ...]:
    """What a user should know of the relay that they have named, a line each."""
    return (USING,) if relay == str(ANYCAST_RELAY) else ()
