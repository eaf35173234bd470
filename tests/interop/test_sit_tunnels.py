# SPDX-License-Identifier: GPL-3.0-or-later
"""6to4, configured tunnels and 6rd between our agent and the Linux kernel's sit driver.

One guest for all of them; what it is to be, and what we are to be then, is a `Technology`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

import pytest
from v6ferry.addresses.sixrd import delegated_prefix
from v6ferry.addresses.sixtofour import sixtofour_address, sixtofour_prefix

from tests.interop import sit
from tests.interop.guest import Guest
from tests.interop.scene import OURS, THEIRS, Intranet
from tests.interop.stations import GuestStation, LabStation, Station, assert_transfer
from tests.lab import LabHost
from tests.lab.isatap.intranet import apply, eventually, remove
from tests.lab.sixtofour.site import address_in

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("guest_image")]

SUBNET_ID = 1
DOMAIN = IPv6Network("2001:db8::/32")
NATIVE_ROUTER, NATIVE = "2001:db9:0:c::1", "2001:db9:0:c::c"
NOBODY = THEIRS.address + 8
"""A border relay that is not there: customer edges reach each other without."""


@dataclass(frozen=True)
class End:
    """A station and its address."""

    station: Station
    address: IPv6Address


@dataclass(frozen=True)
class Scene:
    """Where our agent runs, what is behind it, and the guest."""

    ours: LabHost
    behind: LabHost
    guest: Guest

    @contextmanager
    def resource(self, kind: str, **spec: object) -> Iterator[None]:
        """Have a resource for the length of a ``with`` block."""
        apply(self.ours, kind, **spec)
        try:
            yield
        finally:
            remove(self.ours, kind)

    @contextmanager
    def tunnel(self, address: str, **options: object) -> Iterator[End]:
        """Have the guest's tunnel for the length of a ``with`` block; see ``sit.make_tunnel``."""
        sit.make_tunnel(self.guest, THEIRS.address, address, **options)
        try:
            own = IPv6Address(address.partition("/")[0])
            yield End(GuestStation(self.guest, sit.INTERFACE), own)
        finally:
            sit.take_tunnel_away(self.guest)

    @contextmanager
    def routing(self, prefix: IPv6Network) -> Iterator[End]:
        """Have a host behind the guest for the length of a ``with`` block."""
        try:
            host, address = sit.start_routing(self.guest, prefix)
            yield End(GuestStation(host, "eth0"), address)
        finally:
            sit.stop_routing(self.guest)

    @contextmanager
    def native(self) -> Iterator[End]:
        """Have native IPv6 behind our agent for the length of a ``with`` block."""
        with ExitStack() as stack:
            for host, interface, address in (
                (self.ours, "lan0", NATIVE_ROUTER),
                (self.behind, "eth0", NATIVE),
            ):
                words = [f"{address}/64", "dev", interface]
                host.run(["ip", "address", "add", *words, "nodad"])
                stack.callback(host.run, ["ip", "address", "del", *words])
            self.behind.run(["ip", "-6", "route", "replace", "default", "via", NATIVE_ROUTER])
            yield End(LabStation(self.behind, "eth0"), IPv6Address(NATIVE))

    def autoconfigured(self, prefix: IPv6Network) -> End:
        """Wait until the stock host behind our agent has an address in a prefix."""
        start = str(prefix.network_address).removesuffix(":")
        eventually(lambda: address_in(self.behind, start) is not None)
        return End(LabStation(self.behind, "eth0"), IPv6Address(address_in(self.behind, start)))


Ends = Iterator[tuple[End, End]]


@contextmanager
def sixtofour_host(scene: Scene) -> Ends:
    """RFC 3056: hosts on their own."""
    own = sixtofour_address(OURS.address)
    with (
        scene.tunnel(f"{sixtofour_address(THEIRS.address)}/16") as theirs,
        scene.resource("sixtofour_host"),
    ):
        yield End(LabStation(scene.ours, "sixtofour0"), own), theirs


@contextmanager
def sixtofour_router(scene: Scene) -> Ends:
    """RFC 3056 section 5.3: sites with a host in each, which is a stock kernel."""
    sites = [sixtofour_prefix(one.address) for one in (OURS, THEIRS)]
    ours, theirs = (IPv6Network((site[SUBNET_ID << 64], 64)) for site in sites)
    private = {"interface": "lan0", "subnet_id": SUBNET_ID}
    with (
        scene.tunnel(f"{sixtofour_address(THEIRS.address)}/16"),
        scene.routing(theirs) as their_host,
        scene.resource("sixtofour_router", private_interfaces=[private]),
    ):
        yield scene.autoconfigured(ours), their_host


