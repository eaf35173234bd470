# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell scripts and ``ip -batch`` input that make a lab: text out of data, nothing is run here.

A lab is built in three steps, so that each runs as few processes as may be and, within a step, all
hosts at once: the namespaces, then the links between them, then what each host has on its links.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

from tests.lab.topology import AnyAddress, Host, Interface, Topology

LAB_ROOT = Path("/run/v6ferry-lab")
"""Where labs live, a directory each."""

OVERLAID_DIRECTORIES = ("/etc", "/var/lib")
"""Start with the machine's content; what a host changes stays in the lab."""
EMPTY_DIRECTORIES = ("/run",)
"""Start empty."""
PRIVATE_DIRECTORIES = (*OVERLAID_DIRECTORIES, *EMPTY_DIRECTORIES)
"""What each host has for itself; it shares the rest of the file system with the machine."""

_FIRST_INDEX = 10  # of interfaces; below it is the loopback interface
_LINK_TRIES = 500  # to see that a link is up, a hundredth of a second apart


def overlays_script(host_directory: Path) -> str:
    """Return the commands that mount a host's overlaid directories below ``root/``."""
    lines = []
    for directory in OVERLAID_DIRECTORIES:
        layers = host_directory / "layers" / directory.strip("/").replace("/", "-")
        target = host_directory / f"root{directory}"
        options = f"lowerdir={directory},upperdir={layers}/upper,workdir={layers}/work"
        lines += [
            f"mkdir -p {layers}/upper {layers}/work {target}",
            f"mount --no-mtab -t overlay -o {options} v6ferry-lab {target}",
        ]
    lines += [f"mkdir -p {host_directory}/root{directory}" for directory in EMPTY_DIRECTORIES]
    return "\n".join(lines) + "\n"


def namespace_script(host: Host, host_directory: Path) -> str:
    """Return what runs first in a host's new network, mount and UTS namespaces.

    Without --no-mtab, mount(8) would write notes of its own into /run.
    """
    root = host_directory / "root"
    return "\n".join(
        [
            *(f"mount --no-mtab --bind {root}{path} {path}" for path in OVERLAID_DIRECTORIES),
            # The copies of the labs' mounts must leave this namespace, or it would keep the
            # network namespaces of other labs alive. They lie below /run, so the new /run waits
            # on /sys, which is about to be covered in any case.
            f"mount --no-mtab --bind {root}/run /sys",
            f"for lab in {LAB_ROOT}/*; do umount --lazy $lab 2>/dev/null || :; done",
            "mount --no-mtab --move /sys /run",
            "mount --no-mtab -t sysfs sysfs /sys",
            # For agents that pin BPF objects; not every kernel has it.
            "mount --no-mtab -t bpf bpf /sys/fs/bpf 2>/dev/null || :",
            f"echo {host.name} > /proc/sys/kernel/hostname",
            *_sysctls(
                {
                    # A new namespace copies the machine's IPv4 settings, whatever they are.
                    "net/ipv4/ip_forward": int(host.ipv4_forwarding),
                    "net/ipv4/conf/all/rp_filter": 0,
                    "net/ipv4/conf/default/rp_filter": 0,
                    "net/ipv6/conf/all/disable_ipv6": int(not host.ipv6),
                    "net/ipv6/conf/default/disable_ipv6": int(not host.ipv6),
                    "net/ipv6/conf/all/forwarding": 0,
                }
            ),
            "",
        ]
    )


def switch_script() -> str:
    """Return what runs first in the namespace of the bridges, which are no IPv6 hosts."""
    settings = {f"net/ipv6/conf/{which}/disable_ipv6": 1 for which in ("all", "default")}
    return "\n".join([*_sysctls(settings), ""])


