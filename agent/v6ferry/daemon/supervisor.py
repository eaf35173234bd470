# SPDX-License-Identifier: GPL-3.0-or-later
"""All resources of the host: what is wanted, what runs, and the way from one to the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from v6ferry.daemon.changes import Change, purged, read_changes
from v6ferry.daemon.departure import take_down_leftovers
from v6ferry.daemon.host import Host
from v6ferry.daemon.resource_log import resource_log
from v6ferry.daemon.resources import Resource, check_together
from v6ferry.daemon.runners import AnyRunner, runner_for
from v6ferry.daemon.store import Store
from v6ferry.engines.specification import SpecificationError
from v6ferry.system.errors import SystemFault
from v6ferry.system.netlink_events import NO_CHANGES, Changes
from v6ferry.system.netlink_messages import interface_index
from v6ferry.system.state import HostFacts
from v6ferry.system.uplinks import find_uplinks

ADDRESS_EVENT_PAUSE = 0.1
ROUTE_EVENT_PAUSE = 1.0
"""Seconds after a look at the kernel before the next one: a full routing feed that comes and goes
must not keep the agent busy, and an address must count within a second."""
READY_POLL = 0.05

_log = logging.getLogger(__name__)


class Supervisor:
    """Runs all resources.

    Args:
        store: where they are kept.
        host: where they run.
    """

    def __init__(self, store: Store, host: Host) -> None:
        self.problems: Mapping[str, str] = {}
        """What is wrong with stored files, by resource."""
        self._store = store
        self._host = host
        self._runners: dict[str, AnyRunner] = {}
        self._facts = HostFacts()
        self._applying = asyncio.Lock()
        self._changes = NO_CHANGES
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def runners(self) -> Mapping[str, AnyRunner]:
        """What runs, by label."""
        return self._runners

    @property
    def facts(self) -> HostFacts:
        """What is known of the host."""
        return self._facts

    def summary(self) -> str:
        """How all is, in one line."""
        runners = list(self._runners.values())
        if not runners and not self.problems:
            return "nothing is configured"
        not_ready = [one.resource.label for one in runners if not one.ready()]
        parts = [f"{len(runners) - len(not_ready)} of {len(runners)} resources ready"]
        if not_ready:
            parts.append(f"not ready: {', '.join(not_ready)}")
        if self.problems:
            parts.append(f"unusable files: {', '.join(self.problems)}")
        return "; ".join(parts)

    # Life

    async def start(self) -> None:
        """Run what is stored, and nothing that earlier agents have left of anything else.

        Raises:
            SystemFault: the state directory or the kernel cannot be read.
        """
        loaded = self._store.load()
        self._note_problems(loaded.problems)
        stored: dict[str, str | None] = dict.fromkeys(loaded.problems)
        stored |= {
            label: resource.interface
            for label, resource in loaded.resources.items()
            if resource.interface is not None
        }
        await take_down_leftovers(self._host, stored)
        await self._host.proxies.start()
        self._facts = await self._look_at_host(r.interface for r in loaded.resources.values())
        for resource in loaded.resources.values():
            try:
                check_together({**self._wanted(), resource.label: resource})
            except SpecificationError as error:
                self.problems = {**self.problems, resource.label: str(error)}
                _log.error("%s", error)
                continue
            runner = self._runners[resource.label] = runner_for(resource, self._host)
            await runner.insist(self._facts)
            _log_running(resource)
        await self._host.proxies.settle()
        await self._settle_uplinks()
        self._tasks = [
            asyncio.create_task(self._watch(), name="watch the kernel"),
            asyncio.create_task(self._follow(), name="follow the kernel"),
        ]

    async def stop(self) -> None:
        """End; tunnel interfaces with their addresses and routes stay for the next agent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._applying:
            for runner in self._runners.values():
                await runner.stop()
        await self._host.proxies.stop()
        await self._host.names.close()

    # Following the host

    async def _look_at_host(self, own_interfaces: Iterable[str | None]) -> HostFacts:
        netlink, own = self._host.netlink, {one for one in own_interfaces if one is not None}
        facts = await netlink.underlay(exclude=own)
        links = await netlink.links.facts(exclude=own)
        self._host.links.update_facts(links)
        addresses = await netlink.host_ipv6_addresses()
        preferred = await netlink.preferred_ipv6_addresses()
        return replace(
            facts,
            host_addresses=addresses,
            links=links,
            preferred_addresses={one: ips for one, ips in preferred.items() if one not in own},
            tunnel_addresses={one: ips for one, ips in preferred.items() if one in own},
        )

    async def _settle_uplinks(self) -> None:
        """Let the plane know the ways to the underlay, as long as there are tunnels."""
        has_tunnels = any(one.interface is not None for one in self._runners.values())
        uplinks = find_uplinks(self._facts.uplinks) if has_tunnels else {}
        await self._host.plane.settle_uplinks(uplinks)

    async def _watch(self) -> None:
        def heard(changes: Changes) -> None:
            self._changes = self._changes.joined(changes)
            self._changed.set()

        while True:
            try:
                await self._host.netlink.watch(heard)
            except SystemFault as fault:
                _log.error("%s; trying again", fault)
            await asyncio.sleep(1.0)

    async def _follow(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                async with self._applying:
                    # With what has come while somebody was applying: all of it is seen at once.
                    changes, self._changes = self._changes, NO_CHANGES
                    await self._follow_change(changes)
            except SystemFault as fault:
                _log.error("%s; trying again", fault)
                self._changes = self._changes.joined(changes)
                self._changed.set()
                await asyncio.sleep(1.0)
            only_routes = changes <= {"ipv4-route", "ipv6-route"}
            await asyncio.sleep(ROUTE_EVENT_PAUSE if only_routes else ADDRESS_EVENT_PAUSE)

    async def _follow_change(self, changes: Changes) -> None:
        before, touched = self._facts, changes.interfaces
        if changes <= {"filter"}:
            await self._look_at_filters(touched)
            return
        self._facts = await self._look_at_host(r.interface for r in self._runners.values())
        own = {
            label: interface_index(one.interface)
            for label, one in self._runners.items()
            if one.interface is not None
        }
        indexes = set(own.values())
        # Our tunnels change by our own hand most of the time: what happens to one of a thousand is
        # none of the others' business.
        everybody = touched is None or None in indexes or not touched <= indexes
        sources = everybody or bool(changes & {"ipv4-address", "ipv4-route"})
        for label, runner in list(self._runners.items()):
            concerned = everybody or touched is None or own.get(label) in touched
            await runner.update_facts(self._facts, sources=sources, routes=concerned)
            if concerned:
                runner.verify()
        if everybody:
            await self._settle_uplinks()
        if self._facts.underlay != before.underlay or "ipv4-route" in changes:
            self._host.names.retry()

    async def _look_at_filters(self, touched: frozenset[int] | None) -> None:
        """See to it that the plane's programs are in their places beside others' filters."""
        for runner in self._runners.values():
            if runner.interface is not None and (
                touched is None or interface_index(runner.interface) in touched
            ):
                runner.verify()
        await self._settle_uplinks()

    # Changing what is wanted

    async def apply(
        self, requests: Any, *, dry_run: bool, wait: float, purge: str | None = None
    ) -> dict[str, Any]:
        """Make resources present or absent; all of them, or none.

        Args:
            requests: as ``read_changes`` takes them.
            dry_run: only say what would be done.
            wait: seconds to wait at most until all of them are ready.
            purge: a kind of which no other resources are wanted.

        Raises:
            SpecificationError: a resource cannot be used.
            SystemFault: the host refuses; what was is in force again then.
        """
        changes = read_changes(requests)
        async with self._applying:
            changes += purged(purge, changes, {*self._runners, *self.problems})
            check_together(self._wanted_after(changes))
            for change in changes:
                if change.resource is not None:
                    change.resource.check_programs()
            before = self._stored_specs()
            outcomes = [self._outcome(change, before.get(change.label)) for change in changes]
            if not dry_run:
                await self._make(changes)
        if not dry_run and wait > 0:
            await self._wait_until_ready(changes, wait)
        await self._host.proxies.refresh()
        for change, outcome in zip(changes, outcomes, strict=True):
            runner = self._runners.get(change.label)
            outcome["status"] = None if runner is None else runner.status()
        return {"changed": any(one["changed"] for one in outcomes), "resources": outcomes}

    async def reload(self) -> None:
        """Read the files again and run what they say now."""
        async with self._applying:
            loaded = self._store.load()
            self._note_problems(loaded.problems)
            for resource_label in list(self._runners):
                if resource_label not in loaded.resources:
                    await self._remove(resource_label)
            for resource in loaded.resources.values():
                try:
                    check_together({**self._wanted(), resource.label: resource})
                    await self._run(resource)
                except (SpecificationError, SystemFault) as error:
                    self.problems = {**self.problems, resource.label: str(error)}
                    resource_log(resource.label).error("goes on as it was: %s", error)
            await self._settle_uplinks()
            _log.info("reloaded: %d resources", len(self._runners))

    def _wanted(self) -> dict[str, Resource]:
        return {label: runner.resource for label, runner in self._runners.items()}

    def _wanted_after(self, changes: Iterable[Change]) -> dict[str, Resource]:
        wanted = self._wanted()
        for change in changes:
            if change.resource is None:
                wanted.pop(change.label, None)
            else:
                wanted[change.label] = change.resource
        return wanted

    def _stored_specs(self) -> dict[str, Mapping[str, Any]]:
        """What is stored and in order; a broken file counts as not there, to be written anew."""
        return {
            label: runner.resource.spec
            for label, runner in self._runners.items()
            if label not in self.problems
        }

    def _outcome(self, change: Change, before: Mapping[str, Any] | None) -> dict[str, Any]:
        after = None if change.resource is None else dict(change.resource.spec)
        exists = change.label in self._runners or change.label in self.problems
        changed = before != after if change.resource is not None else exists
        actions: list[str] = []
        if changed and after is None:
            actions = [f"remove {change.kind} {change.name}"]
        elif changed and not exists:
            actions = [f"create {change.kind} {change.name}"]
        elif changed:
            options = _differing(before or {}, after or {})
            actions = [f"change {change.kind} {change.name}: {', '.join(options) or 'its file'}"]
        return {
            "kind": change.kind,
            "name": change.name,
            "changed": changed,
            "before": None if before is None else dict(before),
            "after": after,
            "actions": actions,
            "warnings": [] if change.resource is None else list(change.resource.warnings),
        }

    async def _make(self, changes: Iterable[Change]) -> None:
        """Carry changes out, removals first; on failure undo those already made."""
        undo: list[Callable[[], Any]] = []
        try:
            for change in sorted(changes, key=lambda one: one.resource is not None):
                runner = self._runners.get(change.label)
                before = None if runner is None else runner.resource
                if change.resource is None:
                    await self._remove(change.label)
                else:
                    await self._run(change.resource)
                if before is not None or change.resource is not None:
                    undo.append(_Undo(self, change, before))
                if change.resource is None:
                    self._store.remove(change.kind, change.name)
                else:
                    self._store.save(change.resource)
        except Exception:
            for step in reversed(undo):
                await step()
            raise
        finally:
            await self._settle_uplinks()
        self.problems = {
            label: problem
            for label, problem in self.problems.items()
            if all(label != change.label for change in changes)
        }

    async def _run(self, resource: Resource) -> None:
        runner = self._runners.get(resource.label)
        if runner is not None and runner.interface != resource.interface:
            await self._remove(resource.label)
            before, runner = runner.resource, None
        else:
            before = None
        if runner is None:
            new = runner_for(resource, self._host)
            try:
                await new.start(self._facts)
            except SystemFault:
                if before is not None:
                    old = self._runners[before.label] = runner_for(before, self._host)
                    await old.insist(self._facts)
                raise
            self._runners[resource.label] = new
            _log_running(resource)
        elif runner.resource.spec != resource.spec or runner.fault is not None:
            await runner.change(resource)
            resource_log(resource.label).info("changed")

    async def _remove(self, resource_label: str) -> None:
        runner = self._runners.get(resource_label)
        if runner is not None:
            await runner.remove()
            del self._runners[resource_label]
            resource_log(resource_label).info("removed")

    async def _wait_until_ready(self, changes: Iterable[Change], wait: float) -> None:
        labels = [change.label for change in changes if change.resource is not None]
        loop = asyncio.get_running_loop()
        end = loop.time() + wait
        while loop.time() < end:
            runners = [self._runners.get(one) for one in labels]
            # Ready is what the engine has learned; what follows from it on the host, such as a
            # default route, takes a moment more, and the next task may need it.
            if all(one is not None and one.ready() and one.settled() for one in runners):
                return
            await asyncio.sleep(READY_POLL)

    def _note_problems(self, problems: Mapping[str, str]) -> None:
        for problem in problems.values():
            _log.error("%s", problem)
        self.problems = problems

    # What a user wants to know

    async def show(self, kind: str | None = None, name: str | None = None) -> list[dict[str, Any]]:
        """Return resources with their specification and status, sorted."""
        await self._host.proxies.refresh()
        shown: list[dict[str, Any]] = []
        for resource_label in sorted(set(self._runners) | set(self.problems)):
            its_kind, its_name = resource_label.split("/")
            if (kind is not None and kind != its_kind) or (name is not None and name != its_name):
                continue
            problem = self.problems.get(resource_label)
            runner = self._runners.get(resource_label)
            status: dict[str, Any] = {"ready": False, "summary": problem}
            if runner is not None:
                status = runner.status()
            status["file_problem"] = problem
            shown.append(
                {
                    "kind": its_kind,
                    "name": its_name,
                    "spec": None if runner is None else dict(runner.resource.spec),
                    "status": status,
                }
            )
        return shown


class _Undo:
    """Takes one change back: the resource is again what it was before."""

    def __init__(self, supervisor: Supervisor, change: Change, before: Resource | None) -> None:
        self._supervisor = supervisor
        self._change = change
        self._before = before

    async def __call__(self) -> None:
        supervisor, change, before = self._supervisor, self._change, self._before
        try:
            if before is None:
                await supervisor._remove(change.label)
                supervisor._store.remove(change.kind, change.name)
            else:
                await supervisor._run(before)
                supervisor._store.save(before)
        except SystemFault as fault:
            resource_log(change.label).error("cannot be taken back: %s", fault)


def _log_running(resource: Resource) -> None:
    where = "" if resource.interface is None else f" on {resource.interface}"
    resource_log(resource.label).info("running%s", where)


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The options in which two specifications differ, sorted."""
    absent = object()
    return sorted(
        option
        for option in {*before, *after}
        if before.get(option, absent) != after.get(option, absent)
    )
