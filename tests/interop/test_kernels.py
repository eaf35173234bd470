# SPDX-License-Identifier: GPL-3.0-or-later
"""Our agent on other kernels: Debian's, older and newer than that of this machine.

In a guest, our agent in one network namespace talks with the kernel's sit driver in another.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.interop.guest import DEBIAN_12, KERNELS, Guest
from tests.interop.namespaces import BOND, VLAN, Namespace, Uplink, join

pytestmark = pytest.mark.interop

_SUITES = ("bullseye", DEBIAN_12, "bookworm-backports", "trixie-backports")
"""Kernels 5.10, 6.1, 6.12, and the newest that Debian makes for its stable release."""
_NO_SOURCE = ("bullseye",)
"""Those that do not tell programs which source address routing prefers."""
_BYTES = 2_000_000
_NEARLY_ALL = 1_800_000
"""iperf3 ends a transfer when it has handed over the last of it, which may still be on its way."""
_TUNNEL = "isatap0"


@pytest.fixture(scope="module", params=_SUITES)
def guest(request, guest_image):
    """A guest with the kernel of a Debian suite and our agent."""
    suite = request.param
    missing = KERNELS / suite / "missing"
    if missing.exists():
        pytest.skip(f"there is no kernel of {suite}: {missing.read_text().strip()}")
    with Guest(suite, kernel=suite, with_agent=True) as guest:
        yield guest


def _exchange(ours: Namespace, other: Namespace) -> None:
    """Exchange echoes and a transfer of TCP each way between our tunnel and one of sit."""
    other.add_sit("is0")
    spec = {"link_local": "always", "tunnel_mtu": "dynamic", "routers": [str(other.address)]}
    ours.apply({"kind": "isatap_host", "name": "default", "spec": spec})
    target = f"{other.link_local}%{_TUNNEL}"
    ours.eventually(f"ping -6 -c 1 -W 1 {target}", 10)
    # One that just fits the tunnel, and one that becomes fragments.
    for size in (1480 - 48, 2000):
        ours.check(f"ping -6 -c 1 -W 3 -s {size} {target}")
    other.start("exec iperf3 --server")
    other.eventually("grep -q :1451 /proc/net/tcp6", 20)
    for direction in ("", "--reverse"):
        iperf = f"iperf3 --json --client {target} --bytes {_BYTES} {direction}"
        report = json.loads(ours.check(iperf, 60))
        assert report["end"]["sum_sent"]["bytes"] >= _NEARLY_ALL


def _status(ours: Namespace) -> dict[str, Any]:
    (resource,) = ours.show()["resources"]
    return resource["status"]


def test_programs_carry_traffic_in_the_kernel(guest):
    ours, other = join(guest, 1)
    ours.start_agent()
    _exchange(ours, other)
    agent, status = ours.show()["agent"], _status(ours)
    assert (agent["plane"], agent["plane_reason"], status["plane"]) == ("eBPF", None, "eBPF")
    counters = status["counters"]
    assert counters["drops"] == {}
    assert min(counters["bytes_out"], counters["bytes_in"]) > _NEARLY_ALL
    handed_up = {**counters["handed_up"], **agent["unclaimed_handed_up"]}
    # Router discovery, and what came before everything was in its place.
    assert sum(handed_up.values()) <= 5, handed_up
    assert "ok      plane" in ours.v6ferry("doctor").output

    # A source that embeds no address of the host, which has two to choose from.
    ours.check("ip address add 192.168.1.98/24 dev eth0")
    ours.check("ip address add 2001:db8::9/128 dev lo nodad")
    ours.eventually(f"ip address show dev {_TUNNEL} | grep -q 5efe:c0a8:162", 20)
    before = _status(ours)["counters"]
    ours.run(f"ping -6 -c 3 -W 1 -I 2001:db8::9 {other.link_local}%{_TUNNEL}")
    after = _status(ours)["counters"]
    assert after["packets_out"] >= before["packets_out"] + 3
    assert ("no_source" in after["handed_up"]) == (guest.label in _NO_SOURCE)


@pytest.mark.parametrize("guest", [DEBIAN_12], indirect=True)
def test_agent_that_may_not_load_programs_carries_traffic_itself_and_says_why(guest):
    ours, other = join(guest, 2)
    ours.start_agent(may_load_bpf=False)
    _exchange(ours, other)
    agent = ours.show()["agent"]
    assert agent["plane"] == "userspace"
    assert "CAP_BPF" in agent["plane_reason"]
    status = _status(ours)
    assert status["plane"] == "userspace"
    assert status["counters"]["bytes_out"] > _NEARLY_ALL
    doctor = ours.v6ferry("doctor").output
    assert "warning plane: the userspace plane runs: the kernel does not permit BPF" in doctor


@pytest.mark.parametrize("guest", [DEBIAN_12], indirect=True)
@pytest.mark.parametrize(("number", "uplink"), [(3, VLAN), (4, BOND)], ids=["vlan", "bond"])
def test_programs_serve_vlans_and_bonds(guest: Guest, number: int, uplink: Uplink):
    ours, other = join(guest, number, uplink=uplink)
    ours.start_agent()
    _exchange(ours, other)
    counters = _status(ours)["counters"]
    assert _status(ours)["plane"] == "eBPF"
    assert counters["bytes_in"] > _NEARLY_ALL
    assert sum(counters["handed_up"].values()) <= 5, counters
