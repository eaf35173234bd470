# SPDX-License-Identifier: GPL-3.0-or-later
"""Bulk TCP through the tunnel, whatever network cards and kernels make of its packets before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabHost, bulk
from tests.lab.isatap.intranet import A, B, C, status

pytestmark = pytest.mark.lab

PORT, MEGABYTES = 4242, 20


def interfaces(host: LabHost) -> list[str]:
    lines = host.run(["ip", "-o", "link", "show", "type", "veth"]).stdout.splitlines()
    return [line.split(": ")[1].partition("@")[0] for line in lines]


# Without this the kernel merges what one softirq finds, which between namespaces is one packet.
WAIT_FOR_MORE = """
mount -t sysfs sysfs /mnt
echo 100000 >/mnt/class/net/$1/gro_flush_timeout
echo 10 >/mnt/class/net/$1/napi_defer_hard_irqs
"""


@pytest.fixture
def receive_offload(lab: Lab) -> Iterator[None]:
    """Have every link merge segments, as network cards do; veth does if its peer has no TSO."""
    links = [
        (lab[name], interface)
        for name in ("core", "router", "a", "b")
        for interface in interfaces(lab[name])
    ]
    for host, interface in links:
        host.run(["ethtool", "-K", interface, "tso", "off", "gro", "on"])
        host.run(["unshare", "--mount", "sh", "-ec", WAIT_FOR_MORE, "sh", interface])
    yield
    for host, interface in links:
        host.run(["ethtool", "-K", interface, "tso", "on", "gro", "off"])


def average_packet(
    lab: Lab, sender: str, receiver: str, address: str, by: str | None = None
) -> float:
    """Let a transfer end well; return the octets of an average packet that came out of a tunnel.

    Args:
        lab: the intranet.
        sender: a host.
        receiver: another.
        address: that of the receiver.
        by: the host at the tunnel's end; by default the receiver.
    """
    counted = lab[by or receiver]
    # Before the transfer begins, for in the kernel it may be over within milliseconds.
    before = status(counted)["counters"]
    receive = bulk.receive(lab[receiver], PORT)
    send = bulk.send(lab[sender], address, PORT, MEGABYTES)
    assert receive(60) == send(60)
    after = status(counted)["counters"]
    octets = after["bytes_in"] - before["bytes_in"]
    return float(octets / (after["packets_in"] - before["packets_in"]))


def test_bulk_tcp_arrives_whole(lab: Lab) -> None:
    assert 1200 < average_packet(lab, "a", "b", B) <= 1280


@pytest.mark.parametrize(
    ("sender", "receiver", "address", "by"),
    [
        ("a", "b", B, "b"),
        ("a", "c", C, "router"),
    ],
)
def test_bulk_tcp_arrives_whole_where_the_kernel_merges_segments(
    lab: Lab, plane: str, receive_offload: None, sender: str, receiver: str, address: str, by: str
) -> None:
    """Receive offload looks into protocol 41: raw sockets get packets of up to 64 KiB."""
    # The kernel knows of what it has merged how many packets it was.
    least, most = (2 * 1280, 65535) if plane == "userspace" else (1200, 1280)
    assert least < average_packet(lab, sender, receiver, address, by) <= most


def test_bulk_tcp_comes_back_whole_through_the_router(lab: Lab) -> None:
    assert 1200 < average_packet(lab, "c", "a", A) <= 1280
