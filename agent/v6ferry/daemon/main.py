# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts the agent together and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import grp
import logging
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from v6ferry import __version__
from v6ferry.daemon.api import Api
from v6ferry.daemon.control import ControlServer, SingleInstance
from v6ferry.daemon.host import Host, clock
from v6ferry.daemon.links import LinkCarrier
from v6ferry.daemon.names import NameKeeper
from v6ferry.daemon.settings import DEFAULT_GROUP, SOCKET_NAME, PlaneChoice, Settings
from v6ferry.daemon.sharing import SharingKeeper
from v6ferry.daemon.snapshots import Snapshots
from v6ferry.daemon.store import Store
from v6ferry.daemon.supervisor import Supervisor
from v6ferry.forwarding.ebpf.plane import EbpfPlane, load_programs
from v6ferry.forwarding.userspace import UserspacePlane
from v6ferry.naming.dns import DnsSource
from v6ferry.naming.hosts import HostsFile
from v6ferry.naming.resolve import Resolver
from v6ferry.naming.settings import ResolverSettings
from v6ferry.portproxy.workers import Workers
from v6ferry.system.errors import SystemFault, refused
from v6ferry.system.files import give_to_group
from v6ferry.system.link_addresses import LinkAddresses
from v6ferry.system.netlink import Netlink
from v6ferry.system.program_places import ProgramPlaces
from v6ferry.system.resolver_configuration import ResolverConfiguration
from v6ferry.system.resolver_helper import DelegatedResolverConfiguration
from v6ferry.system.service_manager import ServiceManager
from v6ferry.system.sockets import Underlay
from v6ferry.system.sysctl import SysctlLedger
from v6ferry.system.tcx import Tcx

_PROTOCOL41 = "protocol41"
"""Name of the socket that the service manager keeps while no agent runs: packets wait there."""
_REPORT_INTERVAL = 5.0  # seconds

_log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Run the agent until SIGTERM or SIGINT; SIGHUP reads the stored resources again.

    Tunnel interfaces with their addresses and routes stay when the agent stops; only removing a
    resource takes them away.

    Raises:
        SystemFault: the agent cannot start; nothing has changed.
    """
    loop = asyncio.get_running_loop()
    manager = ServiceManager()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    group = _group(settings.group)
    _make_directory(settings.runtime_directory, group)
    async with AsyncExitStack() as stack:
        instance = SingleInstance(settings.runtime_directory)
        stack.callback(instance.release)
        netlink = await stack.enter_async_context(Netlink())
        underlay = Underlay(manager.take(_PROTOCOL41))
        stack.callback(underlay.close)
        manager.store(_PROTOCOL41, underlay.protocol41.fileno())
        places = ProgramPlaces(
            netlink.traffic_control, Tcx(settings.runtime_directory / "programs.json")
        )
        plane = _plane(settings.plane, loop, underlay, places)
        stack.callback(plane.close)
        links = LinkCarrier(loop)
        stack.callback(links.close)
        resolver_settings = ResolverSettings()
        dns = DnsSource(resolver_settings)
        names = NameKeeper(Resolver([HostsFile(settings=resolver_settings), dns]))
        ledger = SysctlLedger(settings.runtime_directory / "sysctl.json")
        sharing = SharingKeeper(ledger, settings.runtime_directory, settings.state_directory)
        stack.push_async_callback(sharing.stop)
        host = Host(
            netlink=netlink,
            plane=plane,
            ledger=ledger,
            # Root alone may change what every program of the host asks.
            resolver=ResolverConfiguration()
            if os.geteuid() == 0
            else DelegatedResolverConfiguration(),
            names=names,
            dns=dns,
            snapshots=Snapshots(settings.runtime_directory / "snapshots"),
            service_manager=manager,
            links=links,
            link_addresses=LinkAddresses(
                settings.runtime_directory / "addresses.json", netlink.links
            ),
            sharing=sharing,
            proxies=Workers(settings.runtime_directory / "portproxy", settings.portproxy_workers),
        )
        supervisor = Supervisor(Store(settings.state_directory), host)
        await supervisor.start()
        stack.push_async_callback(supervisor.stop)
        manager.close_untaken()
        plane.start()
        control = ControlServer(
            settings.runtime_directory / SOCKET_NAME, Api(supervisor, host).methods(), group
        )
        await control.start()
        stack.push_async_callback(control.stop)
        reloads: set[asyncio.Task[None]] = set()
        loop.add_signal_handler(signal.SIGHUP, _reload, supervisor, manager, reloads)
        _log.info(
            "v6ferry %s runs %d resources on the %s plane",
            __version__,
            len(supervisor.runners),
            plane.name,
        )
        # What is here by now stays. To look through it for garbage takes ten milliseconds, in which
        # packets wait.
        gc.collect()
        gc.freeze()
        manager.ready(supervisor.summary())
        reports = asyncio.create_task(_report(manager, supervisor), name="report")
        await stopping.wait()
        reports.cancel()
        manager.stopping()
        _log.info("stopping; tunnel interfaces and proxied connections stay as they are")


def _plane(
    wanted: PlaneChoice, loop: asyncio.AbstractEventLoop, underlay: Underlay, places: ProgramPlaces
) -> UserspacePlane:
    """Return the fastest plane that the host can run, or the one that is wanted.

    Raises:
        SystemFault: the eBPF plane is wanted, and cannot run.
    """
    why = "the userspace plane was asked for (--plane)"
    if wanted != "userspace":
        try:
            return EbpfPlane(loop, underlay, clock, load_programs(), places)
        except SystemFault as fault:
            if wanted == "ebpf":
                raise SystemFault(f"--plane ebpf: {fault}") from fault
            why = str(fault)
    plane = UserspacePlane(loop, underlay, clock, places)
    plane.why, plane.was_asked_for = why, wanted == "userspace"
    level = logging.INFO if plane.was_asked_for else logging.WARNING
    _log.log(level, "tunnels go through the userspace plane: %s", why)
    return plane


async def _report(manager: ServiceManager, supervisor: Supervisor) -> None:
    """Tell the service manager again and again that the agent is alive, and how it is."""
    told = ""
    while True:
        manager.alive()
        if (summary := supervisor.summary()) != told:
            manager.status(summary)
            told = summary
        # Half of the time that it may take: sd_watchdog_enabled(3).
        await asyncio.sleep(min((manager.watchdog_interval or 60) / 2, _REPORT_INTERVAL))


def _reload(
    supervisor: Supervisor, manager: ServiceManager, reloads: set[asyncio.Task[None]]
) -> None:
    async def reload() -> None:
        manager.reloading()
        try:
            await supervisor.reload()
        except SystemFault as fault:
            _log.error("not reloaded: %s", fault)
        manager.ready(supervisor.summary())

    task = asyncio.get_running_loop().create_task(reload(), name="reload")
    reloads.add(task)
    task.add_done_callback(reloads.discard)


def _group(name: str | None) -> int | None:
    try:
        return grp.getgrnam(name or DEFAULT_GROUP).gr_gid
    except KeyError:
        if name is None:
            return None
        raise SystemFault(
            f"--group: there is no group {name!r}; make it (groupadd --system {name}), or name"
            " another one"
        ) from None


def _make_directory(path: Path, group: int | None) -> None:
    """Make the runtime directory, closed to all but root and the group, who need the socket."""
    try:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)
        if group is not None:
            give_to_group(path, group)
    except OSError as error:
        raise refused(f"use the directory {path}", error.errno or errno.EIO) from error
