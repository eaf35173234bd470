# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast path over whatever kind of interface leads to the underlay."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import Lab, LabHost
from tests.lab.fast_path.pair import (
    LINKS,
    SPEC,
    addressed,
    assert_carried,
    carried_by_the_programs,
    doctor,
    has_program,
    ip,
    link_local,
    make_link,
    other,
    running_pair,
    tunnel_address,
    underlay,
)
from tests.lab.isatap.intranet import apply, eventually
from tests.lab.traffic import lost, stream

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts; tests must leave them without addresses and interfaces of their own."""
    with running_pair() as lab:
        yield lab


@contextlib.contextmanager
def link(host: LabHost, name: str, command: str) -> Iterator[str]:
    """An interface more, up."""
    make_link(host, command)
    try:
        ip(host, f"link set {name} up")
        yield name
    finally:
        ip(host, f"link del {name}")


@contextlib.contextmanager
def bridge(host: LabHost, *ports: str) -> Iterator[str]:
    """A bridge with ports, up."""
    with link(host, "br0", "br0 type bridge"):
        for port in ports:
            ip(host, f"link set {port} master br0")
        yield "br0"


def test_ethernet(lab: Lab) -> None:
    with underlay(lab, "eth0", "eth0", "10.1.0") as ends:
        assert_carried(lab, *ends)


def test_bridge_that_has_the_address(lab: Lab) -> None:
    with bridge(lab["left"], "eth0"), underlay(lab, "br0", "eth0", "10.2.0") as ends:
        assert_carried(lab, *ends)
        assert not has_program(lab["left"], "eth0")


def test_macvlan(lab: Lab) -> None:
    with (
        link(lab["left"], "macvlan0", "macvlan0 link eth0 type macvlan mode bridge"),
        underlay(lab, "macvlan0", "eth0", "10.3.0") as ends,
    ):
        assert_carried(lab, *ends)


def test_vlan_beside_the_untagged_traffic_of_its_interface(lab: Lab) -> None:
    command = "vlan10 link eth0 type vlan id 10"
    with (
        link(lab["left"], "vlan10", command),
        link(lab["right"], "vlan10", command),
        underlay(lab, "eth0", "eth0", "10.4.0") as untagged,
        underlay(lab, "vlan10", "vlan10", "10.4.10") as tagged,
    ):
        assert_carried(lab, *tagged)
        assert_carried(lab, *untagged)


def test_bond_whose_active_port_fails_while_a_stream_runs(lab: Lab) -> None:
    left, right = lab["left"], lab["right"]
    with contextlib.ExitStack() as stack:
        for port in LINKS:
            # A bond that goes leaves its ports down.
            stack.callback(ip, left, f"link set {port} up")
        bond = link(left, "bond0", "bond0 type bond mode active-backup miimon 10")
        stack.enter_context(bond)
        for port in LINKS:
            ip(left, f"link set {port} down")
            ip(left, f"link set {port} master bond0")
        ip(left, "link set bond0 type bond active_slave eth0")
        stack.enter_context(bridge(right, *LINKS))
        ends = stack.enter_context(underlay(lab, "bond0", "br0", "10.5.0"))
        assert_carried(lab, *ends)
        with carried_by_the_programs(left, right):
            ping = stream(left, tunnel_address(ends[1]), 2)
            time.sleep(0.5)
            ip(right, "link set eth0 down")
            stack.callback(ip, right, "link set eth0 up")
            # The bond notices within its interval, and tells the bridge that it has moved.
            assert lost(ping) < 200


FORWARD = """
import ctypes, fcntl, os, select, struct, sys
network, kind = ctypes.CDLL(None, use_errno=True), int(sys.argv[1])
ends = []
for namespace in sys.argv[2:]:
    with open(namespace) as file:
        assert network.setns(file.fileno(), 0x40000000) == 0
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", b"ptp0", 0x1001))  # TUN, no header
    if kind:
        fcntl.ioctl(end, 0x400454CD, kind)  # TUNSETLINK
    ends.append(end)
