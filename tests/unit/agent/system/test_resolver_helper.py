# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper that changes the DNS configuration for an agent that is not root."""

from __future__ import annotations

import asyncio
import contextlib
import json
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.system.errors import SystemFault
from v6ferry.system.resolver_configuration import ResolverConfiguration
from v6ferry.system.resolver_helper import DelegatedResolverConfiguration, answer_request
from v6ferry.system.state import DnsConfiguration

DNS = DnsConfiguration((IPv6Address("2001:db8::53"),), ("corp.example",))
BEFORE = b"nameserver 10.0.0.53\n"


@pytest.fixture
def paths(tmp_path):
    """A resolv.conf, no systemd-resolved, and interfaces of ours and of others."""
    (tmp_path / "resolv.conf").write_bytes(BEFORE)
    for name, alias in (("isatap0", "v6ferry isatap_host/default\n"), ("eth0", "\n")):
        (tmp_path / "net" / name).mkdir(parents=True)
        (tmp_path / "net" / name / "ifalias").write_text(alias)
    return tmp_path


@pytest.fixture
def resolv_conf(paths):
    return paths / "resolv.conf"


def root(paths):
    return ResolverConfiguration(path=paths / "resolv.conf", resolved_socket=paths / "none")


def agent(paths, helper="helper"):
    return DelegatedResolverConfiguration(
        helper=paths / helper, path=paths / "resolv.conf", resolved_socket=paths / "none"
    )


@contextlib.asynccontextmanager
async def helper(paths):
    """A helper that listens as systemd does, one connection a request."""
    requests = []

    async def serve(reader, writer):
        line = await reader.readline()
        requests.append(line)
        writer.write(await answer_request(line, root(paths), paths / "net"))
        writer.close()

    server = await asyncio.start_unix_server(serve, paths / "helper")
    yield requests
    server.close()


def test_servers_come_and_go_through_the_helper(paths, resolv_conf):
    async def scene():
        async with helper(paths) as requests:
            first = await agent(paths).apply("isatap0", DNS)
            content = resolv_conf.read_text()
            again = await agent(paths).apply("isatap0", DNS)
            await agent(paths).remove("isatap0")
            await agent(paths).remove("isatap0")
            return first, content, again, len(requests)

    first, content, again, requests = asyncio.run(scene())
    assert "nameserver 2001:db8::53" in content
    assert "corp.example" in content
    assert any("add DNS server 2001:db8::53" in line for line in first)
    assert again == []
    assert resolv_conf.read_bytes() == BEFORE
    assert requests == 2, "who has nothing to change does not ask"


def test_dry_run_asks_nobody(paths, resolv_conf):
    assert asyncio.run(agent(paths, "nobody").apply("isatap0", DNS, dry_run=True))
    assert asyncio.run(agent(paths, "nobody").remove("isatap0", dry_run=True)) == []
    assert resolv_conf.read_bytes() == BEFORE


def test_missing_helper_is_a_fault_that_says_what_to_do(paths):
    with pytest.raises(SystemFault, match=r"isatap0.*nobody.*v6ferry-resolver\.socket.*rdnss"):
        asyncio.run(agent(paths, "nobody").apply("isatap0", DNS))


def test_refusal_of_the_helper_is_a_fault(paths):
    async def scene():
        async with helper(paths):
            await agent(paths).apply("eth0", DNS)

    with pytest.raises(SystemFault, match="eth0 is not one of the agent's own"):
        asyncio.run(scene())


REQUEST = {"interface": "isatap0", "servers": ["2001:db8::53"], "search": []}


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ([], "needs interface, servers and search"),
        ({"interface": "isatap0"}, "needs interface, servers and search"),
        ({**REQUEST, "path": "/etc/shadow"}, "and nothing else"),
        ({**REQUEST, "interface": "eth0"}, "not one of the agent's own"),
        ({**REQUEST, "interface": "wlan0"}, "there is no wlan0"),
        ({**REQUEST, "interface": "../../isatap0"}, "no interface name"),
        ({**REQUEST, "interface": "isatap0\nnameserver ::1"}, "no interface name"),
        ({**REQUEST, "interface": "-h"}, "no interface name"),
        ({**REQUEST, "interface": 7}, "no interface name"),
        ({**REQUEST, "servers": ["10.0.0.1"]}, "10.0.0.1"),
        ({**REQUEST, "servers": "::1"}, "servers: a list"),
        ({**REQUEST, "search": "corp.example"}, "search: a list"),
        ({**REQUEST, "search": [1]}, "search: a list"),
    ],
)
def test_bad_request_is_refused_and_changes_nothing(paths, resolv_conf, request_, reason):
    answer = asyncio.run(answer_request(json.dumps(request_).encode(), root(paths), paths / "net"))
    assert reason in json.loads(answer)["error"]
    assert resolv_conf.read_bytes() == BEFORE


@given(st.binary(max_size=200))
def test_any_octets_get_an_answer(octets):
    class Untouched(ResolverConfiguration):
        async def apply(self, *_arguments, **_options):
            raise AssertionError

        remove = apply

    assert "error" in json.loads(asyncio.run(answer_request(octets, Untouched())))
