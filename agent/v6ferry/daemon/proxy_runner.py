# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps one rule of PortProxy at work: its listening sockets, its name, and what workers know."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from ipaddress import ip_address
from typing import Any

from v6ferry.daemon.host import Host
from v6ferry.daemon.resource_log import resource_log
from v6ferry.daemon.resources import Resource
from v6ferry.daemon.retries import FIRST_RETRY, LAST_RETRY
from v6ferry.engines.portproxy.rule import PortProxyRule
from v6ferry.engines.portproxy.specification import PortProxySpec
from v6ferry.naming.host_addresses import host_addresses
from v6ferry.naming.source import SourceFailure
from v6ferry.portproxy.workers import Where
from v6ferry.system.errors import SystemFault
from v6ferry.system.listening import is_listening, listen
from v6ferry.system.state import HostFacts

NAME_RETRY = 5.0
"""Seconds before a name that could not be resolved is asked for again."""
SHORTEST_REFRESH = 5.0
"""Seconds; a shorter time to live of a name does not make us ask more often."""


class ProxyRunner:
    """One rule at work.

    Args:
        resource: what is wanted.
        host: where.
    """

    interface = None
    """Rules have no tunnel."""

    def __init__(self, resource: Resource, host: Host) -> None:
        self.resource = resource
        self.fault: str | None = None
        """What the host refuses at the moment."""
        self._host = host
        self._log = resource_log(resource.label)
        self._rule = PortProxyRule(resource.name, resource.parsed)
        self._listening: dict[Where, socket.socket] = {}
        self._naming: asyncio.Task[None] | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._told: dict[str, Any] | None = None

    # Life

    async def start(self, facts: HostFacts) -> None:
        """Listen, and have the workers carry what comes in.

        Raises:
            SystemFault: the host refuses; it is as before then.
        """
        self._rule.update_facts(facts)
        self._restore()
        await self._settle()
        self._resolve()

    async def insist(self, facts: HostFacts) -> None:
        """As ``start``, but go on trying where the host refuses: the rule is stored already."""
        try:
            await self.start(facts)
        except SystemFault as fault:
            self._note_fault(str(fault))
            self._retrying = asyncio.create_task(self._retry(), name=self.resource.label)

    async def change(self, resource: Resource) -> None:
        """Go on with another specification of the same rule; running connections stay.

        Raises:
            SystemFault: the host refuses; the old specification is in force again then.
        """
        before, self.resource = self.resource, resource
        self._rule.update_spec(resource.parsed)
        try:
            await self._settle()
        except SystemFault:
            self.resource = before
            self._rule.update_spec(before.parsed)
            raise
        self._note_fault(None)
        self._resolve()

    async def remove(self) -> list[str]:
        """Listen no more, and let the connections end as the rule says.

        Returns:
            What could not be restored: nothing.
        """
        await self._end_tasks()
        spec: PortProxySpec = self.resource.parsed
        cut_after = 0.0 if spec.cut_when_removed else float(spec.drain_timeout) or None
        for where in self._listening:
            self._host.service_manager.forget(stored_listener(where))
        self._listening.clear()
        await self._host.proxies.remove_rule(self.resource.name, cut_after)
        self._host.snapshots.remove(self.resource.label)
        return []

    async def stop(self) -> None:
        """End; the workers go on without the agent."""
        await self._end_tasks()

    async def _end_tasks(self) -> None:
        for task in (self._naming, self._retrying):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._naming = self._retrying = None

    async def _retry(self) -> None:
        wait = FIRST_RETRY
        while True:
            await asyncio.sleep(wait)
            wait = min(wait * 2, LAST_RETRY)
            try:
                await self._settle()
            except SystemFault as fault:
                self._note_fault(str(fault))
                continue
            self._note_fault(None)
            self._resolve()
            return

    def _note_fault(self, fault: str | None) -> None:
        if fault is not None and fault != self.fault:
            self._log.warning("%s", fault)
        elif fault is None and self.fault is not None:
            self._log.info("all is as wanted again")
        self.fault = fault

    # Following the host

    async def update_facts(
        self, facts: HostFacts, sources: bool = True, routes: bool = True
    ) -> None:
        """The host's addresses have changed; a rule asks for nothing else."""
        self._rule.update_facts(facts)
        await self._aim()

    def verify(self) -> None:
        """Something has changed in the kernel: nothing of it is a rule's."""

    def wants_forwarding(self) -> bool:
        """Whether the host must forward IPv6 packets for it: it ends connections instead."""
        return False

    # Listening

    async def _settle(self) -> None:
        """Have exactly the sockets that are wanted, and tell the workers.

        Raises:
            SystemFault: the host refuses one; all are as before then.
        """
        listening: dict[Where, socket.socket] = {}
        opened: list[socket.socket] = []
        try:
            for one in self._rule.spec.listeners():
                where = (one.host, one.port)
                sock = self._listening.get(where)
                if sock is None:
                    sock = self._open(where)
                    opened.append(sock)
                listening[where] = sock
            told = self._rule.told()
            await self._host.proxies.set_rule(told, listening)
        except SystemFault:
            for sock in opened:
                sock.close()
            raise
        for where in self._listening.keys() - listening.keys():
            self._host.service_manager.forget(stored_listener(where))
        for where, sock in listening.items():
            if where not in self._listening:
                self._host.service_manager.store(stored_listener(where), sock.fileno())
        self._listening, self._told = listening, told

    def _open(self, where: Where) -> socket.socket:
        """Take the socket over from an earlier agent or another rule, or open one."""
        known = self._host.proxies.take_known(where)
        stored = self._host.service_manager.take(stored_listener(where))
        if stored is not None:
            sock = socket.socket(fileno=stored)
            if known is None and is_listening(sock, *where):
                return sock
            sock.close()
        return known or listen(*where)

    # Names

    def _restore(self) -> None:
        """Begin with the addresses that an earlier agent knew."""
        snapshot = self._host.snapshots.load(self.resource.label) or {}
        known = snapshot.get("addresses")
        if (
            self._rule.spec.name is not None
            and snapshot.get("name") == self._rule.spec.name
            and isinstance(known, list)
            and all(isinstance(one, str) for one in known)
        ):
            with contextlib.suppress(ValueError):
                self._rule.name_resolved([str(ip_address(one)) for one in known])

    def _resolve(self) -> None:
        if self._naming is not None:
            self._naming.cancel()
            self._naming = None
        if self._rule.spec.name is not None:
            self._naming = asyncio.create_task(
                self._keep_resolved(), name=f"resolve for {self.resource.label}"
            )

    async def _keep_resolved(self) -> None:
        name = self._rule.spec.name
        assert name is not None
        while True:
            pause = float(self._rule.spec.name_refresh_interval)
            try:
                addresses = await host_addresses(name, self._rule.spec.connect_versions)
            except SourceFailure as failure:
                self._rule.name_failed(str(failure))
                pause = min(pause, NAME_RETRY)
            else:
                self._rule.name_resolved(addresses)
                self._host.snapshots.save(
                    self.resource.label, {"name": name, "addresses": list(addresses)}
                )
                try:
                    await self._aim()
                except SystemFault as fault:
                    self._log.error("%s; trying again", fault)
                    pause = min(pause, NAME_RETRY)
                lifetime = await self._host.dns.remaining(name, addresses)
                if lifetime is not None:
                    pause = min(pause, max(lifetime, SHORTEST_REFRESH))
            await asyncio.sleep(pause)

    async def _aim(self) -> None:
        """Tell the workers where the rule leads, if that has changed."""
        if self._told is None:
            return
        listeners = self._rule.listeners()
        if listeners != self._told["listeners"]:
            await self._host.proxies.aim(self.resource.name, listeners)
            self._told["listeners"] = listeners

    # What a user wants to know

    def ready(self) -> bool:
        """Whether the rule does its work."""
        return self.fault is None and bool(self._rule.addresses())

    def settled(self) -> bool:
        """Whether the helper knows where the rule leads now, or knows no such rule."""
        return self._told is None or self._told["listeners"] == self._rule.listeners()

    def status(self) -> dict[str, Any]:
        """How the rule fares."""
        status = self._rule.status(self._host.proxies.counted(self.resource.name))
        status["faults"] = [self.fault] if self.fault is not None else []
        if self.fault is not None:
            status["ready"], status["summary"] = False, self.fault
        return status


def stored_listener(where: Where) -> str:
    """Return the name by which the service manager keeps a listening socket (no colons in it)."""
    host, port = where
    return f"listen.{port}.{host.replace(':', '_').replace('%', '+')}"
