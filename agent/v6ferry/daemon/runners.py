# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps a resource at work, whatever its kind."""

from __future__ import annotations

from typing import Any, Protocol

from v6ferry.daemon.host import Host
from v6ferry.daemon.proxy_runner import ProxyRunner
from v6ferry.daemon.resources import Resource
from v6ferry.daemon.runner import Runner
from v6ferry.system.state import HostFacts


class AnyRunner(Protocol):
    """One resource at work."""

    resource: Resource
    fault: str | None

    @property
    def interface(self) -> str | None:
        """Its tunnel interface, if it is a tunnel."""

    async def start(self, facts: HostFacts) -> None:
        """Begin, or raise SystemFault with the host as before."""

    async def insist(self, facts: HostFacts) -> None:
        """Begin, and go on trying where the host refuses."""

    async def change(self, resource: Resource) -> None:
        """Go on with another specification, or raise SystemFault and go on with the old one."""

    async def remove(self) -> list[str]:
        """Leave the host as it was found; returns what could not be restored."""

    async def stop(self) -> None:
        """End, but leave everything in place for the next agent."""

    async def update_facts(
        self, facts: HostFacts, sources: bool = True, routes: bool = True
    ) -> None:
        """The host is like this now; what else it asks for may have changed, or has not."""

    def verify(self) -> None:
        """Look whether all is still as wanted."""

    def wants_forwarding(self) -> bool:
        """Whether the host must forward IPv6 packets for it."""

    def ready(self) -> bool:
        """Whether it does its work."""

    def settled(self) -> bool:
        """Whether all that can be done on the host for it at present has been done."""

    def status(self) -> dict[str, Any]:
        """What a user wants to know, JSON-ready."""


def runner_for(resource: Resource, host: Host) -> AnyRunner:
    """Return the runner of a resource, not started yet."""
    return ProxyRunner(resource, host) if resource.interface is None else Runner(resource, host)
