# SPDX-License-Identifier: GPL-3.0-or-later
"""Strangers of the same namespace lab: radvd, rdisc6, scapy and tshark."""

from __future__ import annotations

import subprocess

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import (
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptRouteInfo,
    IPv6,
)

from tests.lab import ISATAP, Lab
from tests.lab.isatap.intranet import (
    LINK_LOCAL_A,
    PREFIX,
    A,
    B,
    C,
    addresses,
    apply,
    eventually,
    pings,
    set_up,
    status,
)
from tests.lab.isatap.test_data_plane import send
from tests.lab.topologies import without_transmit_offload

pytestmark = pytest.mark.lab

RADVD = """
interface isatap0 {
    AdvSendAdvert on;
    UnicastOnly on;
    AdvDefaultLifetime 1500;
    AdvLinkMTU 1300;
    prefix 2001:db8:0:7::/64 { AdvValidLifetime 7000; AdvPreferredLifetime 5000; };
    RDNSS 2001:db8:0:c::53 { };
};
"""


@pytest.fixture
def lab():
    with Lab(ISATAP) as lab:
        yield lab


def test_radvd_over_our_tunnel_interface_configures_our_host(lab):
    """The router forwards and leaves advertising to radvd, with ``UnicastOnly on``."""
    for name in ("router", "a"):
        lab[name].start_agent()
    apply(lab["router"], "isatap_router", prefixes=[PREFIX], advertise=False)
    lab["router"].start_radvd(RADVD)
    apply(lab["a"], "isatap_host", routers=["10.0.0.1"])
    assert addresses(lab["a"]) == {LINK_LOCAL_A, A}
    found = status(lab["a"])
    assert found["mtu"] == 1300
    assert found["dns_servers"] == ["2001:db8:0:c::53"]
    (router,) = found["routers"]
    assert 1400 < router["default_lifetime"] <= 1500
    lifetimes = next(one for one in found["addresses"] if one["address"] == A)
    assert 6900 < lifetimes["valid_lifetime"] <= 7000
    assert 4900 < lifetimes["preferred_lifetime"] <= 5000
    assert pings(lab["a"], C)


def test_rdisc6_gets_a_right_answer_from_our_router(lab):
    for name in ("router", "b"):
        lab[name].start_agent()
    apply(
        lab["router"],
        "isatap_router",
        prefixes=[{**PREFIX, "valid_lifetime": 7000, "preferred_lifetime": 5000}],
        preference="high",
        advertised_mtu=1300,
        dns_servers=["2001:db8:0:c::53"],
    )
    # On b, an interface that leaves router discovery to other programs.
    apply(lab["b"], "isatap_router", advertise=False, forwarding=False)
    command = ["rdisc6", "-1", "-r", "3", "-w", "2000", "fe80::5efe:10.0.0.1", "isatap0"]
    said = lab["b"].run(command).stdout
    for line in (
        "Router preference         :         high",
        "Router lifetime           :         1800",
        "Prefix                   : 2001:db8:0:7::/64",
        "On-link                 :          Yes",
        "Autonomous address conf.:          Yes",
        "Valid time              :         7000",
        "Pref. time              :         5000",
        "MTU                      :         1300",
        "Recursive DNS server     : 2001:db8:0:c::53",
        "from fe80::5efe:a00:1",
    ):
        assert " ".join(line.split()) in " ".join(said.split())


