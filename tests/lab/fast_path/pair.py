# SPDX-License-Identifier: GPL-3.0-or-later
"""Two hosts with agents on the eBPF plane and two links between them, for tests of the underlay.

The links have no IPv4 addresses: each test makes the underlay that it is about, and takes it down
again. Hosts reach each other by the link-local ISATAP addresses of whatever IPv4 addresses they
have.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import pytest
from v6ferry.addresses import isatap_link_local

from tests.lab import Host, Interface, Lab, LabHost, Network, Topology, bulk
from tests.lab.isatap.intranet import addresses, apply, eventually, pings
from tests.lab.programs import programs

TUNNEL = "isatap0"
LINKS = ("eth0", "eth1")
PORT, MEGABYTES = 4242, 3
SPEC: dict[str, Any] = {"routers": [], "link_local": "always"}
"""Of the isatap_host on each of them."""
BENIGN = frozenset({"control", "multicast"})
"""What is handed up beside any traffic: neighbor discovery, and reports of multicast listeners."""


def pair_topology(*, transmit_offload: bool = True) -> Topology:
    """The two hosts, left and right."""
    return Topology(
        "pair",
        networks=tuple(Network(name, transmit_offload=transmit_offload) for name in LINKS),
        hosts=tuple(
            Host(name, tuple(Interface(link, link) for link in LINKS)) for name in ("left", "right")
        ),
    )


def tunnel_address(ipv4: str) -> str:
    """The link-local address of an ISATAP interface, with the interface."""
    return f"{isatap_link_local(IPv4Address(ipv4))}%{TUNNEL}"


def report_groups_at_once(*hosts: LabHost) -> None:
    """Have a new interface say at once which multicast groups it is in (RFC 3810 section 6.1).

    The kernel repeats that after a second, among packets that tests count.
    """
    for host in hosts:
        host.run(
            ["sysctl", "-qw", "net.ipv6.conf.default.mldv2_unsolicited_report_interval=1"]
        )  # ms


@contextlib.contextmanager
def running_pair(*, transmit_offload: bool = True) -> Iterator[Lab]:
    """The two hosts, agents on them."""
    with Lab(pair_topology(transmit_offload=transmit_offload)) as lab:
        report_groups_at_once(lab["left"], lab["right"])
        for name in ("left", "right"):
            lab[name].start_agent("--plane", "ebpf")
            apply(lab[name], "isatap_host", wait=0, **SPEC)
        yield lab


def other(lab: Lab, host: LabHost) -> LabHost:
    """The one that a host is not."""
    return lab["right" if host.name == "left" else "left"]


def ip(host: LabHost, command: str) -> None:
    """Run ip(8) in a host."""
    host.run(["ip", *command.split()])


def link_local(host: LabHost, interface: str) -> str:
    """The IPv6 link-local address of an interface."""
    return next(one for one in addresses(host, interface) if one.startswith("fe80:"))


def doctor(host: LabHost) -> str:
    """What the agent's doctor says."""
    return host.v6ferry("doctor", check=False).stdout


def make_link(host: LabHost, command: str) -> None:
    """Add an interface, or skip the test where the kernel has no such kind of interface."""
    done = host.run(["ip", "link", "add", *command.split()], check=False)
    if "Unknown device type" in done.stderr:
        pytest.skip(f"this kernel has no driver for: ip link add {command}")
    assert done.returncode == 0, done.stderr


def has_program(host: LabHost, interface: str) -> bool:
    """Whether the program that decapsulates is on an interface."""
    return bool(programs(host, interface, "ingress"))


def wait_until_ready(host: LabHost, ipv4: str, *uplinks: str) -> None:
    """Wait until the agent has followed: the tunnel's address is there, and the programs."""
    wanted = tunnel_address(ipv4).partition("%")[0]
    eventually(lambda: wanted in addresses(host))
    for uplink in uplinks:
        eventually(lambda uplink=uplink: has_program(host, uplink))


