# SPDX-License-Identifier: GPL-3.0-or-later
"""Records the packets that ``test_captured.py`` replays.

``python -m tests.lab.fast_path.record`` records all scenes, or those that are named.

What labs put on the underlay is written to ``captured/``, a file for each scene: our agents among
themselves, and with the Linux kernel's sit driver as host and as router, which needs what
``make interop`` needs. Host A has 192.168.47.99 in all of them, the router 10.0.0.1.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.interop.scene import HOST, ROUTER, Intranet
from tests.interop.test_sit_isatap import our_host, our_router, sit_host, sit_router
from tests.lab import ISATAP, Lab, LabHost
from tests.lab.isatap.intranet import LINK_LOCAL_B, A, B, C, eventually, pings, set_up
from tests.lab.topologies import without_transmit_offload
from tests.lab.topology import Topology
from tests.lab.traffic import iperf_server

CAPTURED = Path(__file__).with_name("captured")
FILTER = "ip proto 41"
OCTETS = "40K"
"""Of TCP in a scene."""
DATAGRAM = """
import socket, sys
socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b"news", (sys.argv[1], 9))
"""


@contextlib.contextmanager
def scene(name: str, host: LabHost, interface: str = "eth0") -> Iterator[None]:
    """Keep what passes an interface meanwhile."""
    with host.capture(interface, FILTER) as capture:
        yield
    shutil.copy(capture.path, CAPTURED / f"{name}.pcap")
    print(f"{name}: {capture.path.stat().st_size} octets", flush=True)


@contextlib.contextmanager
def intranet(topology: Topology = ISATAP, **spec: str) -> Iterator[Lab]:
    """The white paper's intranet, in which A reaches C."""
    with Lab(topology) as lab:
        set_up(lab, **spec)
        eventually(lambda: pings(lab["a"], C))
        yield lab


def ping(host: LabHost, target: str, *options: str) -> None:
    """Send echo requests, whatever comes of them."""
    host.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", *options, target], check=False)


def narrow(core: LabHost, mtu: int) -> None:
    """Let the underlay between A and the router carry no larger IPv4 packets."""
    for subnet, interface in (("10.0.0.0/24", "eth0"), ("192.168.47.0/24", "eth1")):
        way = ["dev", interface, "mtu", "lock", str(mtu)]
        core.run(["ip", "route", "replace", subnet, *way])


def start() -> None:
    """Agents start; their hosts find the router."""
    with Lab(ISATAP) as lab, scene("start", lab["a"]):
        set_up(lab)
        eventually(lambda: pings(lab["a"], C))


def echoes() -> None:
    """Echoes of several sizes, ECN codepoints and DSCPs, to hosts of the link and beyond."""
    with intranet() as lab, scene("echoes", lab["a"]):
        for target in (B, C, f"{LINK_LOCAL_B}%isatap0"):
            for options in (("-s", "0"), ("-s", "1232"), ("-Q", "0xb9"), ("-Q", "3")):
                ping(lab["a"], target, *options)
            ping(lab["a"], target, "-t", "1")
        ping(lab["b"], A)
        ping(lab["c"], A)


def tcp() -> None:
    """TCP, with super-packets where links have offload and without them."""
    for name, topology in (
        ("tcp", ISATAP),
        ("tcp-without-offload", without_transmit_offload(ISATAP)),
    ):
        with (
            intranet(topology, tunnel_mtu="dynamic") as lab,
            iperf_server(lab["a"]),
            scene(name, lab["a"]),
        ):
            lab["c"].run(["iperf3", "-n", OCTETS, "-l", OCTETS, "-c", A])


def errors() -> None:
    """ICMPv6 errors: no route, address and port unreachable, hop limit, packet too big."""
    with intranet(tunnel_mtu="dynamic") as lab:
        narrow(lab["core"], 1400)
        with scene("errors", lab["a"]):
            ping(lab["a"], "2001:db8:99::1", "-W", "4")
            ping(lab["a"], "2001:db8:0:c::99", "-W", "4")
            ping(lab["a"], C, "-t", "1")
            for host, target in ((lab["a"], C), (lab["c"], A)):
                ping(host, target, "-s", "1400", "-M", "do")
            lab["router"].run(["ip", "link", "set", "lan0", "mtu", "1300"])
            ping(lab["a"], C, "-s", "1300", "-M", "do")
            lab["c"].run([sys.executable, "-c", DATAGRAM, A])
            time.sleep(0.2)


def fragments() -> None:
    """Fragments of the inner packets, and of the outer ones behind a narrow link."""
    with intranet() as lab:
        with scene("fragments-inner", lab["a"]):
            ping(lab["a"], C, "-s", "3000")
        narrow(lab["core"], 1000)
        with scene("fragments-outer", lab["a"]):
            ping(lab["c"], A, "-s", "1200")
            ping(lab["a"], C, "-s", "1200")


def redirects() -> None:
    """A goes by the router to a host of the link."""
    with intranet() as lab, scene("redirects", lab["a"]):
        way = ["via", "fe80::5efe:a00:1", "dev", "isatap0"]
        lab["a"].run(["ip", "-6", "route", "add", f"{B}/128", *way])
        time.sleep(1.5)
        ping(lab["a"], B)


def sit() -> None:
    """The Linux kernel's driver at the other end."""
    guest_image = Path(__file__).parents[3] / "tools" / "guest-image.sh"
    subprocess.run([guest_image], check=True, stdout=subprocess.DEVNULL)
    for name, ours in (("sit-host", ROUTER), ("sit-router", HOST)):
        with Intranet([ours]) as underlay, scene(name, underlay.underlay, ours.label):
            router = our_router(underlay) if ours is ROUTER else sit_router(underlay)
            host = our_host(underlay) if ours is HOST else sit_host(underlay)
            eventually(partial(_pings, host.ping, ROUTER.isatap_address), 30)
            router.ping(HOST.isatap_address, 1232)
            host.ping(ROUTER.isatap_link_local)


def _pings(ping_once: Callable[..., str], *arguments: object) -> bool:
    with contextlib.suppress(Exception):
        ping_once(*arguments)
        return True
    return False


SCENES = (start, echoes, tcp, errors, fragments, redirects, sit)


def main(names: list[str]) -> None:
    """Record the scenes of these names; all if there are none."""
    CAPTURED.mkdir(exist_ok=True)
    for record in SCENES:
        if not names or record.__name__ in names:
            record()


if __name__ == "__main__":
    main(sys.argv[1:])
