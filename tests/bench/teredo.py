# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo between two clients and through a relay, beside plain IPv4 and miredo.

The clients have public addresses, so that plain IPv4 takes the same way. They are on one
link; but to the native host behind the relay packets go through two routers, none of which
translates. Each host at an end has a core to itself, or both share both as a veth has it, which has
packets overtake each other (``a_core_each``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, ip_address, ip_interface
from typing import NamedTuple

from tests.bench.comparison import BenchError, Comparison
from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import apply, pings
from tests.lab.processes import wait_until
from tests.lab.teredo.internet import (
    INTERNET,
    SECONDARY,
    SERVER,
    B,
    C,
    internet,
    serve,
    start_client,
    start_miredo_client,
    start_miredo_server,
)
from tests.lab.topologies import without_transmit_offload
from tests.lab.topology import Host, Interface, Network, Route, Topology
from tests.lab.traffic import a_core_each, iperf_server, tcp_bits_per_second
from tests.simulation.nat import Kind

A = "206.73.118.254"
LINK = Topology(
    "teredo-link",
    (Network("link", ipv6=False), Network("uplink", ipv6=False)),
    (
        Host(
            "a",
            (
                Interface("eth0", "link", (ip_interface("131.107.1.1/24"),)),
                Interface("eth1", "uplink", (ip_interface(f"{A}/24"),)),
            ),
            ipv4_forwarding=True,
        ),
        Host(
            "b",
            (Interface("eth0", "link", (ip_interface(f"{B}/24"),)),),
            (Route(IPv4Network("0.0.0.0/0"), ip_address("131.107.1.1")),),
        ),
        Host(
            "server",
            (
                Interface(
                    "eth0",
                    "uplink",
                    tuple(ip_interface(f"{one}/24") for one in (SERVER, SECONDARY)),
                ),
            ),
            (Route(IPv4Network("0.0.0.0/0"), ip_address(A)),),
        ),
    ),
)
"""``a`` and ``b`` on one link; ``b`` has its way to the server through ``a``."""
PACKETS = without_transmit_offload(LINK)
"""The same where whoever sends makes packets of what TCP has."""
_SECONDS = 2  # of each measurement


@contextlib.contextmanager
def comparisons() -> Iterator[Sequence[Comparison]]:
    """Yield the comparisons; the labs they run in are up as long."""
    with contextlib.ExitStack() as labs:
        enter = labs.enter_context
        ours, theirs = enter(_ours(LINK)), enter(_miredo(LINK))
        packets, their_packets = enter(_ours(PACKETS)), enter(_miredo(PACKETS))
        far = enter(_ours(INTERNET))
        no_offload = "TCP, no offload on the links"
        yield [
            *_comparisons("TCP", 0.95, ours, ours.to(B), "plain IPv4"),
            *_comparisons(no_offload, 0.75, packets, packets.to(B), "plain IPv4"),
            *_comparisons("TCP", 20, ours, theirs.to(theirs.b), "miredo"),
            *_comparisons(no_offload, 2, packets, their_packets.to(their_packets.b), "miredo"),
            Comparison(
                "Teredo relay, eBPF plane, to plain IPv4: TCP",
                "Mbit/s",
                0.8,
                ours=far.to(C, "c").megabits,
                peer=far.to(B).megabits,
            ),
        ]


def _comparisons(
    what: str, goal: float, ours: _Hosts, peer: _Way, called: str
) -> Iterator[Comparison]:
    name = f"Teredo, eBPF plane, to {called}: {what}"
    way = ours.to(ours.b)
    yield Comparison(name, "Mbit/s", goal, ours=way.megabits, peer=peer.megabits)
    yield Comparison(
        f"{name}, cores shared",
        "Mbit/s",
        goal,
        ours=way.megabits_on_shared_cores,
        peer=peer.megabits_on_shared_cores,
    )


class _Hosts(NamedTuple):
    """A lab whose hosts reach each other."""

    lab: Lab
    b: str
    """The Teredo address of host b."""

    def to(self, target: str, receiver: str = "b") -> _Way:
        """Return the way from host a to an address of a receiver."""
        return _Way(self.lab["a"], self.lab[receiver], target)


class _Way(NamedTuple):
    source: LabHost
    receiver: LabHost
    target: str

    def megabits(self) -> float:
        with a_core_each(self.source, self.receiver):
            return self.megabits_on_shared_cores()

    def megabits_on_shared_cores(self) -> float:
        return tcp_bits_per_second(self.source, self.target, _SECONDS) / 1e6


@contextlib.contextmanager
def _ours(topology: Topology) -> Iterator[_Hosts]:
    with _lab(topology) as lab:
        serve(lab, "ebpf", rate_limit=0)
        for name in ("a", "b"):
            address = start_client(lab[name], "ebpf", tunnel_mtu="dynamic")
        with iperf_server(lab["b"]):
            _wait_for(lab, address)
            if topology is not INTERNET:
                yield _Hosts(lab, address)
                return
            lab["relay"].start_agent("--plane", "ebpf")
            apply(lab["relay"], "teredo_relay", tunnel_mtu="dynamic")
            _wait_for(lab, C)
            with iperf_server(lab["c"]):
                yield _Hosts(lab, address)


@contextlib.contextmanager
def _miredo(topology: Topology) -> Iterator[_Hosts]:
    with _lab(topology) as lab:
        start_miredo_server(lab["server"])
        # It would send to b from another address than to the server.
        start_miredo_client(lab["a"], f"BindAddress {A}")
        address = start_miredo_client(lab["b"])
        with iperf_server(lab["b"]):
            _wait_for(lab, address)
            yield _Hosts(lab, address)


@contextlib.contextmanager
def _lab(topology: Topology) -> Iterator[Lab]:
    lab = internet(Kind.NONE, Kind.NONE) if topology is INTERNET else Lab(topology)
    with lab as entered:
        yield entered


def _wait_for(lab: Lab, target: str) -> None:
    if not wait_until(lambda: pings(lab["a"], target, wait=1), 10):
        raise BenchError(f"host a does not reach {target} within 10 s")