@contextmanager
def configured_tunnel(scene: Scene) -> Ends:
    """RFC 4213 section 3."""
    with (
        scene.tunnel("2001:db8:0:e::b/64", remote=OURS.address) as theirs,
        scene.resource(
            "configured_tunnel",
            interface="ct0",
            remote=str(THEIRS.address),
            addresses=["2001:db8:0:e::a/64"],
        ),
    ):
        yield End(LabStation(scene.ours, "ct0"), IPv6Address("2001:db8:0:e::a")), theirs


@contextmanager
def sixrd_ce(scene: Scene) -> Ends:
    """RFC 5969: two customer edges; behind ours there is a stock host."""
    ours, theirs = (delegated_prefix(DOMAIN, one.address, 0) for one in (OURS, THEIRS))
    with (
        scene.tunnel(f"{theirs[1]}/32", sixrd_prefix=DOMAIN) as their_edge,
        scene.resource(
            "sixrd_ce",
            prefix=str(DOMAIN),
            border_relays=[str(NOBODY)],
            private_interfaces=[{"interface": "lan0"}],
        ),
    ):
        yield scene.autoconfigured(ours), their_edge


@contextmanager
def sixtofour_relay(scene: Scene) -> Ends:
    """RFC 3056 section 5.2: a host, our relay, and a native host behind it."""
    address = f"{sixtofour_address(THEIRS.address)}/16"
    with (
        scene.native() as native,
        scene.tunnel(address, default_gateway=OURS.address) as their_host,
        scene.resource("sixtofour_relay"),
    ):
        yield native, their_host


@contextmanager
def sixrd_br(scene: Scene) -> Ends:
    """RFC 5969: our border relay, and a native host behind it."""
    address = f"{delegated_prefix(DOMAIN, THEIRS.address, 0)[1]}/32"
    with (
        scene.native() as native,
        scene.tunnel(address, sixrd_prefix=DOMAIN, default_gateway=OURS.address) as their_edge,
        scene.resource("sixrd_br", prefix=str(DOMAIN)),
    ):
        yield native, their_edge


@pytest.fixture(scope="module")
def internet() -> Iterator[tuple[Intranet, Guest]]:
    with Intranet([OURS]) as internet:
        yield internet, internet.guest_at(THEIRS)


@pytest.fixture(scope="module", params=["userspace", "ebpf"])
def scene(request: pytest.FixtureRequest, internet: tuple[Intranet, Guest]) -> Iterator[Scene]:
    intranet, guest = internet
    ours = intranet.host_at(OURS)
    ours.start_agent("--plane", request.param)
    yield Scene(ours, intranet.host_behind(OURS), guest)
    ours.stop_agent()


@pytest.fixture(
    scope="module",
    params=[
        sixtofour_host,
        sixtofour_router,
        sixtofour_relay,
        configured_tunnel,
        sixrd_ce,
        sixrd_br,
    ],
    ids=lambda technology: technology.__name__,
)
def ends(request: pytest.FixtureRequest, scene: Scene) -> Ends:
    """Our station and that of the kernel's driver."""
    with request.param(scene) as ends:
        yield ends


@pytest.mark.parametrize("size", [56, 1232], ids=["small", "as_large_as_1280_allows"])
def test_each_answers_the_other_s_echo_requests(ends: tuple[End, End], size: int) -> None:
    ours, theirs = ends
    ours.station.ping(theirs.address, size)
    theirs.station.ping(ours.address, size)


@pytest.mark.parametrize("direction", ["to_sit", "from_sit"])
def test_100_megabytes_of_tcp_arrive_intact(
    scene: Scene,
    ends: tuple[End, End],
    direction: str,
    record_property: Callable[[str, object], None],
) -> None:
    sender, receiver = ends if direction == "to_sit" else reversed(ends)
    seconds = assert_transfer(sender.station, receiver.station, receiver.address)
    record_property("seconds", seconds)
    (resource,) = json.loads(scene.ours.v6ferry("show", "--json").stdout)["resources"]
    # The kernel announces the groups of a router, as on any interface (RFC 3810).
    assert resource["status"]["counters"]["drops"].keys() <= {"multicast_not_carried"}
