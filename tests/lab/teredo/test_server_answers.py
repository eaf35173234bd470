# SPDX-License-Identifier: GPL-3.0-or-later
"""Solicitations that planes answer, once the engine has answered one like them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from v6ferry.engines.teredo.qualification import ALL_ROUTERS, CONE_LINK_LOCAL, LINK_LOCAL
from v6ferry.wire.neighbor_discovery import RouterSolicitation, encode
from v6ferry.wire.teredo import Authentication, TeredoDatagram

from tests.lab import Lab
from tests.lab.isatap.intranet import apply, eventually, remove, status
from tests.lab.teredo.internet import SECONDARY, SERVER, internet, serve
from tests.simulation.nat import Kind

pytestmark = pytest.mark.lab

ASK = """
import json, socket, sys
server, count, payloads = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK: nobody finishes checksums here
asking.bind(("", 40000))
asking.settimeout(1)
answers = []
for payload in payloads * count:
    asking.sendto(bytes.fromhex(payload), (server, 3544))
try:
    while len(answers) < count * len(payloads):
        data, (address, port) = asking.recvfrom(2048)
        answers.append([data.hex(), address, port])
except TimeoutError:
    pass
print(json.dumps(answers))
"""


def solicitation(nonce: bytes, source=LINK_LOCAL) -> bytes:
    packet = encode(RouterSolicitation(), source, ALL_ROUTERS)
    return TeredoDatagram(packet, authentication=Authentication(nonce)).build()


def ask(lab: Lab, *payloads: bytes, count: int = 1, server: str = SERVER) -> list[list]:
    """What comes back to ``a``: payload, address and port, each."""
    hexadecimal = json.dumps([one.hex() for one in payloads])
    said = lab["a"].run(["python3", "-c", ASK, server, str(count), hexadecimal]).stdout
    answers: list[list] = json.loads(said)
    return answers


def by_engine(lab: Lab) -> int:
    """Datagrams that the engine has had to look at."""
    return status(lab["server"])["counters"]["handed_up"].get("engine", 0)


def by_plane(lab: Lab) -> int:
    """Datagrams that the plane has answered by itself."""
    count: int = status(lab["server"])["counters"]["rules"].get("answered", 0)
    return count


@pytest.fixture(scope="module", params=["ebpf", "userspace"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with internet(Kind.NONE, Kind.NONE) as lab:
        serve(lab, request.param, rate_limit=0)
        yield lab


@pytest.mark.parametrize("source", [LINK_LOCAL, CONE_LINK_LOCAL])
@pytest.mark.parametrize("server", [SERVER, SECONDARY])
def test_plane_answers_as_the_engine_does_rfc4380_5_3_2(lab: Lab, server: str, source) -> None:
    first, second = b"\1" * 8, b"\2" * 8
    ((answer, address, port),) = ask(lab, solicitation(first, source), server=server)
    eventually(lambda: ask(lab, solicitation(first, source), server=server) != [])
    before, answered = by_engine(lab), by_plane(lab)
    answers = ask(lab, solicitation(second, source), count=50, server=server)
    assert (by_engine(lab), by_plane(lab)) == (before, answered + 50)
    assert answers == [[answer.replace(first.hex(), second.hex()), address, port]] * 50
    assert TeredoDatagram.parse(bytes.fromhex(answers[0][0])).origin is not None


def test_what_is_not_alike_goes_to_the_engine(lab: Lab) -> None:
    before = by_engine(lab)
    refused = bytearray(solicitation(bytes(8)))
    refused[12] = 1  # the confirmation
    other = bytearray(solicitation(bytes(8)))
    other[-1] ^= 1
    longer = solicitation(bytes(8)) + b"\x22\x01\xff"
    ask(lab, bytes(refused), bytes(other), longer)
    assert by_engine(lab) == before + 3


def test_private_source_is_answered_by_nobody_rfc4380_5_3_1(lab: Lab) -> None:
    lab["a"].run(["ip", "addr", "add", "10.9.9.9/32", "dev", "eth0"])
    send = (
        "import socket; s = socket.socket(2, 2); s.setsockopt(1, 11, 1); s.bind(('10.9.9.9', 0));"
        f"s.sendto({solicitation(bytes(8))!r}, ({SERVER!r}, 3544))"
    )
    with lab["server"].capture("eth0", "udp and dst host 10.9.9.9") as capture:
        lab["a"].run(["python3", "-c", send])
        eventually(lambda: status(lab["server"])["discarded"].get("outer source", 0) >= 1)
    assert capture.packets == []


def test_one_address_gets_no_more_than_the_limit(lab: Lab) -> None:
    apply(lab["server"], "teredo_server", server_address=SERVER, rate_limit=10)
    ask(lab, solicitation(bytes(8)))
    before = by_engine(lab)
    answers = ask(lab, solicitation(bytes(8)), count=200)
    assert by_engine(lab) == before
    assert 10 <= len(answers) <= 40  # two seconds' worth at once, and what the second brings
    assert status(lab["server"])["counters"]["drops"]["endpoint_refused"] >= 160
    apply(lab["server"], "teredo_server", server_address=SERVER, rate_limit=0)


def test_with_keys_the_engine_answers(lab: Lab) -> None:
    key = {"client_identifier": "laptop", "key": "secret"}
    apply(lab["server"], "teredo_server", server_address=SERVER, clients=[key])
    before = by_engine(lab)
    assert len(ask(lab, solicitation(bytes(8)), count=5)) == 5
    assert by_engine(lab) == before + 5


def test_nobody_answers_when_the_server_is_gone(lab: Lab) -> None:
    apply(lab["server"], "teredo_server", server_address=SERVER)
    assert ask(lab, solicitation(bytes(8)), count=2) != []
    remove(lab["server"], "teredo_server")
    assert ask(lab, solicitation(bytes(8))) == []