def links_batch(topology: Topology, namespaces: Mapping[str, Path]) -> str:
    """Return the ``ip -batch`` input that makes all links, to be run in the bridges' namespace.

    Args:
        topology: whose networks to make.
        namespaces: the file of each host's network namespace, by the host's name.
    """
    lines = []
    # No two interfaces of a lab have one index: where those of a veth pair are equal, the kernel
    # takes neither for a tunnel's end and may be a second late to notice that the link is up.
    index = itertools.count(_FIRST_INDEX)
    for number, network in enumerate(topology.networks):
        mtu = f"mtu {network.mtu}"
        ends = [
            f"name {interface.name} index {next(index)} {mtu} netns {namespaces[host.name]}"
            for host, interface in topology.attachments(network)
        ]
        if len(ends) == 2:
            lines.append(f"link add {ends[0]} type veth peer {ends[1]}")
            continue
        bridge = f"bridge{number}"
        # Without snooping every multicast packet, neighbor discovery too, reaches every port.
        lines.append(f"link add name {bridge} {mtu} type bridge mcast_snooping 0")
        lines.append(f"link set dev {bridge} alias {network.name} up")
        for end in ends:
            port = next(index)
            lines.append(f"link add name port{port} index {port} {mtu} type veth peer {end}")
            lines.append(f"link set dev port{port} master {bridge} up")
    return "\n".join([*lines, ""])


def interfaces_script(topology: Topology, host: Host) -> str:
    """Return what runs in a host's network namespace once its interfaces are there."""
    lines: list[str] = []
    batch = ["link set dev lo up"]
    for interface in host.interfaces:
        network = topology.network(interface.network)
        if host.ipv6:
            settings = {
                "disable_ipv6": int(not network.ipv6),
                # Nobody else gives out addresses here, and a lab should not wait a second for DAD.
                "accept_dad": 0,
            }
            lines += _sysctls(
                {f"net/ipv6/conf/{interface.name}/{name}": v for name, v in settings.items()}
            )
        if not network.transmit_offload:
            lines.append(f"ethtool -K {interface.name} tx off > /dev/null")
        batch += _interface_batch(interface)
    for route in host.routes:
        device = host.interface_towards(route.gateway).name
        metric = f" metric {route.metric}" if route.metric else ""
        # "onlink", because the far end may still be down: then its subnet is not reachable yet.
        batch.append(
            f"route add {route.destination} via {route.gateway} dev {device}{metric} onlink"
        )
    lines += ["ip -batch - <<'END'", *batch, "END"]
    lines += [_wait_for_link(interface.name) for interface in host.interfaces]
    return "\n".join([*lines, ""])


def _wait_for_link(interface: str) -> str:
    """Return a command that ends once the link is up, which is when IPv6 starts on it."""
    is_up = f"grep -qx up /sys/class/net/{interface}/operstate"
    give_up = f"{{ echo {interface}: no carrier after 5 s >&2; exit 1; }}"
    return (
        f"tries={_LINK_TRIES}; until {is_up}; do "
        f"tries=$((tries - 1)); [ $tries -gt 0 ] || {give_up}; sleep 0.01; done"
    )


def _interface_batch(interface: Interface) -> list[str]:
    lines = [
        f"address add {address} dev {interface.name}" + (" nodad" if address.version == 6 else "")
        for address in interface.addresses
    ]
    return [*lines, f"link set dev {interface.name} up"]


def _sysctls(values: Mapping[str, int]) -> list[str]:
    return [f"echo {value} > /proc/sys/{name}" for name, value in values.items()]


def hosts_file(host: Host, domain: str) -> str:
    """Return a host's /etc/hosts: itself, and nobody else, so that names come from the DNS."""
    return (
        "127.0.0.1 localhost\n"
        f"127.0.1.1 {host.name}.{domain} {host.name}\n"
        "::1 localhost ip6-localhost ip6-loopback\n"
    )


def resolver_file(domain: str, name_servers: tuple[AnyAddress, ...]) -> str:
    """Return /etc/resolv.conf."""
    return "".join([f"search {domain}\n", *(f"nameserver {address}\n" for address in name_servers)])


def name_service_switch_file(machine: str) -> str:
    """Return the machine's nsswitch.conf with host names from /etc/hosts and the DNS alone.

    The machine's own line may name resolvers (systemd-resolved, mDNS) that a lab's host has not.
    """
    lines = [line for line in machine.splitlines() if not line.startswith("hosts:")]
    return "\n".join([*lines, "hosts: files dns", ""])
