# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that becomes a router and ceases to be one, on a real kernel."""

from __future__ import annotations

import socket
import time
from ipaddress import IPv6Address
from pathlib import Path

from v6ferry.system.sysctl import SysctlLedger, enable_ipv6_forwarding, write_sysctl
from v6ferry.wire.neighbor_discovery import RouterAdvertisement, RouterPreference, encode

from tests.lab.agent_system.namespaces import ip, isolated

CONF = Path("/proc/sys/net/ipv6/conf")
ROUTER = IPv6Address("fe80::99")


def settings() -> dict[str, str]:
    names = [
        f"{entry.name}/{key}" for entry in CONF.iterdir() for key in ("forwarding", "accept_ra")
    ]
    return {name: (CONF / name).read_text().strip() for name in names}


def make_links() -> None:
    ip("link add eth0 type veth peer name eth0-peer")
    ip("link add eth1 type veth peer name eth1-peer")
    for name in ("eth0", "eth0-peer", "eth1", "eth1-peer"):
        ip(f"link set {name} up")
    write_sysctl("net/ipv6/conf/eth1/forwarding", "1")


def advertise() -> None:
    """Give eth0 a default route as a router on its link would."""
    message = RouterAdvertisement(
        current_hop_limit=64,
        managed=False,
        other_configuration=False,
        preference=RouterPreference.MEDIUM,
        router_lifetime=600,
        reachable_time=0,
        retransmit_timer=0,
    )
    packet = encode(message, ROUTER, IPv6Address("ff02::1"))
    frame = bytes.fromhex("333300000001 020000000099 86dd") + packet
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind(("eth0-peer", 0))
        deadline = time.monotonic() + 5
        while "fe80::99" not in ip("-6 route show default"):
            assert time.monotonic() < deadline, "the kernel took no default route"
            link.send(frame)
            time.sleep(0.1)


@isolated
def test_becoming_a_router_keeps_the_default_route_rfc4861_6_2_1(tmp_path):
    """RFC 4861 section 6.2.1: a router does not take its own routes from advertisements."""
    make_links()
    advertise()
    enable_ipv6_forwarding(SysctlLedger(tmp_path / "ledger.json"), "isatap_router/isatap0")
    assert "fe80::99" in ip("-6 route show default")
    assert settings()["all/forwarding"] == "1"


@isolated
def test_host_is_left_as_it_was_found(tmp_path):
    make_links()
    before = settings()
    ledger = SysctlLedger(tmp_path / "ledger.json")
    promised = enable_ipv6_forwarding(ledger, "a", dry_run=True)
    assert settings() == before
    assert enable_ipv6_forwarding(ledger, "a") == promised
    assert settings()["eth0/forwarding"] == "1"
    enable_ipv6_forwarding(ledger, "b")
    ledger.release("a")
    assert settings()["eth0/forwarding"] == "1"
    ledger.release("b")
    assert settings() == before
