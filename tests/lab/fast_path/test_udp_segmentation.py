# SPDX-License-Identifier: GPL-3.0-or-later
"""UDP super-packets (UDP_SEGMENT) inside the tunnel, as QUIC stacks send them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.lab import ISATAP, Lab, LabHost, bulk, datagrams
from tests.lab.fast_path.pair import (
    BENIGN,
    Passed,
    passing,
    report_groups_at_once,
    running_pair,
    tunnel_address,
    underlay,
)
from tests.lab.isatap.intranet import A, B, C, eventually, pings, set_up

pytestmark = pytest.mark.lab

PORT, SENDS, SIZE = 4243, 50, 1200


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two hosts on an Ethernet link."""
    with running_pair() as lab, underlay(lab, "eth0", "eth0", "10.1.0") as ends:
        eventually(lambda: pings(lab["left"], tunnel_address(ends[1])))
        yield lab


@pytest.fixture
def offload(lab: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """The links do what the parameter says in the words of ethtool, then again what they did."""
    feature = request.param
    for name in ("left", "right"):
        lab[name].run(["ethtool", "-K", "eth0", feature, "off"])
    yield
    for name in ("left", "right"):
        lab[name].run(["ethtool", "-K", "eth0", feature, "on"])


def received(sender: LabHost, receiver: LabHost, address: str, size: int = SIZE) -> dict[str, int]:
    """Send super-packets; return what the receiver says of them."""
    program, expected = [sys.executable, datagrams.__file__], str(SENDS * datagrams.A_SEND)
    listener = receiver.popen(
        [*program, "receive", str(PORT), expected, str(size)], stdout=subprocess.PIPE, text=True
    )
    assert listener.stdout.readline() == "listening\n"
    sender.run([*program, "send", address, str(PORT), str(SENDS), str(size)])
    said: dict[str, int] = json.loads(listener.communicate(timeout=30)[0])
    return said


WHOLE = "proto 41 and greater 1515"
"""What no Ethernet link has, super-packets in a tunnel."""
ALL = {"datagrams": SENDS * datagrams.A_SEND, "right": SENDS * datagrams.A_SEND}


def assert_fast(passed: Passed) -> None:
    """The programs have carried all of it."""
    assert passed.handed_up.keys() <= BENIGN, passed
    assert not passed.drops, passed


def assert_super_packets_pass(lab: Lab) -> None:
    left, right = lab["left"], lab["right"]
    with passing(left) as sent, passing(right) as arrived:
        assert received(left, right, tunnel_address("10.1.0.2")) == ALL
    assert_fast(sent)
    assert_fast(arrived)
    assert sent.packets_out == arrived.packets_in == ALL["datagrams"]


def test_super_packets_stay_whole(lab: Lab) -> None:
    with lab["right"].capture("eth0", WHOLE) as capture:
        assert_super_packets_pass(lab)
    assert max(map(len, capture.packets)) > 40 * SIZE


@pytest.mark.parametrize("offload", ["tx", "tx-udp-segmentation"], indirect=True)
def test_super_packets_are_split_where_the_link_wants_it(lab: Lab, offload: None) -> None:
    with lab["right"].capture("eth0", WHOLE) as capture:
        assert_super_packets_pass(lab)
    assert capture.packets == []


@pytest.fixture(scope="module")
def intranet() -> Iterator[Lab]:
    """Hosts, a router, and a native host behind it."""
    with Lab(ISATAP) as lab:
        report_groups_at_once(*(lab[name] for name in ("a", "b", "router")))
        set_up(lab, plane="ebpf")
        eventually(lambda: pings(lab["a"], C))
        yield lab


@pytest.fixture(params=["on", "off"])
def split_by_the_router(intranet: Lab, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whether the router gets super-packets that it has to split itself."""
    router = intranet["router"]
    for link in ("eth0", "lan0"):
        router.run(["ethtool", "-K", link, "tx", request.param])
    yield
    for link in ("eth0", "lan0"):
        router.run(["ethtool", "-K", link, "tx", "on"])


@pytest.mark.parametrize(("sender", "receiver", "address"), [("a", "c", C), ("c", "a", A)])
def test_super_packets_pass_the_router(
    intranet: Lab, split_by_the_router: None, sender: str, receiver: str, address: str
) -> None:
    with passing(intranet["router"]) as passed:
        assert received(intranet[sender], intranet[receiver], address) == ALL
    assert_fast(passed)


@pytest.fixture
def round_about(intranet: Lab) -> Iterator[Lab]:
    """Host a sends to host b through the router, out of its tunnel and into it again."""
    a = intranet["a"]
    route = [f"{B}/128", "via", "fe80::5efe:a00:1", "dev", "isatap0"]
    a.run(["ip", "-6", "route", "add", *route])
    yield intranet
    a.run(["ip", "-6", "route", "del", *route])


def test_router_sends_back_into_the_tunnel_what_came_out_of_it(
    round_about: Lab, split_by_the_router: None
) -> None:
    a, b, router = (round_about[name] for name in ("a", "b", "router"))

    def by_the_router() -> bool:
        with passing(router) as echo:
            assert pings(a, B)
        return echo.packets_out > 0

    eventually(by_the_router)
    with passing(router) as passed:
        receive = bulk.receive(b, PORT)
        sent = bulk.send(a, B, PORT, 2)(30)
        assert receive(10) == sent
        assert received(a, b, B) == ALL
    # The kernel does not encapsulate twice what has not been on a wire in between.
    assert passed.handed_up.keys() <= BENIGN | {"offload"}, passed
    assert not passed.drops, passed
    assert passed.packets_out > ALL["datagrams"]
