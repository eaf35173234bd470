# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR and BIRD on hosts of a lab, and relays whose roles have them announce a prefix."""

from __future__ import annotations

import json

from tests.demo.playbook import run_playbook
from tests.lab import Lab, LabHost
from tests.lab.service import Service

CONFIGURATION = {daemon: f"/etc/{daemon}/{daemon}.conf" for daemon in ("bird", "frr")}
BIRD = """\
# Of the administrator.
router id {identifier};
log stderr all;
protocol device {{ scan time 1; }}
protocol kernel {{ ipv6 {{ export where source = RTS_RIP; }}; scan time 1; }}
protocol rip ng {{
    ipv6 {{ import all; export {exported}; }};
    interface "{interface}" {{ update time 1; timeout time 20; garbage time 5; }};
}}
"""
"""FRR sends updates every 5 seconds at the soonest: routes must outlive more than one."""
FRR = """\
! Of the administrator.
ipv6 prefix-list other seq 5 permit 2001:db8:77::/48
ipv6 route 2001:db8:77::/48 blackhole
router ripng
 network lan0
 redistribute static
 timers basic 5 20 10
exit
"""
FRR_BGP = """\
router bgp 64512
 bgp router-id 10.9.9.9
 no bgp ebgp-requires-policy
 neighbor 2001:db8:0:c::c remote-as 64513
 address-family ipv6 unicast
  neighbor 2001:db8:0:c::c activate
 exit-address-family
exit
"""
BIRD_BGP = """\
router id 10.8.8.8;
log stderr all;
protocol device { scan time 1; }
protocol kernel { ipv6 { export where source = RTS_BGP; }; scan time 1; }
protocol bgp {
    local 2001:db8:0:c::c as 64513;
    neighbor NEIGHBOR as 64512;
    connect delay time 1; connect retry time 1; error wait time 1, 1;
    ipv6 { import all; export none; };
}
"""


def start_bird(host: LabHost, text: str) -> Service:
    host.write(CONFIGURATION["bird"], text)
    host.path("/run/bird").mkdir(exist_ok=True)
    return host.start_service(
        "bird",
        ["bird", "-d", "-c", CONFIGURATION["bird"]],
        ready=lambda _bird: host.path("/run/bird/bird.ctl").exists(),
    )


def start_frr(host: LabHost, text: str, *, write: bool = True) -> list[Service]:
    """Start FRR with its file, as its own service does."""
    host.path("/run/frr").mkdir(exist_ok=True)
    host.run(["chown", "frr:frr", "/run/frr"])
    if write:
        host.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
        host.write(CONFIGURATION["frr"], text)
    daemons = []
    for daemon in ("zebra", "ripngd", "staticd", "bgpd"):
        socket = host.path(f"/run/frr/{daemon}.vty")
        socket.unlink(missing_ok=True)
        daemons.append(
            host.start_service(
                daemon,
                [f"/usr/lib/frr/{daemon}", "--log", "stdout"],
                ready=lambda _daemon, socket=socket: socket.exists(),
            )
        )
    host.run(["vtysh", "-b"])
    return daemons


def run_for_relay(playbook: str, lab: Lab, *options: str, **variables: str) -> int:
    """Run a playbook for the relay alone.

    Args:
        playbook: its name; the role's variables begin with that and ``_relay_``.
        lab: has the host ``relay``.
        options: of ansible-playbook.
        variables: of the role, without what they begin with.

    Returns:
        How many tasks have changed something.
    """
    role = f"{playbook}_relay"
    values = {f"{role}_{name}": value for name, value in variables.items()}
    extra = ("--limit", "relay", "--diff", "-e", json.dumps({**values, f"{role}_wait": 10}))
    return run_playbook(lab, playbook, *extra, *options).changed["relay"]


def routes_to(prefix: str, host: LabHost) -> str:
    return host.run(["ip", "-6", "route", "show", prefix]).stdout


def content(host: LabHost, daemon: str) -> str:
    return host.path(CONFIGURATION[daemon]).read_text()


def listen(lab: Lab) -> None:
    """Have the native host learn routes by RIPng."""
    start_bird(lab["c"], BIRD.format(identifier="10.8.8.8", interface="eth0", exported="none"))


def running(host: LabHost) -> str:
    return host.run(["vtysh", "-c", "show running-config"]).stdout
