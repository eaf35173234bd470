# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may load the programs, and what is said where they cannot be."""

from __future__ import annotations

import json
import shlex
import sys
from importlib import resources

import pytest
from v6ferry.forwarding.ebpf.layout import MAPS, PROGRAMS
from v6ferry.forwarding.ebpf.plane import load_programs
from v6ferry.system.bpf import BpfObject
from v6ferry.system.errors import SystemFault

from tests.lab import ISATAP, Lab
from tests.lab.agent_system.namespaces import isolated, run
from tests.lab.host import AGENT_COMMAND as AGENT
from tests.lab.isatap.intranet import A, C, eventually, pings, set_up, status
from tests.lab.programs import RECORD, programs, tcx_programs
from tests.lab.traffic import lost, stream

pytestmark = pytest.mark.lab

LOAD = """
from v6ferry.forwarding.ebpf.plane import load_programs
try:
    load_programs().close()
    print("loaded")
except Exception as error:
    print(error)
"""


def loaded_with(*capabilities: str) -> str:
    """What the loader says in a process that has these capabilities alone."""
    kept = ",".join(f"+{name}" for name in capabilities)
    sets = f"-all,{kept}" if kept else "-all"
    options = f"--bounding-set={sets} --inh-caps={sets}"
    return run(f"setpriv {options} {sys.executable} -c {shlex.quote(LOAD)}").strip()


ATTACH = """
import ctypes, socket, struct, sys
from v6ferry.system import tcx
from v6ferry.system.traffic_control import Direction
# BPF_PROG_LOAD of a classifier: r0 = TC_ACT_UNSPEC; exit
code = ctypes.create_string_buffer(bytes.fromhex("b7000000ffffffff" "9500000000000000"))
license = ctypes.create_string_buffer(b"GPL")
question = struct.pack("=IIQQ", 3, 2, ctypes.addressof(code), ctypes.addressof(license))
tcx._bpf(5, ctypes.create_string_buffer(question, 128))
program = 3
while "prog_type" not in open(f"/proc/self/fdinfo/{program}").read():
    program += 1
tcx._change(
    tcx._Command.ATTACH, socket.if_nametoindex("eth0"), Direction.INGRESS, program, 0, 0, 0
)
print("attached", flush=True)
sys.stdin.read()
"""


@isolated
def test_programs_load_with_the_capabilities_of_the_service():
    """Without CAP_PERFMON the verifier is stricter."""
    assert loaded_with("net_admin", "net_raw", "bpf") == "loaded"


@isolated
def test_missing_capability_is_named():
    said = loaded_with("net_admin", "net_raw")
    assert "CAP_BPF" in said
    assert "\n" not in said


@isolated
def test_object_of_another_version_is_refused():
    image = resources.files("v6ferry.forwarding.ebpf").joinpath("tunnel.bpf.o").read_bytes()
    wrong = {**MAPS, "tunnels": (4, 8)}
    with pytest.raises(SystemFault, match="BPF map tunnels has keys and values of"):
        BpfObject(image, wrong, PROGRAMS)
    with pytest.raises(SystemFault, match="has no map more"):
        BpfObject(image, {**MAPS, "more": (4, 4)}, PROGRAMS)
    with pytest.raises(SystemFault, match="cannot read the BPF object"):
        BpfObject(b"not an object", MAPS, PROGRAMS)
    load_programs().close()


@pytest.fixture
def lab():
    with Lab(ISATAP) as lab:
        yield lab


def doctor(host) -> str:
    return host.v6ferry("doctor", check=False).stdout


def agent(host) -> dict[str, object]:
    shown: dict[str, object] = host.show()["agent"]
    return shown


def filters(host, interface: str, direction: str) -> str:
    return host.run(["tc", "filter", "show", "dev", interface, direction]).stdout


def test_where_the_kernel_refuses_the_userspace_plane_runs_and_says_why(lab):
    a, router = lab["a"], lab["router"]
    # A container without CAP_BPF and CAP_SYS_ADMIN.
    set_up(lab, plane="ebpf")
    a.stop_agent()
    started = a.start_service(
        "agent",
        [
            "setpriv",
            "--bounding-set=-bpf,-sys_admin",
            "--inh-caps=-bpf,-sys_admin",
            *AGENT,
            "run",
        ],
        ready=lambda _: a.v6ferry("show", check=False).returncode == 0,
    )
    a.agent = started
    assert agent(a)["plane"] == "userspace"
    assert "CAP_BPF" in str(agent(a)["plane_reason"])
    assert "CAP_BPF" in doctor(a)
    # The programs of the agent before would go on with its tables: they are gone.
    assert not programs(a, "eth0", "ingress") + programs(a, "isatap0", "egress")
    eventually(lambda: pings(a, C))
    assert agent(router)["plane"] == "eBPF"


def test_plane_that_was_asked_for_and_cannot_run_ends_the_agent(lab):
    command = " ".join(["setpriv --bounding-set=-bpf,-sys_admin", *AGENT, "run --plane ebpf"])
    done = lab["a"].run(["sh", "-c", command], check=False)
    assert done.returncode == 1
    assert "--plane ebpf: the kernel does not permit BPF programs" in done.stderr


