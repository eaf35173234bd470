# SPDX-License-Identifier: GPL-3.0-or-later
"""ISATAP between our agent and the Linux kernel's sit driver, each as host and as router.

The first of the three pairs is sit with sit: it shows that the strangers and their stage are sound,
so that what fails only in the other two is ours.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.interop import sit
from tests.interop.scene import HOST, PREFIX, ROUTER, Intranet, Place
from tests.interop.stations import GuestStation, LabStation, Station, assert_transfer
from tests.lab import LabHost

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("guest_image")]

OUR_INTERFACE = "isatap0"
ADDRESS_SECONDS = 20.0
"""A host solicits at once, then every 4 s, three times in all (RFC 4861 §10); the rest is slack."""


@dataclass(frozen=True)
class Pair:
    """An ISATAP host and an ISATAP router that run, and where."""

    intranet: Intranet
    host: Station
    router: Station


def sit_host(intranet: Intranet) -> Station:
    guest = intranet.guest_at(HOST)
    sit.start_isatap_host(guest, [ROUTER.address])
    return GuestStation(guest, sit.INTERFACE)


def sit_router(intranet: Intranet) -> Station:
    guest = intranet.guest_at(ROUTER)
    sit.start_isatap_router(guest, ROUTER.address, PREFIX, f"{ROUTER.isatap_address}/64")
    return GuestStation(guest, sit.INTERFACE)


def our_host(intranet: Intranet, plane: str = "auto") -> Station:
    return _ours(intranet, HOST, plane, "isatap_host", {"routers": [str(ROUTER.address)]})


def our_router(intranet: Intranet, plane: str = "auto") -> Station:
    spec = {"prefixes": [{"prefix": str(PREFIX)}]}
    return _ours(intranet, ROUTER, plane, "isatap_router", spec)


def _ours(
    intranet: Intranet, place: Place, plane: str, kind: str, spec: dict[str, object]
) -> Station:
    host: LabHost = intranet.host_at(place)
    host.start_agent("--plane", plane)
    resource = {"kind": kind, "name": OUR_INTERFACE, "state": "present", "spec": spec}
    host.write("/run/wanted.json", json.dumps([resource]))
    host.v6ferry("apply", "/run/wanted.json")
    return LabStation(host, OUR_INTERFACE)


@pytest.fixture(
    scope="module",
    params=[
        "sit_host-sit_router",
        *(
            f"{pair}-{plane}"
            for pair in ("sit_host-our_router", "our_host-sit_router")
            for plane in ("userspace", "ebpf")
        ),
    ],
)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    host_make, router_make, *planes = request.param.split("-")
    ours = [
        place
        for place, make in ((HOST, host_make), (ROUTER, router_make))
        if make.startswith("our_")
    ]
    with Intranet(ours) as intranet:
        # The router first, so that the host's first solicitation is answered.
        router = our_router(intranet, *planes) if ROUTER in ours else sit_router(intranet)
        host = our_host(intranet, *planes) if HOST in ours else sit_host(intranet)
        yield Pair(intranet, host, router)


def test_host_forms_its_addresses_from_the_router_s_prefix_rfc5214_6_1(pair: Pair) -> None:
    """RFC 5214 §6.1, §6.2 and §7.4 (link-local): identifier 0:5efe and the IPv4 address."""
    shown = _eventually_shows(
        pair.host, f"ip -6 address show dev {pair.host.interface}", HOST.isatap_address
    )
    assert f"{HOST.isatap_address}/64 scope global" in shown
    assert f"{HOST.isatap_link_local}/64 scope link" in shown


def test_host_takes_its_default_route_from_the_router_rfc4861_6_3_4(pair: Pair) -> None:
    """RFC 4861 §6.3.4: the advertisement's sender, a link-local address, is the default router."""
    shown = _eventually_shows(pair.host, "ip -6 route show default", ROUTER.isatap_link_local)
    assert re.search(rf"default via {ROUTER.isatap_link_local} dev {pair.host.interface} ", shown)


@pytest.mark.parametrize("size", [56, 1232], ids=["small", "as_large_as_1280_allows"])
def test_each_answers_the_other_s_echo_requests(pair: Pair, size: int) -> None:
    pair.host.ping(ROUTER.isatap_address, size)
    pair.router.ping(HOST.isatap_address, size)


def test_each_answers_the_other_s_echo_requests_to_its_link_local_address(pair: Pair) -> None:
    pair.host.ping(ROUTER.isatap_link_local)
    pair.router.ping(HOST.isatap_link_local)


@pytest.mark.parametrize("direction", ["host_to_router", "router_to_host"])
def test_100_megabytes_of_tcp_arrive_intact(
    pair: Pair, direction: str, record_property: Callable[[str, object], None]
) -> None:
    if direction == "host_to_router":
        sender, receiver, destination = pair.host, pair.router, ROUTER.isatap_address
    else:
        sender, receiver, destination = pair.router, pair.host, HOST.isatap_address
    record_property("seconds", assert_transfer(sender, receiver, destination))


def _eventually_shows(station: Station, command: str, wanted: object) -> str:
    deadline = time.monotonic() + ADDRESS_SECONDS
    while True:
        shown = station.attempt(command)[1]
        if f" {wanted}" in shown or time.monotonic() > deadline:
            return shown
        time.sleep(0.2)
