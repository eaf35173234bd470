# SPDX-License-Identifier: GPL-3.0-or-later
"""Two 6to4 sites on an IPv4 Internet, with stock hosts behind their routers::

    a, b -- lan -- router 131.107.23.89 -- core -- 157.60.0.1 remote -- remote-lan -- c

Nothing speaks IPv6 but the kernel's own autoconfiguration, until a router advertises something.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Network, ip_address, ip_interface

from tests.lab import Lab, LabHost
from tests.lab.topology import Host, Interface, Network, Route, Topology

PUBLIC, OTHER_PUBLIC, REMOTE = "131.107.23.89", "131.107.23.90", "157.60.0.1"
OLD_SITE, NEW_SITE = "2002:836b:1759:", "2002:836b:175a:"
EVERYTHING = IPv4Network("0.0.0.0/0")


def _router(name: str, address: str, gateway: str, lan: str, private: str) -> Host:
    return Host(
        name,
        interfaces=(
            Interface("eth0", f"{name}-uplink", (ip_interface(f"{address}/24"),)),
            Interface("lan0", lan, (ip_interface(private),)),
        ),
        routes=(Route(EVERYTHING, ip_address(gateway)),),
    )


SITES = Topology(
    "sixtofour-sites",
    networks=(
        Network("router-uplink", ipv6=False),
        Network("remote-uplink", ipv6=False),
        Network("lan"),
        Network("remote-lan"),
    ),
    hosts=(
        _router("router", PUBLIC, "131.107.23.254", "lan", "192.168.0.1/24"),
        _router("remote", REMOTE, "157.60.0.254", "remote-lan", "192.168.1.1/24"),
        Host("a", (Interface("eth0", "lan"),)),
        Host("b", (Interface("eth0", "lan"),)),
        Host("c", (Interface("eth0", "remote-lan"),)),
        Host(
            "core",
            interfaces=(
                Interface("eth0", "router-uplink", (ip_interface("131.107.23.254/24"),)),
                Interface("eth1", "remote-uplink", (ip_interface("157.60.0.254/24"),)),
            ),
            ipv4_forwarding=True,
            ipv6=False,
        ),
    ),
)


def index(host: LabHost, interface: str = "lan0") -> int:
    """The index of an interface."""
    found: int = json.loads(host.run(["ip", "-j", "link", "show", interface]).stdout)[0]["ifindex"]
    return found


def address_in(host: LabHost, site: str, interface: str = "eth0") -> str | None:
    """The address that a host has formed in a site's prefix and may use."""
    shown = json.loads(host.run(["ip", "-j", "-6", "addr", "show", "dev", interface]).stdout)
    for one in (one for link in shown for one in link.get("addr_info", ())):
        ready = not one.get("tentative") and one["preferred_life_time"] > 0
        if one["local"].startswith(site) and ready:
            found: str = one["local"]
            return found
    return None


def deprecated(host: LabHost, site: str, interface: str = "eth0") -> bool:
    """Whether all of a host's addresses in a site's prefix are deprecated, and there are some."""
    shown = json.loads(host.run(["ip", "-j", "-6", "addr", "show", "dev", interface]).stdout)
    of_site = [
        one for link in shown for one in link.get("addr_info", ()) if one["local"].startswith(site)
    ]
    return bool(of_site) and all(one["preferred_life_time"] == 0 for one in of_site)


def set_address(lab: Lab, before: str, after: str) -> None:
    """Give the router another public address, as DHCP does: the old one goes, the new one comes."""
    lab["router"].run(["ip", "addr", "del", f"{before}/24", "dev", "eth0"])
    lab["router"].run(["ip", "addr", "add", f"{after}/24", "dev", "eth0"])
    lab["router"].run(["ip", "route", "replace", "default", "via", "131.107.23.254"])
