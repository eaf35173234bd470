# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from the hosts file."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st
from v6ferry.naming.hosts import HostsFile, parse_hosts
from v6ferry.naming.settings import ResolverSettings

HOSTS = """\
127.0.0.1 localhost
10.0.0.1\tRouter.example.com  ISATAP  # the router
10.0.0.2 isatap
10.0.0.1 isatap
2001:db8::1 isatap
10.0.0.3 isatap.corp.example
999.0.0.1 broken
10.0.0.4
"""


def hosts_file(tmp_path, **options):
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    return HostsFile(path, **options)


def lookup(source, name):
    resolution = asyncio.run(source.lookup(name))
    return resolution and [str(address) for address in resolution.addresses]


def test_all_ipv4_addresses_of_a_name_in_order(tmp_path):
    assert lookup(hosts_file(tmp_path), "isatap") == ["10.0.0.1", "10.0.0.2"]


def test_case_and_trailing_dot_do_not_matter(tmp_path):
    assert lookup(hosts_file(tmp_path), "ROUTER.Example.com.") == ["10.0.0.1"]


def test_unknown_name_is_none(tmp_path):
    assert lookup(hosts_file(tmp_path), "broken") is None
    assert lookup(HostsFile(tmp_path / "missing"), "isatap") is None


def test_search_domains_are_added(tmp_path):
    resolv_conf = tmp_path / "resolv.conf"
    resolv_conf.write_text("search corp.example")
    path = tmp_path / "hosts"
    path.write_text("10.0.0.3 isatap.corp.example\n")
    source = HostsFile(path, settings=ResolverSettings(resolv_conf))
    assert lookup(source, "isatap") == ["10.0.0.3"]
    assert lookup(source, "isatap.") is None
    assert source.describe("isatap") == f"{path}: isatap, isatap.corp.example"


def test_changed_file_is_read_again(tmp_path):
    source = hosts_file(tmp_path)
    lookup(source, "isatap")
    (tmp_path / "hosts").write_text("10.0.0.9 isatap\n")
    assert lookup(source, "isatap") == ["10.0.0.9"]


@given(st.text(max_size=80))
def test_any_text_is_survived(text):
    for addresses in parse_hosts(text).values():
        assert addresses
        assert all(isinstance(address, IPv4Address) for address in addresses)
