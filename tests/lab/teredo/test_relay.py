# SPDX-License-Identifier: GPL-3.0-or-later
"""Our relay between native IPv6 and clients behind real NATs, and relays of hosts' own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, bulk
from tests.lab.isatap.intranet import apply, eventually, pings, refusal, remove
from tests.lab.teredo.internet import (
    H_NATIVE,
    RELAY,
    SERVER,
    C,
    discarded,
    internet,
    serve,
    teredo_address,
)
from tests.lab.teredo.nat import FORESEEN, KINDS, become
from tests.simulation.nat import Kind

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    with internet() as lab:
        serve(lab, plane)
        for name in ("a", "b", "relay"):
            lab[name].start_agent("--plane", plane)
        apply(lab["relay"], "teredo_relay")
        yield lab


def fresh_client(lab: Lab, kind: Kind) -> str:
    remove(lab["b"], "teredo_client")
    become(lab["bnat"], kind)
    apply(lab["b"], "teredo_client", servers=[SERVER])
    return teredo_address(lab["b"], "teredo0")


@pytest.mark.parametrize("kind", [*KINDS, *FORESEEN], ids=lambda kind: kind.value)
def test_client_and_native_host_reach_each_other_rfc4380_5_4(lab: Lab, kind: Kind) -> None:
    fresh_client(lab, kind)
    assert pings(lab["b"], C, wait=4)
    address = fresh_client(lab, kind)
    assert pings(lab["c"], address, wait=4)


def test_bulk_tcp_through_the_relay_arrives_whole(lab: Lab) -> None:
    address = fresh_client(lab, Kind.PORT_RESTRICTED)
    assert pings(lab["c"], address, wait=4)
    for source, target, to in (("c", "b", address), ("b", "c", C)):
        receive = bulk.receive(lab[target], 4242)
        sent = bulk.send(lab[source], to, 4242, 10)
        assert receive(60) == sent(60)


def test_largest_packet_of_a_teredo_interface_passes_rfc4380_5_1_2(lab: Lab) -> None:
    assert pings(lab["b"], C, "-M", "do", "-s", str(1280 - 48), wait=2)
    assert not pings(lab["b"], C, "-M", "do", "-s", str(1281 - 48), wait=0.5)


def test_forged_packet_to_the_relay_is_refused_rfc4380_5_4_2(lab: Lab) -> None:
    """With ``b``'s source, but from ``a``."""
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6  # noqa: PLC0415 - slow to import

    payload = bytes(IPv6(src=teredo_address(lab["b"], "teredo0"), dst=C) / ICMPv6EchoRequest())
    send = f"import socket; socket.socket(2, 2).sendto({payload!r}, ({RELAY!r}, 3545))"
    with lab["c"].capture("eth0", "icmp6[0] == 128") as capture:
        lab["a"].run(["python3", "-c", send])
        why = "outer source is not the mapped address"
        eventually(lambda: discarded(lab["relay"]).get(why, 0) >= 1, 3)
    assert capture.packets == []


def test_relay_refuses_the_server_s_port(lab: Lab) -> None:
    assert "port: 3544 is that of servers" in refusal(lab["relay"], "teredo_relay", port=3544)


# A host that has native IPv6 and IPv4 behind a NAT, and a relay for itself


@pytest.mark.parametrize("there", KINDS[:4], ids=lambda kind: kind.value)
@pytest.mark.parametrize("here", KINDS[:4], ids=lambda kind: kind.value)
def test_host_and_client_reach_each_other_without_a_relay_between_rfc4380_5_4_3(
    lab: Lab, plane: str, here: Kind, there: Kind
) -> None:
    if lab["h"].agent is None:
        lab["h"].start_agent("--plane", plane)
    remove(lab["h"], "teredo_relay")
    become(lab["anat"], here)
    apply(lab["h"], "teredo_relay", host_specific=True, behind_nat=here is not Kind.NONE, wait=5)
    with lab["core"].capture("any", f"udp and host {RELAY}") as through_the_relay:
        assert pings(lab["h"], fresh_client(lab, there), wait=4)
        fresh_client(lab, there)
        assert pings(lab["b"], H_NATIVE, wait=4)
    assert through_the_relay.packets == []


def test_host_specific_relay_leaves_forwarding_alone(lab: Lab) -> None:
    forwarding = lab["h"].run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout
    assert forwarding == "0\n"