def test_scapy_gets_a_right_answer_from_our_router(lab):
    """A solicitation that scapy makes, an answer that scapy takes apart."""
    lab["router"].start_agent()
    apply(
        lab["router"],
        "isatap_router",
        prefixes=[PREFIX],
        advertised_mtu=1300,
        dns_servers=["2001:db8:0:c::53"],
        routes=[{"prefix": "2001:db8:100::/40", "lifetime": 600}],
    )
    solicitation = (
        IP(src="192.168.47.99", dst="10.0.0.1", proto=41)
        / IPv6(src=LINK_LOCAL_A, dst="fe80::5efe:10.0.0.1", hlim=255)
        / ICMPv6ND_RS()
    )
    with lab["a"].capture("eth0", "proto 41 and src host 10.0.0.1") as capture:
        send(lab["a"], solicitation)
        (answer,) = capture.wait_for(1)
    assert (answer[IP].src, answer[IP].dst) == ("10.0.0.1", "192.168.47.99")
    assert (answer[IPv6].src, answer[IPv6].dst) == ("fe80::5efe:a00:1", LINK_LOCAL_A)
    assert answer[IPv6].hlim == 255
    advertisement = answer[ICMPv6ND_RA]
    assert (advertisement.routerlifetime, advertisement.M, advertisement.O) == (1800, 0, 0)
    prefix = answer[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("2001:db8:0:7::", 64, 1, 1)
    assert (prefix.validlifetime, prefix.preferredlifetime) == (2592000, 604800)
    assert answer[ICMPv6NDOptMTU].mtu == 1300
    assert answer[ICMPv6NDOptRDNSS].dns == ["2001:db8:0:c::53"]
    assert answer[ICMPv6NDOptRouteInfo].plen == 40
    checksum = advertisement.cksum
    del advertisement.cksum
    assert IPv6(bytes(answer[IPv6]))[ICMPv6ND_RA].cksum == checksum


@pytest.fixture
def session():
    """All protocol 41 packets of a start, echoes, TCP, and errors, in one file."""
    # A veth takes packets whose checksums a network card would finish: a capture shows them so.
    with Lab(without_transmit_offload(ISATAP)) as lab:
        with lab["core"].capture("any", "proto 41") as capture:
            set_up(lab, tunnel_mtu="dynamic")
            a = lab["a"]
            assert pings(a, B)
            assert pings(a, C)
            assert pings(a, B, "-s", "1400")
            eventually(lambda: not pings(a, "2001:db8:ffff::1"))
            web = lab["c"].popen(
                ["python3", "-m", "http.server", "--bind", "::", "8000"], stderr=-3
            )
            fetch = (
                "import urllib.request as u;"
                f" print(len(u.urlopen('http://[{C}]:8000/etc/').read()))"
            )
            eventually(lambda: a.run(["python3", "-c", fetch], check=False).returncode == 0)
            web.kill()
        yield capture


CHECKSUMS = ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")


def test_tshark_has_nothing_to_complain_of(session):
    """No malformed packet, no wrong checksum, no warning; and it knows the addresses."""
    preferences = [word for name in CHECKSUMS for word in ("-o", f"{name}:TRUE")]
    tshark = ["tshark", "-n", "-r", str(session.path), *preferences]

    def matching(display_filter):
        done = subprocess.run(
            [*tshark, "-Y", display_filter], capture_output=True, text=True, check=True
        )
        return done.stdout.splitlines()

    complaints = (
        "_ws.malformed || _ws.unreassembled || ip.checksum.status == 0 || tcp.checksum.status == 0"
        " || icmpv6.checksum.status == 0 || (_ws.expert.severity >= 6291456 && !tcp)"
    )
    assert matching(complaints) == []
    assert len(matching("icmpv6.type == 133")) >= 2
    assert len(matching("icmpv6.type == 134")) >= 2
    assert len(matching("icmpv6.type == 128")) >= 3
    assert len(matching("tcp")) >= 10
    assert len(matching("ipv6.src_isatap_ipv4 == 192.168.47.99")) >= 5


def test_scapy_takes_every_packet_apart_and_builds_the_same(session):
    packets = [one[IP] for one in session.packets if one.haslayer(IP)]
    assert len(packets) > 30
    for packet in packets:
        assert packet.haslayer(IPv6)
        raw = bytes(packet[IPv6])
        assert bytes(IPv6(raw)) == raw
        rebuilt = IPv6(raw)
        for layer in (rebuilt, *rebuilt.iterpayloads()):
            for checksum in ("cksum", "chksum"):
                if checksum in layer.fields:
                    delattr(layer, checksum)
        assert bytes(rebuilt) == raw, "a checksum differs"
