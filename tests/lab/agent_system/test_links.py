# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own interfaces: facts, addresses with their ledger, and the socket for routers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from ipaddress import IPv6Address, IPv6Network

from v6ferry.system.link_addresses import LinkAddresses
from v6ferry.system.link_socket import LinkSocket
from v6ferry.system.netlink import Netlink
from v6ferry.system.state import InterfaceAddress, LinkState
from v6ferry.wire.ipv6 import Ipv6Header
from v6ferry.wire.neighbor_discovery import (
    PrefixInformation,
    RouterAdvertisement,
    RouterSolicitation,
    decode,
    encode,
)

from tests.lab.agent_system.namespaces import ip, isolated

OURS, OTHER = IPv6Address("2002:836b:1759:5::1"), IPv6Address("2002:836b:175a:5::1")


def make_lan() -> None:
    ip("link add lan0 type veth peer name host0")
    ip("link set host0 addrgenmode none")
    for name in ("lan0", "host0"):
        ip(f"link set {name} up")
    ip("addr add fe80::a/64 dev host0 nodad")
    deadline = time.monotonic() + 5
    while "tentative" in ip("-6 addr show lan0") or "fe80" not in ip("-6 addr show lan0"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def facts():
    async def run():
        async with Netlink() as netlink:
            return await netlink.links.facts()

    return asyncio.run(run())


def ledger(path, owner, *addresses, method="apply", now=100.0):
    async def run():
        async with Netlink() as netlink:
            books = LinkAddresses(path, netlink.links)
            if method == "release":
                return await books.release(owner)
            return await books.apply(owner, [LinkState("lan0", addresses)], now)

    return asyncio.run(run())


def present() -> dict[str, tuple[int, int]]:
    """(preferred, valid) by address, of what is no link-local address."""
    (link,) = json.loads(ip("-j -6 addr show dev lan0"))
    return {
        one["local"]: (one["preferred_life_time"], one["valid_life_time"])
        for one in link["addr_info"]
        if one["scope"] != "link"
    }


@isolated
def test_facts_of_links():
    make_lan()
    ip("link add off0 type veth peer name off1")
    found = facts()
    assert found["lan0"].is_up
    assert found["lan0"].link_local in IPv6Network("fe80::/64")
    assert found["host0"].link_local == IPv6Address("fe80::a")
    assert not found["off0"].is_up
    assert "lo" not in found


@isolated
def test_a_link_local_address_counts_once_it_is_unique_rfc4862_5_4():
    ip("link add lan0 type veth peer name host0")
    ip("link set lan0 up")
    ip("link set host0 up")
    assert facts()["lan0"].link_local is None


@isolated
def test_addresses_come_with_on_link_routes_and_go_alone(tmp_path):
    make_lan()
    ip("addr add 2001:db8::1/64 dev lan0 nodad")
    books = tmp_path / "addresses.json"
    lines = ledger(books, "a", InterfaceAddress(OURS))
    assert lines == [f"add address {OURS}/64 to lan0"]
    assert str(IPv6Network((OURS, 64), strict=False)) in ip("-6 route show dev lan0")
    assert ledger(books, "a", InterfaceAddress(OURS)) == []
    ledger(books, "b", InterfaceAddress(OTHER))
    assert ledger(books, "a", method="release") == [f"remove address {OURS}/64 from lan0"]
    assert set(present()) == {"2001:db8::1", str(OTHER)}
    ledger(books, "b", method="release")
    assert set(present()) == {"2001:db8::1"}
    assert not books.exists()


@isolated
def test_a_deprecated_address_stays_until_its_time(tmp_path):
    make_lan()
    books = tmp_path / "addresses.json"
    ledger(books, "a", InterfaceAddress(OURS))
    old = InterfaceAddress(OURS, 64, 0.0, 700.0)
    ledger(books, "a", InterfaceAddress(OTHER), old)
    assert present()[str(OURS)][0] == 0
    assert 598 <= present()[str(OURS)][1] <= 600
    ledger(books, "a", InterfaceAddress(OTHER), old, now=701.0)
    assert set(present()) == {str(OTHER)}


@isolated
def test_an_address_that_was_there_before_is_the_administrator_s(tmp_path):
    make_lan()
    ip(f"addr add {OURS}/64 dev lan0 nodad")
    books = tmp_path / "addresses.json"
    assert ledger(books, "a", InterfaceAddress(OURS, 64, 0.0, 700.0)) == []
    assert ledger(books, "a", method="release") == []
    assert set(present()) == {str(OURS)}


@isolated
def test_an_interface_that_has_gone_is_forgotten(tmp_path):
    make_lan()
    books = tmp_path / "addresses.json"
    ledger(books, "a", InterfaceAddress(OURS))
    ip("link del lan0")
    assert ledger(books, "a", method="release") == []
    assert not books.exists()


@isolated
def test_a_stock_host_asks_and_takes_what_it_is_told():
    """rdisc6 as the host: solicitations come in whole, advertisements go out with hop limit 255."""
    make_lan()
    lan = facts()["lan0"]
    router = LinkSocket()
    router.listen({"lan0": lan.index})
    asking = subprocess.Popen(
        ["rdisc6", "-1", "-r", "1", "-w", "3000", "host0"], stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 3
    while True:
        try:
            name, packet = router.receive()
            break
        except BlockingIOError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    header, message = decode(packet)
    assert name == "lan0"
    assert (header.source, header.hop_limit) == (IPv6Address("fe80::a"), 255)
    assert isinstance(message, RouterSolicitation)
    prefix = PrefixInformation(IPv6Network("2002:836b:1759:5::/64"))
    answer = encode(
        RouterAdvertisement(router_lifetime=1800, prefixes=(prefix,)), lan.link_local, header.source
    )
    assert Ipv6Header.parse(answer).hop_limit == 255
    router.send(lan.index, answer, header.source)
    said = asking.communicate(timeout=5)[0]
    assert "2002:836b:1759:5::/64" in said
    assert f"from {lan.link_local}" in said
    assert asking.returncode == 0


@isolated
def test_solicitations_are_heard_only_where_they_are_wanted():
    make_lan()
    router = LinkSocket()
    router.listen({"lan0": facts()["lan0"].index})
    router.listen({})
    subprocess.run(
        ["rdisc6", "-1", "-r", "1", "-w", "200", "host0"], check=False, stdout=subprocess.DEVNULL
    )
    try:
        router.receive()
    except BlockingIOError:
        return
    raise AssertionError("a solicitation came in")
