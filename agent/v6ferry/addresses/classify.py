# SPDX-License-Identifier: GPL-3.0-or-later
"""Which transition technology an IPv6 address belongs to, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Literal

from . import isatap, sixtofour, teredo
from .format import format_isatap
from .ipv4_embedded import compatible_ipv4, mapped_ipv4
from .teredo import TeredoAddress

Kind = Literal[
    "isatap", "6to4", "teredo", "teredo-obsolete", "ipv4-mapped", "ipv4-compatible", "native"
]


@dataclass(frozen=True, slots=True)
class TransitionAddress:
    """What an IPv6 address says about IPv4.

    Prefix and interface identifier speak for themselves: a host of a 6to4 site that also runs
    ISATAP has an address of kind 6to4 *with* an ISATAP identifier.
    """

    address: IPv6Address
    kind: Kind
    """By the prefix; ``isatap`` if only the interface identifier tells."""
    embedded_ipv4: IPv4Address | None = None
    """The IPv4 address of that kind: 6to4 router, Teredo client, ISATAP host, or the node."""
    isatap_ipv4: IPv4Address | None = None
    """The IPv4 address in the ISATAP identifier, whatever the prefix."""
    teredo: TeredoAddress | None = None
    """All parts of a Teredo address."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kind by the prefix, and then ``isatap`` if the identifier is one of those, too."""
        if self.isatap_ipv4 is None or self.kind == "isatap":
            return (self.kind,)
        return (self.kind, "isatap")

    def as_dict(self) -> dict[str, Any]:
        """Return strings, numbers, lists and None, ready for JSON; the keys are always the same."""
        return {
            "address": format_isatap(self.address),
            "kind": self.kind,
            "kinds": list(self.kinds),
            "embedded_ipv4": _text(self.embedded_ipv4),
            "isatap_ipv4": _text(self.isatap_ipv4),
            "teredo": self.teredo
            and {
                "server": str(self.teredo.server),
                "client": str(self.teredo.client),
                "port": self.teredo.port,
                "flags": self.teredo.flags,
                "cone": self.teredo.cone,
            },
        }


def decode(address: IPv6Address) -> TransitionAddress:
    """Tell the kind of ``address`` and what is embedded in it; never fails.

    6rd addresses look native: only the provider's configuration tells them (see ``sixrd``).
    """
    if (parts := teredo.decode(address)) is not None:
        # The identifier of a Teredo address is port and address, never an ISATAP one.
        return TransitionAddress(address, "teredo", parts.client, teredo=parts)
    if (parts := teredo.decode_obsolete(address)) is not None:
        return TransitionAddress(address, "teredo-obsolete", parts.client, teredo=parts)
    if (ipv4 := mapped_ipv4(address)) is not None:
        return TransitionAddress(address, "ipv4-mapped", ipv4)
    if (ipv4 := compatible_ipv4(address)) is not None:
        return TransitionAddress(address, "ipv4-compatible", ipv4)
    host = isatap.embedded_ipv4(address)
    if (ipv4 := sixtofour.embedded_ipv4(address)) is not None:
        return TransitionAddress(address, "6to4", ipv4, host)
    return TransitionAddress(address, "native" if host is None else "isatap", host, host)


def _text(ipv4: IPv4Address | None) -> str | None:
    return None if ipv4 is None else str(ipv4)
