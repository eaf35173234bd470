# SPDX-License-Identifier: GPL-3.0-or-later
"""The PROXY protocol, both ways, with HAProxy before us and behind us."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.lab import Lab
from tests.lab.portproxy.rules import PROXY4, V6, counters, fetch, present, rules
from tests.lab.processes import wait_until

pytestmark = pytest.mark.lab

_BEHIND = f"""
defaults
  timeout connect 5s
  timeout client 10s
  timeout server 10s
global
  maxconn 100
frontend tells
  mode http
  bind [{V6}]:80 accept-proxy
  http-request return content-type text/plain lf-string "%[src] %[dst] %[dst_port]"
"""
_BEFORE = f"""
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s
global
  maxconn 100
listen v1
  bind 10.0.0.53:8001
  server s {PROXY4}:80 send-proxy
listen v2
  bind 10.0.0.53:8002
  server s {PROXY4}:80 send-proxy-v2
"""


@pytest.fixture(scope="module", autouse=True)
def _haproxies(lab: Lab) -> Iterator[None]:
    services = []
    for name, configuration, port in (("v6", _BEHIND, 80), ("dns", _BEFORE, 8002)):
        lab[name].write("/run/haproxy.cfg", configuration)
        services.append(
            lab[name].start_service(
                "haproxy",
                ["haproxy", "-db", "-f", "/run/haproxy.cfg"],
                ready=lambda _, name=name, port=port: bool(
                    lab[name].run(["ss", "-Hltn", f"sport = :{port}"]).stdout
                ),
            )
        )
    yield
    for service in services:
        service.kill()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_server_is_told_the_client_s_address(lab: Lab, version: str) -> None:
    web = present("web", direction="v4tov6", listen_port=80, connect_address=V6, send_proxy=version)
    with rules(lab["proxy"], web):
        for _turn in range(3):
            assert fetch(lab["v4"], f"http://{PROXY4}/") == f"10.0.0.4 {PROXY4} 80"


@pytest.mark.parametrize("sent", ["v1", "v2"])
@pytest.mark.parametrize("port", [8001, 8002], ids=["accepts-v1", "accepts-v2"])
def test_client_s_address_is_passed_on_from_one_proxy_to_the_next(
    lab: Lab, port: int, sent: str
) -> None:
    web = present(
        "web",
        direction="v4tov6",
        listen_port=80,
        connect_address=V6,
        accept_proxy=True,
        send_proxy=sent,
        allowed_sources=["10.0.0.4/32"],
    )
    with rules(lab["proxy"], web):
        told = fetch(lab["v4"], f"http://10.0.0.53:{port}/")
        assert told == f"10.0.0.4 10.0.0.53 {port}"


def test_client_without_a_header_or_with_half_of_one_gets_nowhere(lab: Lab) -> None:
    proxy = lab["proxy"]
    web = present("web", listen_port=80, connect_address=V6, accept_proxy=True, connect_timeout=1)
    program = (
        "import socket, sys\n"
        "for start in (b'GET / HTTP/1.0\\r\\n\\r\\n', b'PROXY TCP4 10.0.0.4'):\n"
        f"    s = socket.create_connection(('{PROXY4}', 80), timeout=5)\n"
        "    s.sendall(start)\n"
        "    try:\n"
        "        print(s.recv(100))\n"
        "    except ConnectionResetError:\n"
        "        print('reset')\n"
    )
    with rules(proxy, web):
        assert lab["v4"].run([sys.executable, "-c", program]).stdout == "reset\nreset\n"
        wait_until(lambda: counters(proxy, "web")["refused"] == 2, 3)
        assert counters(proxy, "web")["refused"] == 2


def test_header_that_comes_in_pieces_is_read_whole(lab: Lab) -> None:
    web = present("web", listen_port=80, connect_address=V6, accept_proxy=True, send_proxy="v2")
    program = (
        "import socket, sys, time\n"
        f"s = socket.create_connection(('{PROXY4}', 80), timeout=5)\n"
        "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
        "for byte in b'PROXY TCP4 192.0.2.1 192.0.2.2 1 80\\r\\nGET / HTTP/1.0\\r\\n\\r\\n':\n"
        "    s.send(bytes([byte]))\n"
        "    time.sleep(0.002)\n"
        "print(s.makefile('rb').read().decode().splitlines()[-1])\n"
    )
    with rules(lab["proxy"], web):
        told = lab["v4"].run([sys.executable, "-c", program]).stdout
        assert told == "192.0.2.1 192.0.2.2 80\n"
