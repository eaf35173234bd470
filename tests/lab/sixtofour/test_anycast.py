# SPDX-License-Identifier: GPL-3.0-or-later
"""A 6to4 relay at the anycast address, for a host that knows no other (RFC 3068, RFC 7526)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.lab import SIXTOFOUR, Lab, LabHost
from tests.lab.isatap.intranet import apply, eventually, pings, status
from tests.lab.sixtofour.internet import RELAY, C
from tests.lab.sixtofour.internet import B as B_IPV4

pytestmark = pytest.mark.lab

ANYCAST = "192.88.99.1"


@pytest.fixture(scope="module")
def lab(plane: str) -> Iterator[Lab]:
    """A relay, and a host whose relay is whoever answers at the anycast address."""
    with Lab(SIXTOFOUR) as lab:
        for name in ("b", "relay"):
            lab[name].start_agent("--plane", plane)
        for one in SIXTOFOUR.hosts:
            if one.ipv4_forwarding and not one.ipv6:
                lab[one.name].run(["ip", "route", "add", "192.88.99.0/24", "via", RELAY])
        apply(lab["b"], "sixtofour_host", relay=ANYCAST)
        yield lab


def addresses(host: LabHost) -> list[str]:
    shown = json.loads(host.run(["ip", "-j", "-4", "addr", "show", "dev", "sixtofour0"]).stdout)
    return [one["local"] for link in shown for one in link.get("addr_info", ())]


def test_nobody_answers_by_default_rfc7526_4(lab):
    apply(lab["relay"], "sixtofour_relay")
    assert addresses(lab["relay"]) == []
    assert not pings(lab["b"], C, wait=0.5)
    assert "RFC 7526" not in lab["relay"].v6ferry("doctor", check=False).stdout


def test_host_that_knows_no_other_relay_reaches_native_hosts_and_is_reached(lab):
    relay, b = lab["relay"], lab["b"]
    outcome = apply(relay, "sixtofour_relay", anycast=True)
    assert "RFC 7526" in outcome["warnings"][0]
    eventually(lambda: addresses(relay) == [ANYCAST])
    with b.capture("eth0", "ip proto 41") as capture:
        eventually(lambda: pings(b, C, wait=0.5))
    ways = {(packet["IP"].src, packet["IP"].dst) for packet in capture.packets}
    # What comes back comes from the relay's own address: that may be filtered and traced.
    assert ways == {(B_IPV4, ANYCAST), (RELAY, B_IPV4)}
    assert ANYCAST in status(relay)["summary"]
    for host in (relay, b):
        assert "RFC 7526" in host.v6ferry("doctor", check=False).stdout


def test_kernel_never_sends_from_the_anycast_address(lab):
    relay = lab["relay"]
    routes = relay.run(["ip", "route", "get", B_IPV4]).stdout
    assert f"src {RELAY}" in routes
    assert "scope host" in relay.run(["ip", "addr", "show", "dev", "sixtofour0"]).stdout


def test_stays_while_the_agent_is_away_and_is_made_again(lab, plane):
    relay, b = lab["relay"], lab["b"]
    relay.kill_agent()
    assert addresses(relay) == [ANYCAST]
    relay.run(["ip", "addr", "del", f"{ANYCAST}/32", "dev", "sixtofour0"])
    relay.start_agent("--plane", plane)
    eventually(lambda: addresses(relay) == [ANYCAST])
    relay.run(["ip", "addr", "del", f"{ANYCAST}/32", "dev", "sixtofour0"])
    eventually(lambda: addresses(relay) == [ANYCAST])
    eventually(lambda: pings(b, C, wait=0.5))


def test_goes_with_the_option(lab):
    relay = lab["relay"]
    apply(relay, "sixtofour_relay")
    eventually(lambda: addresses(relay) == [])
    assert not pings(lab["b"], C, wait=0.5)
