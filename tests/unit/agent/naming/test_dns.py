# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from the DNS, asked at a small server in this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from v6ferry.naming.dns import DnsSource
from v6ferry.naming.settings import ResolverSettings
from v6ferry.naming.source import SourceFailure

ZONE = {
    "isatap.corp.example.": [("A", "10.0.0.1"), ("A", "10.0.0.2")],
    "alias.corp.example.": [("CNAME", "isatap.corp.example.")],
    "six.corp.example.": [("AAAA", "2001:db8::1")],
    "both.corp.example.": [("A", "10.0.0.3"), ("AAAA", "2001:db8::3")],
    "plain.example.": [("A", "10.0.0.9")],
}
BROKEN = "broken.example."
SILENT = "silent.example."


class Server(asyncio.DatagramProtocol):
    """Authoritative for ZONE, with time to live 300 s; knows nothing else."""

    def __init__(self):
        self.asked = []

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text()
        self.asked.append(name)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if name.endswith(SILENT):
            return
        if name.endswith(BROKEN):
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name not in ZONE:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            self.fill(response, name)
        self.transport.sendto(response.to_wire(), addr)

    def fill(self, response, name):
        asked = dns.rdatatype.to_text(response.question[0].rdtype)
        for kind in ("CNAME", asked):
            values = [value for k, value in ZONE[name] if k == kind]
            if values:
                ttl = 60 if kind == "CNAME" else 300
                response.answer.append(dns.rrset.from_text(name, ttl, "IN", kind, *values))
            if values and kind == "CNAME":
                self.fill(response, values[0])


@contextlib.asynccontextmanager
async def running_server():
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    try:
        yield server, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.fixture
def lookup(tmp_path):
    """A lookup of a name with these search domains; returns the answer and the questions."""

    def run(name, search="corp.example", timeout=3.0):
        path = tmp_path / "resolv.conf"
        path.write_text(f"nameserver 127.0.0.1\nsearch {search}\n")

        async def ask():
            async with running_server() as (server, port):
                settings = ResolverSettings(path, hostname=lambda: "host")
                source = DnsSource(settings, port=port, timeout=timeout)
                return await source.lookup(name), server.asked

        return asyncio.run(ask())

    return run


@pytest.fixture
def remaining(tmp_path):
    """For how long the DNS lets a name have some addresses."""

    def run(name, *addresses):
        path = tmp_path / "resolv.conf"
        path.write_text("nameserver 127.0.0.1\nsearch empty.example corp.example\n")

        async def ask():
            async with running_server() as (_server, port):
                settings = ResolverSettings(path, hostname=lambda: "host")
                return await DnsSource(settings, port=port, timeout=1).remaining(name, addresses)

        return asyncio.run(ask())

    return run


@pytest.mark.parametrize(
    ("name", "addresses", "seconds"),
    [
        ("both.corp.example", ("2001:db8::3", "10.0.0.3"), 300),
        ("both", ("10.0.0.3",), 300),  # a rule that leads to IPv4 alone
        ("both.corp.example", ("10.0.0.3", "10.0.0.4"), None),
        ("both.corp.example", ("10.0.0.4",), None),  # it is in /etc/hosts
        ("alias.corp.example", ("10.0.0.1", "10.0.0.2"), 60),  # the CNAME's is the shortest
        ("six.corp.example", ("2001:db8::1",), 300),
        ("nobody.corp.example", ("10.0.0.3",), None),
        ("x.broken.example", ("10.0.0.3",), None),
        ("printer.corp.example", ("fe80::1%eth0",), None),
    ],
)
def test_addresses_may_be_used_as_long_as_the_dns_says_rfc1035_3_2_1(
    remaining, name, addresses, seconds
):
    assert remaining(name, *addresses) == seconds


def test_single_label_is_asked_in_each_search_domain_and_never_alone(lookup):
    resolution, asked = lookup("isatap", "empty.example corp.example more.example")
    assert [str(address) for address in resolution.addresses] == ["10.0.0.1", "10.0.0.2"]
    assert asked == ["isatap.empty.example.", "isatap.corp.example."]
    assert (resolution.source, resolution.ttl) == ("DNS: isatap.corp.example", 300.0)


def test_name_with_a_domain_is_asked_as_it_is_first(lookup):
    resolution, asked = lookup("plain.example")
    assert [str(address) for address in resolution.addresses] == ["10.0.0.9"]
    assert asked == ["plain.example."]


def test_trailing_dot_means_no_search(lookup):
    resolution, asked = lookup("isatap.corp.")
    assert resolution is None
    assert asked == ["isatap.corp."]


def test_alias_is_followed_and_the_shortest_time_to_live_counts(lookup):
    resolution = lookup("alias")[0]
    assert [str(address) for address in resolution.addresses] == ["10.0.0.1", "10.0.0.2"]
    assert resolution.ttl == 60.0


@pytest.mark.parametrize("name", ["nobody", "six"])
def test_name_without_ipv4_address_is_unknown(lookup, name):
    assert lookup(name)[0] is None


def test_broken_domain_does_not_hide_the_next_one(lookup):
    resolution = lookup("isatap", "broken.example corp.example")[0]
    assert len(resolution.addresses) == 2


def test_broken_domain_is_a_failure_if_nobody_else_knows(lookup):
    with pytest.raises(SourceFailure, match=r"isatap\.broken\.example.*SERVFAIL"):
        lookup("isatap", "broken.example other.example")


def test_silent_server_is_waited_for_within_bounds(lookup):
    start = time.monotonic()
    with pytest.raises(SourceFailure, match=r"no answer about isatap\.silent\.example"):
        lookup("isatap", "silent.example corp.example", timeout=0.3)
    assert time.monotonic() - start < 2


def test_nobody_listening_is_a_failure(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\nsearch corp.example\n")
    source = DnsSource(ResolverSettings(path), port=port, timeout=0.3)
    with pytest.raises(SourceFailure, match=r"127\.0\.0\.1"):
        asyncio.run(source.lookup("isatap"))


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("search corp.example", "isatap", "names no server"),
        ("nameserver nonsense\nsearch corp.example", "isatap", "names no server"),
        ("nameserver 127.0.0.1", "isatap", "no search domain"),
        ("nameserver 127.0.0.1", "a..b", "not a domain name"),
        ("nameserver 127.0.0.1", "x" * 64 + ".example", "not a domain name"),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path, text, name, message):
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    source = DnsSource(ResolverSettings(path, hostname=lambda: "host"))
    with pytest.raises(SourceFailure, match=message):
        asyncio.run(source.lookup(name))


def test_description_names_servers_and_full_names(tmp_path):
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.0.0.53\nsearch a.example b.example\n")
    source = DnsSource(ResolverSettings(path))
    assert source.describe("isatap") == ("DNS at 10.0.0.53: isatap.a.example, isatap.b.example")
