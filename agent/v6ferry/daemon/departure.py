# SPDX-License-Identifier: GPL-3.0-or-later
"""How a resource leaves the host: as it was found.

That is also for what an earlier agent has left of resources whose files were removed while no
agent ran.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Mapping

from v6ferry.daemon.host import Host
from v6ferry.system.errors import SystemFault
from v6ferry.system.tun import Tun, adopt_tun, open_tun

_ALIAS = "v6ferry "

_log = logging.getLogger(__name__)


def alias_of(label: str) -> str:
    """Return the alias by which a resource's tunnel interface is known."""
    return _ALIAS + label


def stored_tun(interface: str) -> str:
    """Return the name by which the service manager keeps a tunnel interface's descriptor."""
    return f"tun.{interface}"


async def leave(
    host: Host, label: str, interface: str, remove_device: Callable[[], Awaitable[None]]
) -> list[str]:
    """Undo what was done to the host on behalf of a resource.

    Args:
        host: to leave.
        label: of the resource.
        interface: its tunnel interface.
        remove_device: removes that.

    Returns:
        What could not be restored, a line each.
    """
    problems: list[str] = []
    try:
        await host.sharing.release(label)
    except SystemFault as fault:
        problems.append(str(fault))
    try:
        await host.resolver.remove(interface)
    except SystemFault as fault:
        problems.append(str(fault))
    try:
        await remove_device()
    except SystemFault as fault:
        problems.append(str(fault))
    try:
        await host.link_addresses.release(label)
    except SystemFault as fault:
        problems.append(str(fault))
    try:
        problems += [line for line in host.ledger.release(label) if line.startswith("left ")]
    except SystemFault as fault:
        problems.append(str(fault))
    host.snapshots.remove(label)
    return problems


async def take_down_leftovers(host: Host, stored: Mapping[str, str | None]) -> None:
    """Remove tunnel interfaces of resources that are no longer stored, programs and all.

    One that another process has open is left to that.

    Args:
        host: where to look.
        stored: the tunnel interface of each stored resource by its label; None where the file
            cannot be read, so that any may be its.
    """
    try:
        for line in await host.sharing.release_others(stored):
            _log.info("%s", line)
    except SystemFault as fault:
        _log.warning("sharing that an earlier agent has left stays: %s", fault)
    for _index, interface in socket.if_nameindex():
        try:
            alias = await host.netlink.interface_alias(interface) or ""
            label = alias.removeprefix(_ALIAS)
            if label == alias or stored.get(label, "") in (None, interface):
                continue
            tun = _take_over(host, interface)
        except SystemFault as fault:
            _log.warning("%s is left by an earlier agent and stays: %s", interface, fault)
            continue

        async def remove_device(tun: Tun = tun) -> None:
            tun.close()
            await host.netlink.remove_interface(tun.index)

        for problem in await leave(host, label, interface, remove_device):
            _log.warning("%s: while removing: %s", label, problem)
        host.service_manager.forget(stored_tun(interface))
        _log.info("%s: removed with %s: it is no longer stored", label, interface)


def _take_over(host: Host, interface: str) -> Tun:
    """Attach to a TUN device that nobody else is attached to.

    Raises:
        SystemFault: somebody is, or it is another kind of device.
    """
    descriptor = host.service_manager.take(stored_tun(interface))
    tun = None if descriptor is None else adopt_tun(interface, descriptor)
    return tun or open_tun(interface)
