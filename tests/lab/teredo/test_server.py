# SPDX-License-Identifier: GPL-3.0-or-later
"""Our Teredo server, with Debian's miredo for clients behind real NATs."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest
from v6ferry.addresses.teredo import TeredoAddress
from v6ferry.wire.teredo import TeredoDatagram, bubble

from tests.lab import Lab
from tests.lab.isatap.intranet import eventually, pings, remove, status
from tests.lab.teredo.internet import (
    ANAT,
    BNAT,
    SERVER,
    internet,
    serve,
    start_miredo_client,
)

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def served(plane: str) -> Iterator[tuple[Lab, str, str]]:
    """A server and two clients, with their addresses."""
    with internet() as lab:
        serve(lab, plane)
        yield lab, start_miredo_client(lab["a"]), start_miredo_client(lab["b"])


def test_miredo_has_an_address_with_the_endpoint_of_its_nat_rfc4380_5_2_1(served) -> None:
    lab, a, b = served
    for address, nat in ((a, ANAT), (b, BNAT)):
        embedded = int(IPv4Address(nat)) ^ 0xFFFF_FFFF
        assert address.endswith(f"{embedded >> 16:x}:{embedded & 0xFFFF:x}")
    shown = status(lab["server"])
    by_plane = shown["counters"]["rules"].get("answered", 0)
    assert shown["answered"]["advertisements"] + by_plane >= 2


def test_miredo_clients_find_each_other_by_our_server_rfc4380_5_3_1(served) -> None:
    lab, _a, b = served
    with lab["core"].capture("any", f"udp and host {SERVER}") as capture:
        assert pings(lab["a"], b, wait=4)
    assert capture.packets
    assert status(lab["server"])["answered"]["bubbles"] >= 1


def test_forged_bubble_is_refused_and_counted_rfc4380_5_3_1(served) -> None:
    """From ``b``'s address, sent by ``a``: nothing leaves the server."""
    lab, _a, b = served
    forged = TeredoAddress(IPv4Address(SERVER), IPv4Address(BNAT), 9).encode()
    payload = TeredoDatagram(bubble(forged, IPv6Address(b))).build()
    before = status(lab["server"])["answered"]["bubbles"]
    send = f"import socket; socket.socket(2, 2).sendto({payload!r}, ({SERVER!r}, 3544))"
    lab["a"].run(["python3", "-c", send])
    why = "inner source is not the outer one"
    eventually(lambda: status(lab["server"])["discarded"].get(why, 0) >= 1, 3)
    assert status(lab["server"])["answered"]["bubbles"] == before


def test_removal_leaves_nothing(served) -> None:
    lab, _a, _b = served
    remove(lab["server"], "teredo_server")
    assert "teredo0" not in lab["server"].run(["ip", "-o", "link"]).stdout
    assert ":3544" not in lab["server"].run(["ss", "-uln"]).stdout
