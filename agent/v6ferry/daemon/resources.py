# SPDX-License-Identifier: GPL-3.0-or-later
"""Resources: a kind, a name, and a specification as the user wrote it.

A new technology is one more entry in ``KINDS``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from v6ferry.engines.compatible import CompatibleTunnel, CompatibleTunnelSpec
from v6ferry.engines.configured.specification import ConfiguredTunnelSpec
from v6ferry.engines.configured.tunnel import ConfiguredTunnel
from v6ferry.engines.interface import Engine
from v6ferry.engines.isatap.host import IsatapHost
from v6ferry.engines.isatap.router import IsatapRouter
from v6ferry.engines.isatap.specification import IsatapHostSpec, IsatapRouterSpec
from v6ferry.engines.sixrd.border_relay import SixrdBorderRelay
from v6ferry.engines.sixrd.customer_edge import SixrdCustomerEdge
from v6ferry.engines.sixrd.specification import SixrdBorderRelaySpec, SixrdCustomerEdgeSpec
from v6ferry.engines.sixtofour.host import SixToFourHost
from v6ferry.engines.sixtofour.host_specification import SixToFourHostSpec
from v6ferry.engines.sixtofour.relay import SixToFourRelay
from v6ferry.engines.sixtofour.relay_specification import SixToFourRelaySpec
from v6ferry.engines.sixtofour.router import SixToFourRouter
from v6ferry.engines.sixtofour.router_specification import SixToFourRouterSpec
from v6ferry.engines.specification import SpecificationError
from v6ferry.engines.teredo.client import TeredoClient
from v6ferry.engines.teredo.relay import TeredoRelay
from v6ferry.engines.teredo.server import TeredoServer
from v6ferry.engines.teredo.specification import (
    TeredoClientSpec,
    TeredoRelaySpec,
    TeredoServerSpec,
)
from v6ferry.engines.tunnel import TunnelOptions

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource.

    Attributes:
        parse: reads a specification; its second argument is how messages call the resource.
        engine: makes the engine for a parsed specification.
        interface: the tunnel interface of a parsed specification.
    """

    parse: Callable[[Any, str], Any]
    engine: Callable[[Any, Random, float], Engine]
    interface: Callable[[Any], str]


class _HasTunnel(Protocol):
    @property
    def tunnel(self) -> TunnelOptions: ...


def _tunnel_interface(spec: _HasTunnel) -> str:
    return spec.tunnel.interface


KINDS: Mapping[str, Kind] = {
    "compatible_tunnel": Kind(CompatibleTunnelSpec.parse, CompatibleTunnel, _tunnel_interface),
    "configured_tunnel": Kind(ConfiguredTunnelSpec.parse, ConfiguredTunnel, _tunnel_interface),
    "isatap_host": Kind(IsatapHostSpec.parse, IsatapHost, _tunnel_interface),
    "isatap_router": Kind(IsatapRouterSpec.parse, IsatapRouter, _tunnel_interface),
    "sixrd_br": Kind(SixrdBorderRelaySpec.parse, SixrdBorderRelay, _tunnel_interface),
    "sixrd_ce": Kind(SixrdCustomerEdgeSpec.parse, SixrdCustomerEdge, _tunnel_interface),
    "sixtofour_host": Kind(SixToFourHostSpec.parse, SixToFourHost, _tunnel_interface),
    "sixtofour_relay": Kind(SixToFourRelaySpec.parse, SixToFourRelay, _tunnel_interface),
    "sixtofour_router": Kind(SixToFourRouterSpec.parse, SixToFourRouter, _tunnel_interface),
    "teredo_client": Kind(TeredoClientSpec.parse, TeredoClient, _tunnel_interface),
    "teredo_relay": Kind(TeredoRelaySpec.parse, TeredoRelay, _tunnel_interface),
    "teredo_server": Kind(TeredoServerSpec.parse, TeredoServer, _tunnel_interface),
}


@dataclass(frozen=True, slots=True)
class Resource:
    """One desired resource; ``check`` makes one."""

    kind: str
    name: str
    spec: Mapping[str, Any]
    """As the user wrote it, without options set to null."""
    parsed: Any
    """What the kind's engine takes."""

    @property
    def label(self) -> str:
        """How messages, files and ledgers call it."""
        return label(self.kind, self.name)

    @property
    def interface(self) -> str:
        """Its tunnel interface."""
        return KINDS[self.kind].interface(self.parsed)

    def engine(self, random: Random, now: float) -> Engine:
        """A new engine for it."""
        return KINDS[self.kind].engine(self.parsed, random, now)


def label(kind: str, name: str) -> str:
    """``isatap_host/default``."""
    return f"{kind}/{name}"


def check_identity(kind: Any, name: Any) -> tuple[str, str]:
    """Return a kind and a name that can be used.

    Raises:
        SpecificationError: they cannot; the message says what would do.
    """
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpecificationError(f"kind: {kind!r} is not one of {', '.join(sorted(KINDS))}")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SpecificationError(
            f"name: {name!r} cannot name a resource: use up to 64 letters, digits, '.', '_'"
            " and '-', the first a letter or digit"
        )
    return kind, name


def check(kind: Any, name: Any, spec: Any) -> Resource:
    """Make a resource of what the user wrote.

    Raises:
        SpecificationError: it cannot be used; the message names the resource and the option.
    """
    kind, name = check_identity(kind, name)
    parsed = KINDS[kind].parse(spec, label(kind, name))
    written = {option: value for option, value in spec.items() if value is not None}
    return Resource(kind, name, written, parsed)
