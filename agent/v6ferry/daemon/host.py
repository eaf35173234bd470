# SPDX-License-Identifier: GPL-3.0-or-later
"""All that touches the host, in one place for the runners to share."""

from __future__ import annotations

import time
from dataclasses import dataclass

from v6ferry.daemon.links import LinkCarrier
from v6ferry.daemon.names import NameKeeper
from v6ferry.daemon.sharing import SharingKeeper
from v6ferry.daemon.snapshots import Snapshots
from v6ferry.forwarding.userspace import UserspacePlane
from v6ferry.naming.dns import DnsSource
from v6ferry.portproxy.workers import Workers
from v6ferry.system.link_addresses import LinkAddresses
from v6ferry.system.netlink import Netlink
from v6ferry.system.resolver_configuration import ResolverConfiguration
from v6ferry.system.service_manager import ServiceManager
from v6ferry.system.sysctl import SysctlLedger


def clock() -> float:
    """Seconds since boot, suspension included: lifetimes run on while a laptop sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Host:
    """The host as runners see it."""

    netlink: Netlink
    plane: UserspacePlane
    ledger: SysctlLedger
    resolver: ResolverConfiguration
    names: NameKeeper
    dns: DnsSource
    snapshots: Snapshots
    service_manager: ServiceManager
    links: LinkCarrier
    link_addresses: LinkAddresses
    sharing: SharingKeeper
    proxies: Workers