FOREIGN = (
    "tc filter add dev eth0 ingress pref {pref} handle 7 bpf bytecode '1,6 0 0 0' direct-action"
)


def hooks(host) -> list[str]:
    """Where programs that decapsulate are: ``TCX``, ``clsact`` or both."""
    return [one.split()[0] for one in programs(host, "eth0", "ingress")]


def add_foreign_filter(host, preference: int) -> None:
    host.run(["tc", "qdisc", "add", "dev", "eth0", "clsact"])
    host.run(["sh", "-c", FOREIGN.format(pref=preference)])


def test_foreign_filters_stay_and_one_in_our_place_is_told(lab):
    a = lab["a"]
    add_foreign_filter(a, 30262)
    set_up(lab)
    eventually(lambda: pings(a, C))
    assert "priority 30262" in doctor(a)
    assert "bytecode" in filters(a, "eth0", "ingress")
    assert status(a)["counters"]["packets_in"] > 0
    a.run(["tc", "filter", "del", "dev", "eth0", "ingress", "pref", "30262"])
    eventually(lambda: programs(a, "eth0", "ingress"))
    eventually(lambda: "without the fast path" not in doctor(a))


def test_foreign_filter_before_ours_does_not_stop_the_tunnel(lab):
    a = lab["a"]
    add_foreign_filter(a, 1)
    set_up(lab)
    eventually(lambda: pings(a, C))
    assert "programs of others run before ours: tc filter" in doctor(a)
    assert hooks(a) == ["clsact"]


def test_program_is_before_filters_only_while_there_are_none_of_others(lab):
    """No packet is lost where it goes from one place to the other."""
    a = lab["a"]
    set_up(lab)
    assert hooks(a) == ["TCX"]
    assert agent(a)["hooks"] == {"eth0": "TCX", "isatap0": "TCX"}
    ping = stream(a, C, 4)
    add_foreign_filter(a, 50000)
    eventually(lambda: hooks(a) == ["clsact"])
    assert agent(a)["hooks"]["eth0"] == "clsact"
    a.run(["tc", "filter", "del", "dev", "eth0", "ingress", "pref", "50000"])
    eventually(lambda: hooks(a) == ["TCX"])
    assert lost(ping) == 0


def test_program_by_tcx_of_another_is_left_alone_and_told(lab):
    a = lab["a"]
    foreign = a.popen([sys.executable, "-c", ATTACH], stdin=-1, stdout=-1, text=True)
    assert foreign.stdout.readline() == "attached\n"
    theirs = tcx_programs(a, "eth0", "ingress")
    assert len(theirs) == 1
    set_up(lab)
    eventually(lambda: pings(a, C))
    assert f"programs of others run before ours: TCX program {theirs[0]}" in doctor(a)
    assert tcx_programs(a, "eth0", "ingress")[0] == theirs[0]
    remove(a)
    assert tcx_programs(a, "eth0", "ingress") == theirs
    foreign.stdin.close()
    foreign.wait(timeout=10)


def test_programs_whose_record_is_lost_are_others(lab):
    """The next agent's run beside them, and doctor names them."""
    a = lab["a"]
    set_up(lab)
    a.stop_agent()
    a.path(RECORD).write_text("{")
    left = tcx_programs(a, "eth0", "ingress")
    started = a.start_agent()
    assert "programs.json cannot be read" in started.log.read_text()
    assert "TCX program" in doctor(a)
    assert pings(a, C)
    assert tcx_programs(a, "eth0", "ingress")[0] == left[0]


def remove(host) -> None:
    gone = [{"kind": "isatap_host", "name": "default", "state": "absent"}]
    host.v6ferry("apply", "-", input=json.dumps(gone))


def test_removal_detaches_and_leaves_what_is_anothers(lab):
    a = lab["a"]
    set_up(lab)
    eventually(lambda: pings(a, C))
    add_foreign_filter(a, 1)
    assert programs(a, "eth0", "ingress")
    remove(a)
    assert not programs(a, "eth0", "ingress")
    assert "bytecode" in filters(a, "eth0", "ingress")


def test_filter_that_somebody_removes_is_put_back(lab):
    a = lab["a"]
    add_foreign_filter(a, 1)
    set_up(lab)
    assert hooks(a) == ["clsact"]
    a.run(["tc", "qdisc", "del", "dev", "eth0", "clsact"])
    eventually(lambda: pings(a, C))
    eventually(lambda: hooks(a) == ["TCX"])


def test_ipv4_forwarding_switched_off_everywhere_is_noticed(lab):
    """The kernel then sets it off on the tunnel interface too, where the programs need it."""
    a = lab["a"]
    set_up(lab)
    key = "/proc/sys/net/ipv4/conf/isatap0/forwarding"
    eventually(lambda: a.run(["cat", key]).stdout.strip() == "1")
    a.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    a.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
    eventually(lambda: a.run(["cat", key]).stdout.strip() == "1", timeout=10)
    assert pings(a, A)
