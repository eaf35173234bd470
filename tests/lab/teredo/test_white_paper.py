# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures 25 to 29 of the white paper."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest
from scapy.layers.inet import IP, UDP
from v6ferry.addresses.teredo import decode
from v6ferry.wire.teredo import TeredoDatagram, is_bubble

from tests.lab import Lab
from tests.lab.capture import Capture
from tests.lab.isatap.intranet import apply, pings, remove, status
from tests.lab.teredo.internet import (
    ANAT,
    BNAT,
    RELAY,
    SERVER,
    A,
    C,
    internet,
    serve,
    start_client,
    teredo_address,
)
from tests.lab.teredo.nat import become
from tests.simulation.nat import Kind

pytestmark = pytest.mark.lab

OBSOLETE = "3ffe:831f:ce49:7601:8000:efff:7c94:fffe"

A_PORT, B_PORT = 4096, 8192
Step = tuple[tuple[str, int], tuple[str, int], str]
"""Whence, whither, and what."""


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    with internet() as lab:
        become(lab["anat"], Kind.FULL_CONE, str(A_PORT))
        become(lab["bnat"], Kind.PORT_RESTRICTED, str(B_PORT))
        serve(lab, plane)
        lab["relay"].start_agent("--plane", plane)
        apply(lab["relay"], "teredo_relay")
        for name in ("a", "b"):
            start_client(lab[name], plane, cone_bit=True)
        yield lab


def test_addresses_have_the_form_of_figures_26_and_27(lab: Lab) -> None:
    """The paper prints FFFF for A's port once, where its own rule gives EFFF for 4096."""
    a, b = (IPv6Address(teredo_address(lab[name], "teredo0")) for name in ("a", "b"))
    assert str(a).startswith("2001:0:ce49:7601:")
    assert str(a).endswith(":efff:62c3:fffe")
    assert str(b).endswith(":dfff:7c94:fffe")
    for address, cone in ((a, True), (b, False)):
        parts = decode(address)
        assert parts is not None
        assert parts.cone is cone
        assert parts.flags & 0b0100_0011_0000_0000 == 0  # R, U and G


def test_nat_is_shown_as_netsh_shows_it(lab: Lab) -> None:
    assert status(lab["a"])["nat"] == "cone"
    assert status(lab["b"])["nat"] == "restricted"
    assert (status(lab["b"])["mapped_address"], status(lab["b"])["mapped_port"]) == (BNAT, B_PORT)


def test_routes_are_those_of_figure_28(lab: Lab) -> None:
    client = lab["a"].run(["ip", "-6", "route"]).stdout
    assert "default dev teredo0" in client
    relay = lab["relay"].run(["ip", "-6", "route"]).stdout
    assert "2001::/32 dev teredo0" in relay


def test_client_reaches_an_ipv6_only_host_through_the_relay_figure_25(lab: Lab) -> None:
    with lab["core"].capture("any", f"udp and host {RELAY}") as capture:
        assert pings(lab["a"], C, wait=4)
    assert capture.packets


def test_ipv6_only_host_reaches_both_clients_figure_25(lab: Lab) -> None:
    for name in ("a", "b"):
        assert pings(lab["c"], teredo_address(lab[name], "teredo0"), wait=4)


def test_restricted_client_reaches_the_cone_client_at_once(lab: Lab) -> None:
    """No bubble goes before: the cone bit says that the NAT lets everybody in."""
    target = teredo_address(lab["a"], "teredo0")
    with lab["bnat"].capture("wan", f"udp and host {ANAT}") as capture:
        assert pings(lab["b"], target, wait=4)
    assert not is_bubble(TeredoDatagram.parse(bytes(capture.packets[0][UDP].payload)).packet)


def test_restricted_clients_exchange_bubbles_as_in_figure_29(lab: Lab) -> None:
    client_a, client_b, server = (ANAT, A_PORT), (BNAT, B_PORT), (SERVER, 3544)
    steps = [
        (client_a, client_b, "bubble"),
        (client_a, server, "bubble"),
        (server, client_b, "bubble"),
        (client_b, client_a, "bubble"),
        (client_a, client_b, "packet"),
    ]
    for name, port in (("a", A_PORT), ("b", B_PORT)):
        remove(lab[name], "teredo_client")
        become(lab[f"{name}nat"], Kind.PORT_RESTRICTED, str(port))  # which forgets who may come in
        apply(lab[name], "teredo_client", servers=[SERVER], wait=20)
    target = teredo_address(lab["b"], "teredo0")
    with lab["core"].capture("any", "udp") as capture:
        assert pings(lab["a"], target, wait=4)
    assert _seen(capture, steps) == steps


def _seen(capture: Capture, steps: list[Step]) -> list[Step]:
    """Those of ``steps`` that are in a capture, each where it is first."""
    seen: list[Step] = []
    for packet in capture.packets:
        datagram = TeredoDatagram.parse(bytes(packet[UDP].payload))
        source, destination = (
            (packet[IP].src, packet[UDP].sport),
            (packet[IP].dst, packet[UDP].dport),
        )
        step = (source, destination, "bubble" if is_bubble(datagram.packet) else "packet")
        if step in steps and step not in seen:
            seen.append(step)
    return seen


def test_clients_own_address_is_none_of_the_internet_s(lab: Lab) -> None:
    with lab["core"].capture("any", f"host {A}") as capture:
        assert pings(lab["a"], C, wait=4)
    assert capture.packets == []


def test_explain_says_how_a_peer_is_found(lab: Lab) -> None:
    client = "2001:0:ce49:7601:0:dfff:7c94:fff0"
    said = lab["a"].v6ferry("explain", client).stdout
    assert "bubbles to the client's NAT at 131.107.0.15, port 8192" in said
    assert "through its server 206.73.118.1" in said
    said = lab["a"].v6ferry("explain", "2001:db8:0:c::77").stdout
    assert "an echo request through the Teredo server finds its relay first" in said
    said = lab["a"].v6ferry("explain", OBSOLETE, check=False).stdout
    assert "teredo-obsolete address, of IPv4 host 131.107.0.1" in said
    assert "it is dropped" in said