@contextlib.contextmanager
def addressed(host: LabHost, uplink: str, ipv4: str, length: int = 24) -> Iterator[None]:
    """A host with an IPv4 address, the agent aware of it."""
    ip(host, f"address add {ipv4}/{length} dev {uplink}")
    try:
        wait_until_ready(host, ipv4, *({uplink} - {"lo"}))
        yield
    finally:
        host.run(["ip", "address", "del", f"{ipv4}/{length}", "dev", uplink], check=False)


@contextlib.contextmanager
def underlay(lab: Lab, left: str, right: str, subnet: str) -> Iterator[tuple[str, str]]:
    """Both hosts with an address of a subnet (three octets); yield the addresses."""
    ours, theirs = f"{subnet}.1", f"{subnet}.2"
    with addressed(lab["left"], left, ours), addressed(lab["right"], right, theirs):
        yield ours, theirs


@dataclass(frozen=True)
class Seen:
    """What has passed a host's tunnel so far."""

    packets_in: int
    packets_out: int
    slowly: int
    """Packets that the agent itself has carried: only these does the TUN device count."""
    handed_up: Counter[str]
    drops: Counter[str]


@dataclass
class Passed:
    """What passed during a ``with`` block; complete when it has ended."""

    packets_in: int = 0
    packets_out: int = 0
    slowly: int = 0
    handed_up: Counter[str] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)


def seen(host: LabHost) -> Seen:
    """Read the counters."""
    shown = host.show()
    (resource,) = shown["resources"]
    counters, agent = resource["status"]["counters"], shown["agent"]
    (link,) = json.loads(host.run(["ip", "-j", "-s", "link", "show", TUNNEL]).stdout)
    return Seen(
        counters["packets_in"],
        counters["packets_out"],
        link["stats64"]["rx"]["packets"] + link["stats64"]["tx"]["packets"],
        Counter(counters["handed_up"]) + Counter(agent["unclaimed_handed_up"]),
        Counter(counters["drops"]) + Counter(agent["unclaimed_drops"]),
    )


@contextlib.contextmanager
def passing(host: LabHost) -> Iterator[Passed]:
    """Count what passes during the block."""
    before, passed = seen(host), Passed()
    yield passed
    after = seen(host)
    passed.packets_in = after.packets_in - before.packets_in
    passed.packets_out = after.packets_out - before.packets_out
    passed.slowly = after.slowly - before.slowly
    passed.handed_up = after.handed_up - before.handed_up
    passed.drops = after.drops - before.drops


@contextlib.contextmanager
def carried_by_the_programs(*hosts: LabHost, least: int = 1) -> Iterator[None]:
    """Fail if the agents carry a packet of the block, or the programs carry too few.

    Args:
        hosts: at both ends.
        least: packets each way.
    """
    with contextlib.ExitStack() as stack:
        counts = [stack.enter_context(passing(host)) for host in hosts]
        yield
    for host, passed in zip(hosts, counts, strict=True):
        assert not passed.handed_up.keys() - BENIGN, (host, passed)
        assert not passed.drops, (host, passed)
        assert passed.slowly <= passed.handed_up["multicast"], (host, passed)
        assert min(passed.packets_in, passed.packets_out) >= least, (host, passed)


def transfers(sender: LabHost, receiver: LabHost, ours: str, theirs: str) -> None:
    """Send TCP through the tunnel, between two IPv4 endpoints, and compare both ends."""
    receive = bulk.receive(receiver, PORT)
    send = bulk.send(sender, tunnel_address(theirs), PORT, MEGABYTES, tunnel_address(ours))
    sent = send(30)
    assert receive(10) == sent


def assert_carried(lab: Lab, ours: str, theirs: str) -> None:
    """Echo and TCP pass the tunnel both ways, all of it by the programs."""
    left, right = lab["left"], lab["right"]
    # Neighbours of the underlay are resolved, and what an address's arrival caused has passed.
    eventually(lambda: pings(left, tunnel_address(theirs), "-I", tunnel_address(ours)))
    with carried_by_the_programs(left, right, least=MEGABYTES * 100):
        assert pings(left, tunnel_address(theirs), "-I", tunnel_address(ours))
        assert pings(right, tunnel_address(ours), "-I", tunnel_address(theirs))
        transfers(left, right, ours, theirs)
        transfers(right, left, theirs, ours)
