# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's block in resolv.conf: what is not ours comes back byte by byte."""

from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.system.resolv_conf import (
    interfaces_in,
    is_domain_name,
    parse_resolv_conf,
    server_text,
    with_interfaces,
)
from v6ferry.system.state import DnsConfiguration

SERVER = IPv6Address("2001:db8::53")
DNS = DnsConfiguration((SERVER,), ("corp.example",))

configurations = st.builds(
    DnsConfiguration,
    st.lists(st.ip_addresses(v=6), max_size=4, unique=True).map(tuple),
    st.lists(
        st.sampled_from(["search", "servers", "a.example", "b.example.", "x" * 63]),
        max_size=3,
        unique=True,
    ).map(tuple),
)
brought = st.dictionaries(st.sampled_from(["isatap0", "tun-1", "a;b", "é"]), configurations)
contents = (
    st.none()
    | st.binary(max_size=80)
    | st.text(st.sampled_from("nameserver 10.0\n#\r"), max_size=60).map(str.encode)
)


def test_block_follows_what_is_there():
    content = b"nameserver 10.0.0.53\nsearch example.com\n"
    assert with_interfaces(content, {"isatap0": DNS}) == content + (
        b"# BEGIN v6ferry: DNS from IPv6 routers; changes here are lost\n"
        b"# isatap0: servers 2001:db8::53; search corp.example\n"
        b"nameserver 2001:db8::53\n"
        b"search example.com corp.example\n"
        b"# END v6ferry\n"
    )


@pytest.mark.parametrize(
    "content", [None, b"", b"\n", b"nameserver 10.0.0.53", b"options rotate\n"]
)
def test_removal_gives_the_file_back(content):
    changed = with_interfaces(content, {"isatap0": DNS})
    assert changed != content
    assert with_interfaces(changed, {}) == content


@given(contents, brought, brought)
def test_removal_gives_any_file_back(content, first, second):
    changed = with_interfaces(with_interfaces(content, first), second)
    assert with_interfaces(changed, {}) == content


@given(contents, brought)
def test_block_notes_who_brought_what(content, interfaces):
    interfaces.pop("a;b", None)
    noted = interfaces_in(with_interfaces(content, interfaces))
    assert noted == {n: dns for n, dns in interfaces.items() if dns.servers or dns.search}
    assert with_interfaces(with_interfaces(content, interfaces), noted) == with_interfaces(
        content, interfaces
    )


def test_lines_added_below_the_block_stay_whole():
    changed = with_interfaces(b"nameserver 10.0.0.53", {"isatap0": DNS}) + b"options rotate\n"
    assert with_interfaces(changed, {}) == b"nameserver 10.0.0.53\noptions rotate\n"


def test_file_that_somebody_filled_meanwhile_stays():
    changed = with_interfaces(None, {"isatap0": DNS}) + b"nameserver 10.0.0.53\n"
    assert with_interfaces(changed, {}) == b"nameserver 10.0.0.53\n"


def test_no_more_than_three_nameservers_are_set():
    content = b"nameserver 10.0.0.1\nnameserver 10.0.0.2\n"
    servers = (SERVER, IPv6Address("2001:db8::54"))
    changed = with_interfaces(content, {"isatap0": DnsConfiguration(servers)})
    assert parse_resolv_conf(changed.decode()).nameservers == (
        "10.0.0.1",
        "10.0.0.2",
        "2001:db8::53",
    )
    assert b"# no room for nameserver 2001:db8::54\n" in changed


def test_server_that_is_there_is_not_repeated():
    changed = with_interfaces(b"nameserver 2001:db8::53\n", {"isatap0": DNS})
    assert changed.count(b"\nnameserver") + changed.startswith(b"nameserver") == 1


def test_search_domains_of_all_interfaces_are_in_the_line_that_counts():
    content = b"domain example.com\nsearch example.com example.net\n"
    other = DnsConfiguration((), ("example.net", "other.example"))
    changed = with_interfaces(content, {"isatap0": DNS, "isatap1": other})
    assert parse_resolv_conf(changed.decode()).search == (
        "example.com",
        "example.net",
        "corp.example",
        "other.example",
    )


def test_link_local_server_names_its_interface():
    assert server_text(IPv6Address("fe80::1"), "isatap0") == "fe80::1%isatap0"
    assert server_text(SERVER, "isatap0") == "2001:db8::53"


@pytest.mark.parametrize(
    "text",
    [
        "a\nnameserver 1.2.3.4",
        "a b",
        "",
        ".",
        "~.",
        "-x.example",
        "a..b",
        "x" * 64,
        "é.example",
        "\u212a.example",
    ],
)
def test_search_domain_from_the_network_cannot_bring_in_lines_rfc8106_5_2(text):
    """RFC 8106 section 5.2: DNSSL domains are whatever the sender wrote."""
    assert not is_domain_name(text)
    hostile = DnsConfiguration((SERVER,), (text,))
    changed = with_interfaces(b"", {"isatap0": hostile})
    assert changed == with_interfaces(b"", {"isatap0": DnsConfiguration((SERVER,))})


@given(st.text(max_size=60))
def test_any_resolv_conf_is_survived(text):
    settings = parse_resolv_conf(text)
    assert all(domain and not domain.endswith(".") for domain in settings.search)
