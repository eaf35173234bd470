# SPDX-License-Identifier: GPL-3.0-or-later
"""The IPv4 Internet of the white paper's figures 25 to 29, and what runs on it::

    a, h -- anat 157.60.0.1 -+          +---- 206.73.118.1, .2 server  2001:db8:0:c::5 --+
                             +-- core --+                                                | native
    b -- bnat 131.107.0.1 ---+          +---- 194.207.1.5 relay  2001:db8:0:c::1 --------+
                                                         2001:db8:0:c::c  c -------------+

``h`` is behind a NAT as ``a`` is, and is on the native network besides: 2001:db8:0:c::a.
The networks behind the NATs have public addresses, which ``core`` has routes to: so a NAT may also
be none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface
from typing import Any

from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import apply, eventually, status
from tests.lab.service import Service
from tests.lab.teredo.nat import become
from tests.lab.topology import Host, Interface, Network, Route, Topology
from tests.simulation.nat import Kind

SERVER, SECONDARY, RELAY = "206.73.118.1", "206.73.118.2", "194.207.1.5"
ANAT, BNAT = "157.60.0.1", "131.107.0.1"
A, B, H = "157.60.1.2", "131.107.1.2", "157.60.1.3"
C, RELAY_NATIVE, H_NATIVE = "2001:db8:0:c::c", "2001:db8:0:c::1", "2001:db8:0:c::a"
_ALL_IPV4, _ALL_IPV6 = IPv4Network("0.0.0.0/0"), IPv6Network("::/0")


def _gateway(address: str) -> str:
    return str(ip_interface(f"{address}/24").network.broadcast_address - 1)


def _public(name: str, addresses: tuple[str, ...], native: str | None) -> Host:
    interfaces = [
        Interface("eth0", f"{name}-uplink", tuple(ip_interface(f"{one}/24") for one in addresses))
    ]
    if native is not None:
        interfaces.append(Interface("lan0", "native", (ip_interface(f"{native}/64"),)))
    return Host(
        name,
        tuple(interfaces),
        routes=(Route(_ALL_IPV4, ip_address(_gateway(addresses[0]))),),
        groups=(f"teredo_{name}s",),
    )


def _nat(name: str, wan: str, lan: str) -> Host:
    return Host(
        name,
        (
            Interface("wan", f"{name}-uplink", (ip_interface(f"{wan}/24"),)),
            Interface("lan", f"{name}-lan", (ip_interface(f"{_gateway(lan)}/24"),)),
        ),
        routes=(Route(_ALL_IPV4, ip_address(_gateway(wan))),),
        ipv4_forwarding=True,
        ipv6=False,
    )


def _client(name: str, nat: str, address: str, group: str = "teredo_clients") -> Host:
    return Host(
        name,
        (Interface("eth0", f"{nat}-lan", (ip_interface(f"{address}/24"),)),),
        routes=(Route(_ALL_IPV4, ip_address(_gateway(address))),),
        groups=(group,),
    )


def _internet() -> Topology:
    uplinks = {"server": SERVER, "relay": RELAY, "anat": ANAT, "bnat": BNAT}
    behind = {"a": A, "b": B}
    core = Host(
        "core",
        tuple(
            Interface(f"eth{number}", f"{name}-uplink", (ip_interface(f"{_gateway(address)}/24"),))
            for number, (name, address) in enumerate(uplinks.items())
        ),
        routes=tuple(
            Route(ip_interface(f"{behind[name[0]]}/24").network, ip_address(uplinks[name]))
            for name in ("anat", "bnat")
        ),
        ipv4_forwarding=True,
        ipv6=False,
    )
    native_host = Host(
        "c",
        (Interface("eth0", "native", (ip_interface(f"{C}/64"),)),),
        routes=(Route(_ALL_IPV6, ip_address(RELAY_NATIVE)),),
    )
    both = _client("h", "anat", H, group="host_specific_relays")
    native = Interface("lan0", "native", (ip_interface(f"{H_NATIVE}/64"),))
    both = replace(both, interfaces=(*both.interfaces, native))
    return Topology(
        "teredo",
        networks=(
            *(Network(f"{name}-uplink", ipv6=False) for name in uplinks),
            Network("anat-lan", ipv6=False),
            Network("bnat-lan", ipv6=False),
            Network("native"),
        ),
        hosts=(
            _public("server", (SERVER, SECONDARY), "2001:db8:0:c::5"),
            _public("relay", (RELAY,), RELAY_NATIVE),
            _nat("anat", ANAT, A),
            _nat("bnat", BNAT, B),
            _client("a", "anat", A),
            both,
            _client("b", "bnat", B),
            native_host,
            core,
        ),
    )


INTERNET = _internet()


@contextlib.contextmanager
def internet(a: Kind = Kind.PORT_RESTRICTED, b: Kind = Kind.PORT_RESTRICTED) -> Iterator[Lab]:
    """The Internet with NATs of these kinds before ``a`` and ``b``."""
    with Lab(INTERNET) as lab:
        become(lab["anat"], a)
        become(lab["bnat"], b)
        yield lab


def serve(lab: Lab, plane: str, **spec: Any) -> None:
    """Have our server."""
    lab["server"].start_agent("--plane", plane)
    apply(lab["server"], "teredo_server", server_address=SERVER, **spec)


def start_client(host: LabHost, plane: str, **spec: Any) -> str:
    """Have our client on a host, qualified; its address."""
    host.start_agent("--plane", plane)
    spec = {"servers": [SERVER], **spec}
    apply(host, "teredo_client", wait=20, **spec)
    return teredo_address(host, "teredo0")


def teredo_address(host: LabHost, interface: str) -> str:
    """The Teredo address of an interface, which it has or is about to have."""
    found: list[str] = []

    def is_there() -> bool:
        shown = host.run(["ip", "-6", "-o", "addr", "show", "dev", interface], check=False).stdout
        words = (word.partition("/")[0] for word in shown.split())
        found[:] = [word for word in words if word.startswith("2001:0:") or word[:6] == "2001::"]
        return bool(found)

    eventually(is_there, 20)
    return found[0]


def start_miredo(host: LabHost, *lines: str) -> Service:
    """Start Debian's miredo with these lines of configuration; its interface is teredo."""
    text = "\n".join(["InterfaceName teredo", "SyslogFacility user", *lines, ""])
    host.write("/etc/miredo/lab.conf", text)
    return host.start_service(
        "miredo",
        ["miredo", "-f", "-c", "/etc/miredo/lab.conf", "-u", "miredo", "-p", "/run/miredo.pid"],
        ready=lambda _: "teredo" in host.run(["ip", "-o", "link"]).stdout,
    )


def start_miredo_client(host: LabHost, *lines: str) -> str:
    """Start miredo as a client of the server; its address."""
    start_miredo(host, f"ServerAddress {SERVER}", *lines)
    return teredo_address(host, "teredo")


def start_miredo_server(host: LabHost) -> Service:
    """Start Debian's miredo-server."""
    host.write("/etc/miredo/lab-server.conf", f"ServerBindAddress {SERVER}\n")
    return host.start_service(
        "miredo-server",
        ["miredo-server", "-f", "-c", "/etc/miredo/lab-server.conf", "-u", "miredo-server",
         "-p", "/run/miredo-server.pid"],
        ready=lambda _: ":3544" in host.run(["ss", "-uln"]).stdout,
    )  # fmt: skip


def discarded(host: LabHost) -> dict[str, int]:
    """What an agent's Teredo engine has discarded, by reason."""
    found: dict[str, int] = status(host)["discarded"]
    return found
