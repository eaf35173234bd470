# SPDX-License-Identifier: GPL-3.0-or-later
"""Drives the engine of one resource: packets, timers, and the host's way to what it wants."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from ipaddress import IPv4Address
from random import Random
from typing import Any

from v6ferry.daemon.departure import alias_of, leave, stored_tun
from v6ferry.daemon.exchange import Exchange
from v6ferry.daemon.host import Host, clock
from v6ferry.daemon.resource_log import resource_log
from v6ferry.daemon.resources import Resource
from v6ferry.daemon.retries import FIRST_RETRY, LAST_RETRY
from v6ferry.engines.interface import EchoListener, LinkEngine, Wanted
from v6ferry.system.echo import EchoReplies
from v6ferry.system.errors import SystemFault
from v6ferry.system.state import DnsConfiguration, HostFacts
from v6ferry.system.sysctl import enable_ipv6_forwarding
from v6ferry.system.tun import Tun, adopt_tun, open_tun, remove_tun

LONGEST_WITHDRAWAL = 3.0  # seconds that an engine may take to say goodbye
SNAPSHOT_DELAY = 0.2  # seconds of news that a crash may lose, at least
SNAPSHOT_SHARE = 0.01
"""Of the time, so much may go into writing snapshots: a router with many hosts has large ones."""
SHORTEST_WAIT = 0.01  # seconds; an engine that always has something due must not starve others


class Runner:
    """One resource at work.

    Args:
        resource: what is wanted.
        host: where.
    """

    def __init__(self, resource: Resource, host: Host) -> None:
        self.resource = resource
        self.fault: str | None = None
        """What the host refuses at the moment."""
        self._host = host
        self._log = resource_log(resource.label)
        self._engine = resource.engine(Random(), clock())
        self._exchange = Exchange(self._engine, host, self.interface, self._heard)
        self._facts = HostFacts()
        self._wanted: Wanted | None = None
        self._tun: Tun | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: float | None = None
        self._dns: DnsConfiguration | None = None
        """What the resolver has been told."""
        self._dirty = asyncio.Event()
        self._reconciling = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._snapshot_timer: asyncio.TimerHandle | None = None
        self._snapshot_took = 0.0
        self._snapshot: dict[str, Any] | None = None  # as it was written last
        self._echoes: EchoReplies | None = None

    @property
    def interface(self) -> str:
        """Its tunnel interface."""
        interface = self.resource.interface
        assert interface is not None
        return interface

    async def start(self, facts: HostFacts) -> None:
        """Take the tunnel interface into use and make the host what the engine wants.

        Raises:
            SystemFault: the host refuses; it is as before then.
        """
        self._facts = facts
        snapshot = self._host.snapshots.load(self.resource.label)
        if snapshot is not None:
            self._engine.restore(snapshot, clock())
        existed = await self._attach()
        try:
            await self.update_facts(facts, routes=existed)
            await self._reconcile()
        except BaseException:
            if existed:
                self._detach()
                self._host.names.forget(self.resource.label)
            else:
                await self._take_down()
            raise
        self._task = asyncio.create_task(self._reconcile_forever(), name=self.resource.label)

    async def insist(self, facts: HostFacts) -> None:
        """As ``start``, but go on trying where the host refuses: the resource is stored already."""
        try:
            await self.start(facts)
        except SystemFault as fault:
            self._note_fault(str(fault))
            self._engine.update_facts(facts, clock())
            self._task = asyncio.create_task(self._reconcile_forever(), name=self.resource.label)
            asyncio.get_running_loop().call_later(FIRST_RETRY, self._dirty.set)

    async def change(self, resource: Resource) -> None:
        """Go on with another specification of the same resource and interface.

        Raises:
            SystemFault: the host refuses; the old specification is in force again then.
        """
        before = self.resource
        self._engine.update_spec(resource.parsed, clock())
        self.resource = resource
        self._pump()
        try:
            await self._reconcile()
        except SystemFault:
            self.resource = before
            self._engine.update_spec(before.parsed, clock())
            self._pump()
            raise

    async def remove(self) -> list[str]:
        """Let the neighbours know, then leave the host as it was found.

        Returns:
            What could not be restored, a line each.
        """
        self._engine.begin_withdrawal(clock())
        self._pump()
        end = clock() + LONGEST_WITHDRAWAL
        while not self._engine.withdrawn() and clock() < end:
            await asyncio.sleep(0.02)
        return await self._take_down()

    async def stop(self) -> None:
        """End, but leave everything in place for the next agent."""
        await self._end_tasks()
        self._host.links.forget(self.resource.label)
        self._save_snapshot()
        self._detach()

    async def _attach(self) -> bool:
        """Open the TUN device; returns whether it was there and ours already."""
        alias = await self._host.netlink.interface_alias(self.interface)
        ours = alias_of(self.resource.label)
        if alias is not None and alias != ours:
            owner = f" by {alias}" if alias else ""
            raise SystemFault(
                f"{self.resource.label}: interface: {self.interface} exists already and is used"
                f"{owner}; choose another name, or remove it (ip link delete {self.interface})"
            )
        manager, stored_name = self._host.service_manager, stored_tun(self.interface)
        stored = manager.take(stored_name)
        if stored is not None:
            self._tun = adopt_tun(self.interface, stored)
        if self._tun is None:
            self._tun = open_tun(self.interface)
            # Another descriptor of that name is of a device that has gone.
            manager.forget(stored_name)
            manager.store(stored_name, self._tun.descriptor)
        if alias is None:
            try:
                await self._host.netlink.set_interface_alias(self.interface, ours)
            except SystemFault:
                await self._remove_device()
                raise
        return alias is not None

    def _detach(self) -> None:
        self._hear_echo_replies(None)
        if self._tun is None:
            return
        self._host.plane.remove(self.interface)
        self._tun.close()
        self._tun = None

    async def _remove_device(self) -> None:
        """Remove the tunnel interface with its addresses and routes.

        Raises:
            SystemFault: the kernel refuses, or another process has it.
        """
        tun = self._tun
        self._host.plane.forget(self.interface)
        self._detach()
        self._host.service_manager.forget(stored_tun(self.interface))
        if tun is None:
            remove_tun(self.interface)
        elif tun.is_present():
            # The service manager may hold the descriptor for a moment yet: detaching is not enough.
            await self._host.netlink.remove_interface(tun.index)

    async def _end_tasks(self) -> None:
        for timer in (self._timer, self._snapshot_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._snapshot_timer = None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _take_down(self) -> list[str]:
        await self._end_tasks()
        self._host.names.forget(self.resource.label)
        self._host.links.forget(self.resource.label)
        problems = await leave(self._host, self.resource.label, self.interface, self._remove_device)
        for problem in problems:
            self._log.warning("while removing: %s", problem)
        return problems

    # Driving the engine

    async def update_facts(
        self, facts: HostFacts, sources: bool = True, routes: bool = True
    ) -> None:
        """Tell the engine of the host; sources and others' routes only if they may have changed."""
        netlink, before = self._host.netlink, self._facts
        endpoints = self._wanted.endpoints if self._wanted is not None else frozenset()
        self._facts = replace(
            facts,
            sources=await netlink.preferred_sources(endpoints) if sources else before.sources,
            foreign_routes=await netlink.foreign_routes(self.interface)
            if routes
            else before.foreign_routes,
        )
        self._engine.update_facts(self._facts, clock())
        self._pump()
        if self._wanted is not None and self._wanted.endpoints - endpoints:
            await self.update_facts(facts, routes=False)

    def verify(self) -> None:
        """Something has changed in the kernel: look whether all is still as wanted."""
        self._dirty.set()

    def _name_resolved(self, name: str, addresses: tuple[IPv4Address, ...]) -> None:
        """A name has been looked up."""
        if self._wanted is None or name not in self._wanted.names:
            return
        before = self._wanted.endpoints
        self._engine.name_resolved(name, addresses, clock())
        self._pump()
        self._save_snapshot_soon()
        if self._wanted.endpoints - before:
            # The reconciler asks the kernel for the source addresses towards the new endpoints.
            self._dirty.set()

    def _heard(self) -> None:
        self._pump()
        self._save_snapshot_soon()

    def _received_on_link(self, interface: str, packet: bytes) -> None:
        if isinstance(self._engine, LinkEngine):
            self._engine.receive_on_link(interface, packet, clock())
            self._pump()

    def _hear_echo_replies(self, identifier: int | None) -> None:
        """Hear those with the identifier, and with no other."""
        if self._echoes is not None:
            if self._echoes.identifier == identifier:
                return
            asyncio.get_running_loop().remove_reader(self._echoes)
            self._echoes.close()
            self._echoes = None
        if identifier is not None:
            self._echoes = EchoReplies(self.interface, identifier)
            asyncio.get_running_loop().add_reader(self._echoes, self._echo_replied, self._echoes)

    def _echo_replied(self, echoes: EchoReplies) -> None:
        reply = echoes.receive()
        if reply is not None and isinstance(self._engine, EchoListener):
            self._engine.echo_replied(reply.source, reply.sequence, clock())
            self._pump()

    def _save_snapshot_soon(self) -> None:
        if self._snapshot_timer is None:
            later = asyncio.get_running_loop().call_later
            delay = max(SNAPSHOT_DELAY, self._snapshot_took / SNAPSHOT_SHARE)
            self._snapshot_timer = later(delay, self._save_snapshot)

    def _save_snapshot(self) -> None:
        self._snapshot_timer = None
        if self._tun is None:
            return  # the resource has been removed meanwhile
        began = clock()
        snapshot = self._engine.snapshot()
        if snapshot != self._snapshot:
            self._host.snapshots.save(self.resource.label, snapshot)
            self._snapshot = snapshot
        self._snapshot_took = clock() - began

    def _on_timer(self) -> None:
        self._timer = None
        self._pump()

    def _pump(self) -> None:
        """Do what is due, send what is to be sent, and note what the engine wants now."""
        if self._tun is None:
            return
        plane, now = self._host.plane, clock()
        deadline = self._engine.next_deadline()
        if deadline is not None and deadline <= now:
            if self._wanted is not None:
                self._engine.note_traffic(plane.counters(self.interface).rules)
            self._engine.handle_timer(now)
        wanted = self._engine.wanted(now)
        if self._wanted is None:
            plane.add(self._tun, wanted.table, self._exchange.hear)
        elif wanted is not self._wanted and wanted.table != self._wanted.table:
            plane.update(wanted.table)
        if wanted is not self._wanted and wanted != self._wanted:
            if wanted.links != (() if self._wanted is None else self._wanted.links):
                # A successor has to know which prefixes hosts were given.
                self._save_snapshot_soon()
            self._wanted = wanted
            self._dirty.set()
            self._host.names.want(
                self.resource.label,
                wanted.names,
                wanted.name_refresh_interval,
                self._name_resolved,
            )
        self._exchange.carry_out()
        self._schedule()

    def _schedule(self) -> None:
        deadline = self._engine.next_deadline()
        if self._timer is not None:
            if deadline == self._deadline:
                return
            self._timer.cancel()
            self._timer = None
        self._deadline = deadline
        if deadline is not None:
            wait = max(deadline - clock(), SHORTEST_WAIT)
            self._timer = asyncio.get_running_loop().call_later(wait, self._on_timer)

    # Bringing the host to what is wanted

    async def _reconcile_forever(self) -> None:
        wait = FIRST_RETRY
        loop = asyncio.get_running_loop()
        while True:
            await self._dirty.wait()
            try:
                await self._reconcile()
            except (SystemFault, OSError) as fault:
                self._note_fault(str(fault))
            except Exception:
                self._log.exception("cannot bring the host to what is wanted")
                self._note_fault("an internal error, see the agent's log")
            else:
                self._note_fault(None)
                wait = FIRST_RETRY
                continue
            loop.call_later(wait, self._dirty.set)
            wait = min(wait * 2, LAST_RETRY)

    def _note_fault(self, fault: str | None) -> None:
        if fault != self.fault:
            if fault is not None:
                self._log.warning("%s", fault)
            else:
                self._log.info("all is as wanted again")
        self.fault = fault

    async def _reconcile(self) -> None:
        """Make the host what the engine wants.

        Raises:
            SystemFault: the host refuses.
        """
        # One at a time, or an older wish could overtake a newer one.
        async with self._reconciling:
            await self._reconcile_once()

    async def _reconcile_once(self) -> None:
        self._dirty.clear()
        await self._renew_device()
        wanted = self._wanted
        if wanted is None:
            return
        if wanted.endpoints - set(self._facts.sources):
            await self.update_facts(self._facts, routes=False)
            wanted = self._wanted or wanted
        host, label = self._host, self.resource.label
        done: list[str] = []
        if wanted.interface.forwarding:
            done += enable_ipv6_forwarding(host.ledger, label)
        else:
            done += host.ledger.release(label)
        done += await host.link_addresses.apply(label, wanted.links, clock())
        solicited = {link.interface for link in wanted.links if link.solicited}
        host.links.listen(label, solicited, self._received_on_link)
        done += await host.sharing.apply(label, wanted.sharing, self.verify)
        done += await host.netlink.apply_interface(wanted.interface, clock())
        await host.plane.settle_tunnel(self.interface)
        self._hear_echo_replies(wanted.echo_identifier)
        if wanted.dns != self._dns:
            done += await host.resolver.apply(self.interface, wanted.dns)
            self._dns = wanted.dns
        for line in done:
            self._log.info("%s", line)

    async def _renew_device(self) -> None:
        """Make the device again if somebody has removed it."""
        if self._tun is not None:
            if self._tun.is_present():
                return
            self._log.warning("%s was removed, making it again", self.interface)
            self._host.plane.forget(self.interface)
            self._detach()
        await self._attach()
        self._wanted = None
        self._pump()

    # What a user wants to know

    def ready(self) -> bool:
        """Whether the resource does its work."""
        return not self._faults() and bool(self._engine.status(clock())["ready"])

    def settled(self) -> bool:
        """Whether the host is as the engine wants it now, or refuses to be."""
        return not self._dirty.is_set() and not self._reconciling.locked()

    def _faults(self) -> list[str]:
        sharing = self._host.sharing.problem(self.resource.label)
        return [fault for fault in (self.fault, sharing) if fault is not None]

    def wants_forwarding(self) -> bool:
        """Whether the host must forward IPv6 packets for it."""
        return self._wanted is not None and self._wanted.interface.forwarding

    def status(self) -> dict[str, Any]:
        """The engine's status, and what the engine cannot know."""
        status = self._engine.status(clock())
        label = self.resource.label
        faults = status["faults"] = self._faults()
        if faults:
            status |= {"ready": False, "summary": faults[0]}
        status["name_sources"] = self._host.names.sources(label)
        status["name_errors"] = self._host.names.errors(label)
        if self._wanted is not None:
            status["mtu"] = self._wanted.interface.mtu
        status["plane"] = self._host.plane.carrier(self.interface)
        if self.interface in self._host.plane.tables():
            status["counters"] = self._host.plane.counters(self.interface).as_dict()
        return status