print("ready", flush=True)
while True:
    for end in select.select(ends, [], [])[0]:
        try:
            os.write(ends[end == ends[0]], os.read(end, 65536))
        except OSError:
            pass  # an end that is down
"""


@contextlib.contextmanager
def point_to_point(lab: Lab, kind: int = 0) -> Iterator[None]:
    """An interface ptp0 on each host, joined; of a kind (ARPHRD_*) if one is given."""
    namespaces = [str(lab[name].namespaces["net"]) for name in ("left", "right")]
    process = subprocess.Popen(
        [sys.executable, "-c", FORWARD, str(kind), *namespaces], stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        for name in ("left", "right"):
            ip(lab[name], "link set ptp0 up")
        yield
    finally:
        process.kill()
        process.wait()


def test_point_to_point_link_without_a_link_layer_header(lab: Lab) -> None:
    with point_to_point(lab), underlay(lab, "ptp0", "ptp0", "10.6.0") as ends:
        assert_carried(lab, *ends)


def test_unnumbered_point_to_point_link(lab: Lab) -> None:
    """It borrows the addresses of the Ethernet interfaces, which lead nowhere."""
    left, right = lab["left"], lab["right"]
    with (
        point_to_point(lab),
        addressed(left, "eth0", "10.7.1.1"),
        addressed(right, "eth0", "10.7.2.2"),
    ):
        ip(left, "route add 10.7.2.2 dev ptp0 src 10.7.1.1")
        ip(right, "route add 10.7.1.1 dev ptp0 src 10.7.2.2")
        eventually(lambda: has_program(left, "ptp0") and has_program(right, "ptp0"))
        assert_carried(lab, "10.7.1.1", "10.7.2.2")


def loopback_underlay(host: LabHost, address: str) -> None:
    """Let the tunnel use an address of the loopback interface, which it does only if told."""
    apply(host, "isatap_host", wait=0, **{**SPEC, "underlay_addresses": [f"{address}/32"]})


@pytest.mark.parametrize("numbered", [True, False])
def test_address_of_the_loopback_interface(lab: Lab, numbered: bool) -> None:
    """As routers have it; the links need no IPv4 address of their own (RFC 8950)."""
    left, right = lab["left"], lab["right"]
    ours, theirs = "198.51.100.1", "198.51.100.2"
    with contextlib.ExitStack() as stack:
        for host, address, peer, link_address, gateway in (
            (left, ours, theirs, "10.8.0.1", "10.8.0.2"),
            (right, theirs, ours, "10.8.0.2", "10.8.0.1"),
        ):
            loopback_underlay(host, address)
            stack.callback(apply, host, "isatap_host", wait=0, **SPEC)
            stack.enter_context(addressed(host, "lo", address, 32))
            via = f"inet6 {link_local(other(lab, host), 'eth0')} dev eth0"
            if numbered:
                ip(host, f"address add {link_address}/24 dev eth0")
                stack.callback(ip, host, f"address del {link_address}/24 dev eth0")
                via = gateway
            ip(host, f"route add {peer} via {via} src {address}")
            stack.callback(host.run, ["ip", "route", "del", peer], check=False)
            eventually(lambda host=host: has_program(host, "eth0"))
        assert_carried(lab, ours, theirs)


def test_kind_of_interface_that_the_programs_do_not_know_is_told(lab: Lab) -> None:
    """It works, by the slow path, and doctor says so."""
    infiniband = 32
    left = lab["left"]
    with (
        point_to_point(lab, infiniband),
        addressed(left, "eth0", "10.9.1.1"),
    ):
        ip(left, "address add 10.9.0.1/24 dev ptp0")
        eventually(lambda: "ptp0 goes without the fast path" in doctor(left))
        assert "ARPHRD type 32" in doctor(left)
    eventually(lambda: "without the fast path" not in doctor(left))
