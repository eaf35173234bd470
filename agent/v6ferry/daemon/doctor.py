# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for what is wrong with the agent and its host, and says what to do about it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from v6ferry.addresses.sixtofour import ANYCAST_RELAY
from v6ferry.daemon.host import Host
from v6ferry.daemon.runners import AnyRunner
from v6ferry.daemon.supervisor import Supervisor
from v6ferry.engines.sixtofour.anycast import USING
from v6ferry.forwarding.icmp_errors import UNFRAGMENTED_MTU
from v6ferry.system.errors import NO_IPV6, SystemFault
from v6ferry.system.masquerade import chains_that_drop_forwarded
from v6ferry.system.sysctl import PROC_SYS, read_sysctl
from v6ferry.system.tun import CLONE_DEVICE
from v6ferry.system.uplinks import KERNEL_DRIVER

_ADVICE_ON_DROPS = {
    "ecn_congestion_marked_not_ect": (
        "a router on the underlay marks congestion on packets that do not take part in ECN"
    ),
    "inner_source_does_not_match_outer": (
        "somebody sends with a source that it does not own: a spoofer, a NAT between the two"
        " hosts, or a router or border relay that is missing from the list"
    ),
    "inner_source_forbidden": (
        "a host sends through the tunnel with an address of no prefix behind it: look for"
        " an address or prefix of another provider, and for its default route"
    ),
    "outer_source_is_ours": "packets come back to where they were sent from: look for a loop",
    "no_forwarding_rule": "a route leads into the tunnel without a gateway that embeds IPv4",
    "underlay_refused": "the kernel refused to send: look at IPv4 routes and firewall rules",
}


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at and what came of it."""

    name: str
    status: Literal["ok", "warning", "error"]
    message: str
    advice: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


class Doctor:
    """Examines.

    Args:
        supervisor: has the resources.
        host: where they run.
        proc_sys: where kernel parameters are.
        sit_module: what is there while the kernel's own driver of protocol 41 is loaded.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        host: Host,
        *,
        proc_sys: Path = PROC_SYS,
        sit_module: Path = KERNEL_DRIVER,
    ) -> None:
        self._supervisor = supervisor
        self._host = host
        self._proc_sys = proc_sys
        self._sit_module = sit_module

    async def examine(self) -> list[Check]:
        """Look at everything."""
        checks = [self._tun_driver(), self._ipv6(), self._kernel_driver(), *self._plane()]
        checks += self._files()
        await self._host.proxies.refresh()
        checks += self._underlay()
        checks += self._proxies()
        for runner in self._supervisor.runners.values():
            checks += self._resource(runner)
            checks += await self._sharing(runner)
        return checks

    def _tun_driver(self) -> Check:
        try:
            os.close(os.open(CLONE_DEVICE, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            return Check(
                "tun",
                "error",
                f"{CLONE_DEVICE}: {error.strerror}",
                "load the driver (modprobe tun), or hand the device to the container",
            )
        return Check("tun", "ok", f"{CLONE_DEVICE} can be opened")

    def _ipv6(self) -> Check:
        if not (self._proc_sys / "net/ipv6").exists():
            return Check("ipv6", "error", NO_IPV6.format(root=self._proc_sys))
        return Check("ipv6", "ok", "the kernel speaks IPv6")

    def _kernel_driver(self) -> Check:
        if self._sit_module.exists():
            return Check(
                "sit",
                "warning",
                "the kernel's own driver for protocol 41 (tunnel4, of sit) is loaded: it answers"
                " packets of tunnels that it does not know with ICMP Port Unreachable",
                "unload it where nothing needs it (rmmod sit tunnel4); other v6ferry agents ignore"
                " these answers, other systems may not",
            )
        return Check("sit", "ok", "the kernel's own driver for protocol 41 is not in the way")

    def _plane(self) -> Iterator[Check]:
        plane = self._host.plane
        if plane.was_asked_for:
            yield Check("plane", "ok", f"the {plane.name} plane runs: {plane.why}")
        elif plane.why:
            yield Check(
                "plane",
                "warning",
                f"the {plane.name} plane runs: {plane.why}",
                "it carries a twentieth of what the eBPF plane does; docs/fast-path.md says what"
                " that one needs",
            )
        else:
            yield Check("plane", "ok", f"the {plane.name} plane runs")
        for interface, fault in sorted(plane.faults.items()):
            yield Check(
                "plane",
                "warning",
                f"{interface} goes without the fast path: {fault}",
                "its tunnel packets go through the userspace plane meanwhile",
            )

        for interface, names in sorted(plane.before_ours.items()):
            yield Check(
                "plane",
                "warning",
                f"on {interface} programs of others run before ours: {names}",
                "where one ends with the action ok, tunnel packets go through the userspace plane:"
                " let it end with continue, or give a filter a preference behind 30262",
            )

    def _files(self) -> Iterator[Check]:
        if not self._supervisor.problems:
            yield Check("files", "ok", "all stored resources can be used")
        for problem in self._supervisor.problems.values():
            yield Check("files", "error", problem)

    def _underlay(self) -> Iterator[Check]:
        facts = self._supervisor.facts
        if not facts.underlay:
            yield Check(
                "underlay",
                "error",
                "no interface that is up has an IPv4 address",
                "configure IPv4 first: the tunnels follow within a second",
            )
            return
        listed = ", ".join(f"{one.address} ({one.interface})" for one in facts.underlay)
        yield Check("underlay", "ok", f"IPv4 addresses: {listed}")
        for interface, mtu in sorted(facts.underlay_mtu.items()):
            if mtu < UNFRAGMENTED_MTU:
                yield Check(
                    "underlay",
                    "warning",
                    f"{interface} has an MTU of {mtu} bytes: every packet of 1280 bytes goes out"
                    " as IPv4 fragments",
                    f"raise it to {UNFRAGMENTED_MTU} or more if the link can",
                )

    def _proxies(self) -> Iterator[Check]:
        for what in self._host.proxies.summary()["exhausted"]:
            yield Check(
                "portproxy",
                "error",
                f"a PortProxy worker was out of {what}",
                "new connections waited until others had ended; none was cut",
            )

    def _resource(self, runner: AnyRunner) -> Iterator[Check]:
        label, status = runner.resource.label, runner.status()
        for fault in status["faults"]:
            yield Check(label, "error", fault, "it is tried again every minute at least")
        if not status["faults"]:
            verdict: Literal["ok", "warning"] = "ok" if status["ready"] else "warning"
            yield Check(label, verdict, status["summary"])
        warnings = dict.fromkeys(runner.resource.warnings)
        if status.get("relay") == str(ANYCAST_RELAY):
            warnings |= dict.fromkeys((USING,))  # also where its name says so
        for problem in (*warnings, *status.get("problems", ())):
            yield Check(label, "warning", problem)
        for error in status.get("name_errors", {}).values():
            yield Check(
                label,
                "warning",
                error,
                "add it to the DNS (for ISATAP, isatap_dns does) or the hosts file, or give the"
                " IPv4 address instead",
            )
        for router in status.get("routers", ()):
            yield from self._router(label, router)
        if status.get("keepalive"):
            yield from self._keepalive(label, status)
        for relay in status.get("border_relays", ()):
            if relay["reachability"] == "silent":
                yield Check(
                    label,
                    "warning",
                    f"the border relay {relay['address']} sends back nothing that it is given",
                    "look whether it runs, whether firewalls let protocol 41 pass both ways, and"
                    " whether the 6rd prefix and the IPv4 mask length are the provider's",
                )
        for reason, count in status.get("counters", {}).get("drops", {}).items():
            if reason in _ADVICE_ON_DROPS:
                yield Check(
                    label,
                    "warning",
                    f"{count} packets dropped since the agent started: {reason}",
                    _ADVICE_ON_DROPS[reason],
                )
        has_table = runner.interface in self._host.plane.tables()
        if has_table and runner.wants_forwarding():
            yield self._forwarding(label)

    @staticmethod
    def _router(label: str, router: dict[str, Any]) -> Iterator[Check]:
        if router["reachability"] == "unreachable":
            yield Check(
                label,
                "warning",
                f"router {router['address']} is silent",
                f"look whether it runs, and whether protocol 41 gets there: firewalls between here"
                f" and {router['address']} must let it pass both ways",
            )
        elif not router["advertised"] and router["solicitations_without_answer"] >= 3:
            yield Check(
                label,
                "warning",
                f"{router['address']} has not answered"
                f" {router['solicitations_without_answer']} router solicitations",
                "look whether an ISATAP router runs there, and whether firewalls let protocol 41"
                " pass both ways",
            )

    @staticmethod
    def _keepalive(label: str, status: dict[str, Any]) -> Iterator[Check]:
        asked = status["keepalive"]
        if asked["state"] == "silent":
            target, what = asked["target"], asked["method"].replace("_", " ")
            yield Check(
                label,
                "warning",
                f"{target} is silent: {asked['losses']} keepalives ({what}) without an answer",
                f"look whether the tunnel is configured at {status['remote']} with"
                f" {status['local']} as its remote address, and whether firewalls and NATs between"
                " the two let protocol 41 pass; if that end has another address than"
                f" {target}, set keepalive_target",
            )

    async def _sharing(self, runner: AnyRunner) -> list[Check]:
        label, shared = runner.resource.label, runner.status().get("ipv4_sharing")
        if not shared:
            return []
        found: list[Check] = []
        for name in (*shared["private_interfaces"], *shared["public_interfaces"]):
            parameter = f"net/ipv4/conf/{name}/forwarding"
            try:
                off = read_sysctl(parameter, root=self._proc_sys) != "1"
            except SystemFault:
                continue  # there is no such interface, which the resource itself says
            if off:
                found.append(
                    Check(
                        label,
                        "error",
                        f"{parameter} is 0: somebody has switched IPv4 forwarding off",
                        "find out who (sysctl.d? another daemon?); the agent sets it again",
                    )
                )
        try:
            chains = await chains_that_drop_forwarded()
        except SystemFault as fault:
            return [*found, Check(label, "error", str(fault))]
        found += [
            Check(
                label,
                "warning",
                f"the nftables chain {chain} drops forwarded packets unless a rule accepts them",
                "let it accept those from"
                f" {', '.join(shared['private_interfaces'])} and the answers to them",
            )
            for chain in chains
        ]
        return found

    def _forwarding(self, label: str) -> Check:
        try:
            forwards = read_sysctl("net/ipv6/conf/all/forwarding", root=self._proc_sys) == "1"
        except SystemFault as fault:
            return Check(label, "error", str(fault))
        if not forwards:
            return Check(
                label,
                "error",
                "net.ipv6.conf.all.forwarding is 0: somebody has switched forwarding off",
                "find out who (sysctl.d? another daemon?); applying the resource again sets it",
            )
        return Check(label, "ok", "the host forwards IPv6")
