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
from v6ferry.engines.portproxy.specification import PortProxySpec, clash
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
from v6ferry.system.errors import SystemFault
from v6ferry.system.programs import Program

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource.

    Attributes:
        parse: reads a specification; its second argument is how messages call the resource.
        tunnel: what makes a tunnel of it; None where a resource is no tunnel.
        programs: those that a parsed specification takes, by the option that wants them.
        warnings: what a user should know of a parsed specification, a line each.
    """

    parse: Callable[[Any, str], Any]
    tunnel: Tunnel | None
    programs: Callable[[Any], Mapping[str, Program]] = lambda _spec: {}
    warnings: Callable[[Any], tuple[str, ...]] = lambda _spec: ()


@dataclass(frozen=True, slots=True)
class Tunnel:
    """How a kind of resource is a tunnel.

    Attributes:
        engine: makes the engine for a parsed specification.
        interface: the tunnel interface of a parsed specification.
    """

    engine: Callable[[Any, Random, float], Engine]
    interface: Callable[[Any], str]


class _HasTunnel(Protocol):
    @property
    def tunnel(self) -> TunnelOptions: ...


def _tunnel_interface(spec: _HasTunnel) -> str:
    return spec.tunnel.interface


def _tunnel(
    parse: Callable[[Any, str], Any],
    engine: Callable[[Any, Random, float], Engine],
    **more: Callable[[Any], Any],
) -> Kind:
    return Kind(parse, Tunnel(engine, _tunnel_interface), **more)


KINDS: Mapping[str, Kind] = {
    "compatible_tunnel": _tunnel(CompatibleTunnelSpec.parse, CompatibleTunnel),
    "configured_tunnel": _tunnel(ConfiguredTunnelSpec.parse, ConfiguredTunnel),
    "isatap_host": _tunnel(IsatapHostSpec.parse, IsatapHost),
    "isatap_router": _tunnel(IsatapRouterSpec.parse, IsatapRouter),
    "portproxy": Kind(PortProxySpec.parse, None),
    "sixrd_br": _tunnel(SixrdBorderRelaySpec.parse, SixrdBorderRelay),
    "sixrd_ce": _tunnel(SixrdCustomerEdgeSpec.parse, SixrdCustomerEdge),
    "sixtofour_host": _tunnel(
        SixToFourHostSpec.parse, SixToFourHost, warnings=SixToFourHostSpec.warnings
    ),
    "sixtofour_relay": _tunnel(
        SixToFourRelaySpec.parse, SixToFourRelay, warnings=SixToFourRelaySpec.warnings
    ),
    "sixtofour_router": _tunnel(
        SixToFourRouterSpec.parse,
        SixToFourRouter,
        programs=SixToFourRouterSpec.programs,
        warnings=SixToFourRouterSpec.warnings,
    ),
    "teredo_client": _tunnel(TeredoClientSpec.parse, TeredoClient),
    "teredo_relay": _tunnel(TeredoRelaySpec.parse, TeredoRelay),
    "teredo_server": _tunnel(TeredoServerSpec.parse, TeredoServer),
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
    def interface(self) -> str | None:
        """Its tunnel interface; None if it is no tunnel."""
        tunnel = KINDS[self.kind].tunnel
        return None if tunnel is None else tunnel.interface(self.parsed)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, a line each; the resource works all the same."""
        return KINDS[self.kind].warnings(self.parsed)

    def check_programs(self) -> None:
        """See whether the host has the programs that it takes.

        Raises:
            SystemFault: one is missing; the message names the option and the package.
        """
        for option, program in KINDS[self.kind].programs(self.parsed).items():
            try:
                program.find()
            except SystemFault as fault:
                raise SystemFault(f"{self.label}: {option}: {fault}") from None

    def engine(self, random: Random, now: float) -> Engine:
        """A new engine for a tunnel."""
        tunnel = KINDS[self.kind].tunnel
        assert tunnel is not None
        return tunnel.engine(self.parsed, random, now)


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


def check_together(wanted: Mapping[str, Resource]) -> None:
    """Look whether resources can be there together.

    Raises:
        SpecificationError: two of them want one tunnel interface, or one port.
    """
    users: dict[str, str] = {}
    rules: list[Resource] = []
    for resource in wanted.values():
        if resource.interface is None:
            rules.append(resource)
            continue
        other = users.setdefault(resource.interface, resource.label)
        if other != resource.label:
            raise SpecificationError(
                f"{resource.label}: interface: {resource.interface} is used by {other};"
                " give one of them another interface name"
            )
    for index, rule in enumerate(rules):
        for earlier in rules[:index]:
            if where := clash(rule.parsed, earlier.parsed):
                raise SpecificationError(
                    f"{rule.label}: listen_port: {earlier.label} listens on {where} already;"
                    " give one of them another address or port"
                )


def check(kind: Any, name: Any, spec: Any) -> Resource:
    """Make a resource of what the user wrote.

    Raises:
        SpecificationError: it cannot be used; the message names the resource and the option.
    """
    kind, name = check_identity(kind, name)
    parsed = KINDS[kind].parse(spec, label(kind, name))
    written = {option: value for option, value in spec.items() if value is not None}
    return Resource(kind, name, written, parsed)
