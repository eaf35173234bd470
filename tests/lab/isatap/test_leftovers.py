# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were removed or edited while no agent ran: what the next one finds of them."""

from __future__ import annotations

import json
import sys

import pytest

from tests.lab import Lab, LabHost
from tests.lab.isatap.intranet import A, C, addresses, eventually, pings, set_up
from tests.lab.programs import programs

pytestmark = pytest.mark.lab

FILE = "/var/lib/v6ferry/{folder}/isatap_host/default.json"
HOLD = """
import sys, time
from v6ferry.system.tun import open_tun
open_tun("isatap0")
print("open", flush=True)
time.sleep(600)
"""


@pytest.fixture(params=["userspace", "ebpf"])
def plane(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture
def intranet(bare_lab: Lab) -> Lab:
    """The intranet, whose tunnels the fast path carries."""
    set_up(bare_lab, plane="ebpf")
    eventually(lambda: pings(bare_lab["a"], C))
    return bare_lab


def remove_files(host: LabHost) -> None:
    for folder in ("resources", "last-good"):
        host.path(FILE.format(folder=folder)).unlink()


def has_interface(host: LabHost, name: str) -> bool:
    return host.run(["ip", "link", "show", name], check=False).returncode == 0


def forwards(host: LabHost) -> bool:
    return host.run(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).stdout.strip() == "1"


def test_host_without_resources_is_left_as_it_was_found(intranet: Lab, plane: str) -> None:
    a = intranet["a"]
    a.stop_agent()
    remove_files(a)
    assert has_interface(a, "isatap0")
    assert programs(a, "eth0", "ingress")
    agent = a.start_agent("--plane", plane)
    assert not has_interface(a, "isatap0")
    assert not programs(a, "eth0", "ingress")
    assert not a.path("/run/v6ferry/snapshots/isatap_host/default.json").exists()
    assert "isatap_host/default: removed with isatap0: it is no longer stored" in (
        agent.log.read_text()
    )


def test_router_without_resources_forwards_no_more(intranet: Lab) -> None:
    router = intranet["router"]
    assert forwards(router)
    router.kill_agent()
    router.run(["sh", "-c", "rm -r /var/lib/v6ferry"])
    router.start_agent()
    assert not has_interface(router, "isatap0")
    assert not forwards(router)


def test_interface_that_a_file_no_longer_names_is_removed(intranet: Lab) -> None:
    a = intranet["a"]
    a.stop_agent()
    path = a.path(FILE.format(folder="resources"))
    document = json.loads(path.read_text())
    document["spec"]["interface"] = "isatap7"
    path.write_text(json.dumps(document))
    a.start_agent()
    assert not has_interface(a, "isatap0")
    eventually(lambda: A in addresses(a, "isatap7"))
    eventually(lambda: pings(a, C))


def test_interface_of_a_resource_whose_file_is_broken_stays(intranet: Lab) -> None:
    a = intranet["a"]
    a.stop_agent()
    remove_files(a)
    a.write(FILE.format(folder="resources"), "{")
    a.start_agent()
    assert A in addresses(a)


def test_interface_that_another_process_has_open_stays(intranet: Lab) -> None:
    a = intranet["a"]
    a.stop_agent()
    remove_files(a)
    holder = a.popen([sys.executable, "-c", HOLD], stdout=-1, text=True)
    assert holder.stdout.readline() == "open\n"
    agent = a.start_agent()
    assert A in addresses(a)
    assert "isatap0 is left by an earlier agent and stays: TUN device isatap0 is attached to" in (
        agent.log.read_text()
    )
    holder.kill()
