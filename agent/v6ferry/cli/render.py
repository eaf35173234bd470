# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of the control API for people; each function takes a ``result`` and returns text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any

from v6ferry.addresses import format_isatap

Answer = Mapping[str, Any]


def shown(answer: Answer) -> str:
    """What ``show`` prints."""
    agent = answer["agent"]
    version, plane = agent["version"], agent["plane"]
    lines = [
        f"v6ferry {version}, process {agent['process_id']}, {plane} plane, since {agent['started']}"
    ]
    proxies = agent.get("portproxy")
    if proxies is not None and (proxies["workers"] or proxies["retired"]):
        lines.append(_workers(proxies))
    if not answer["resources"]:
        lines.append("no resources")
    for one in answer["resources"]:
        lines += ["", *_resource(one)]
    return "\n".join(lines)


def _workers(told: Answer) -> str:
    leaving = told["leaving_connections"]
    retired = f", {told['retired']} of an earlier version" if told["retired"] else ""
    ends = f"; {leaving} connections of removed rules end" if leaving else ""
    return f"PortProxy: {told['workers']} workers{retired}{ends}"


def _resource(one: Answer) -> Iterable[str]:
    status = one["status"]
    state = "ready" if status["ready"] else "not ready"
    yield f"{one['kind']}/{one['name']}: {state}: {status['summary']}"
    if status.get("file_problem"):
        yield f"  file        {status['file_problem']}"
    if "listen_port" in status:
        yield from _portproxy_only(status)
    if "interface" not in status:
        return
    mtu = f", MTU {status['mtu']}" if "mtu" in status else ""
    yield f"  interface   {status['interface']}{mtu}"
    if status.get("underlay_addresses"):
        yield f"  underlay    {', '.join(status['underlay_addresses'])}"
    for address in status.get("addresses", ()):
        yield f"  address     {_readable(address['address'])}{_lifetimes(address)}"
    for router in status.get("routers", ()):
        yield f"  router      {_router(router)}"
    for route in status.get("routes", ()):
        if route["gateway"] is not None:
            yield f"  route       {route['prefix']} via {_readable(route['gateway'])}"
    if "remote" in status:
        yield from _configured_only(status)
    yield from _router_only(status)
    yield from _customer_edge_only(status)
    yield from _sharing_only(status)
    yield from _teredo_only(status)
    for title, key in (("DNS", "dns_servers"), ("search", "dns_search"), ("ignored", "ignored")):
        if status.get(key):
            yield f"  {title:11} {', '.join(status[key])}"
    for name, error in status.get("name_errors", {}).items():
        yield f"  name        {name}: {error}"
    yield from _counters(status.get("counters"))


def _teredo_only(status: Answer) -> Iterable[str]:
    if "state" in status:
        yield f"  state       {status['state']} ({status['type']})"
    if status.get("nat"):
        mapped = status["mapped_address"]
        seen = f", seen as {mapped} port {status['mapped_port']}" if mapped else ""
        chosen = status.get("port_choice")
        ports = f", ports {chosen}" if chosen not in (None, "unknown") else ""
        yield f"  NAT         {status['nat']}{ports}{seen}"
    if status.get("server"):
        yield f"  server      {status['server']}"
    if "refresh_interval" in status:
        how = ", as the NAT lets us" if status["refresh_interval_is_learned"] else ""
        yield f"  refresh     after {status['refresh_interval']:g} s at most{how}"
    for why, number in status.get("discarded", {}).items():
        yield f"  discarded   {number} {why}"


def _portproxy_only(status: Answer) -> Iterable[str]:
    yield f"  listens     {status['listen_address']} port {status['listen_port']}"
    if status["connect_addresses"]:
        where = ", ".join(status["connect_addresses"])
        yield f"  leads to    {where} port {status['connect_port']}"
    for problem in status["problems"]:
        yield f"  note        {problem}"
    counted = status["counters"]
    if not counted:
        return
    yield (
        f"  accepted    {counted['accepted']} connections, {counted['active']} of them run;"
        f" refused {counted['refused']}, cut for being idle {counted['timed_out']}"
    )
    yield f"  bytes       in {counted['bytes_in']}, out {counted['bytes_out']}"
    for number, count in counted["failed"].items():
        yield f"  failed      {count} {number}"
    if slowest := _shortest_that_holds(counted["durations"], 0.99):
        yield f"  durations   99 of 100 connections took less than {slowest} ms"


def _shortest_that_holds(durations: list[int], share: float) -> int | None:
    """The power of two in milliseconds that this share of connections stayed below."""
    wanted, found = sum(durations) * share, 0
    for power, count in enumerate(durations):
        found += count
        if found and found >= wanted:
            return int(2**power)
    return None


def _configured_only(status: Answer) -> Iterable[str]:
    name = f" ({status['remote_name']})" if status["remote_name"] else ""
    yield f"  remote      {status['remote'] or 'not known'}{name}"
    for route in status["routes"]:
        yield f"  route       {route['prefix']} metric {route['metric']}"
    for prefix in status["withdrawn_routes"]:
        yield f"  withdrawn   {prefix}"
    asked = status["keepalive"]
    if asked is not None:
        losses = f", {asked['losses']} lost" if asked["losses"] else ""
        yield f"  keepalive   {asked['target']} is {asked['state']}{losses}"


def _router_only(status: Answer) -> Iterable[str]:
    for prefix, seconds in status.get("ending_prefixes", {}).items():
        yield f"  ending      {prefix}, for {_duration(seconds)}"
    if "hosts" in status:
        yield f"  hosts       {status['hosts']}"


def _customer_edge_only(status: Answer) -> Iterable[str]:
    if status.get("delegated_prefix"):
        yield f"  delegated   {status['delegated_prefix']}, of the 6rd prefix {status['prefix']}"
    for relay in status.get("border_relays", ()):
        name = f" ({relay['name']})" if relay["name"] != relay["address"] else ""
        use = ", in use" if relay["in_use"] else ""
        yield f"  relay       {relay['address']}{name}, {relay['reachability']}{use}"
    for interface, link in status.get("private_interfaces", {}).items():
        prefixes = ", ".join(link["prefixes"]) or "no prefix"
        default = " as a default router" if link["default_router"] else ""
        yield f"  private     {interface}: {link['problem'] or prefixes + default}"
        for prefix, seconds in link["ending_prefixes"].items():
            yield f"  ending      {prefix} on {interface}, for {_duration(seconds)}"


def _sharing_only(status: Answer) -> Iterable[str]:
    if shared := status.get("ipv4_sharing"):
        private, public = (
            ", ".join(shared[side]) for side in ("private_interfaces", "public_interfaces")
        )
        yield f"  sharing     IPv4 of {public} with {private}"
    for interface, addresses in status.get("dhcp", {}).items():
        yield f"  DHCP        {interface}: {addresses}"


def _counters(counters: Answer | None) -> Iterable[str]:
    if counters is None:
        return
    yield (
        f"  in          {counters['packets_in']} packets, {counters['bytes_in']} bytes;"
        f" out {counters['packets_out']} packets, {counters['bytes_out']} bytes"
    )
    for reason, count in counters["drops"].items():
        yield f"  dropped     {count} {reason}"


def _router(router: Answer) -> str:
    name = f" ({router['name']})" if router["name"] != router["address"] else ""
    if not router["advertised"]:
        return f"{router['address']}{name}, no advertisement yet"
    default = "no default router"
    if router["default_lifetime"]:
        default = f"default router for {_duration(router['default_lifetime'])}"
    return (
        f"{router['address']}{name}, {router['reachability']}, {default},"
        f" preference {router['preference']}"
    )


def _lifetimes(address: Answer) -> str:
    if address.get("valid_lifetime") is None:
        return ""
    if address["preferred_lifetime"] == 0:
        return f"  deprecated, valid for {_duration(address['valid_lifetime'])}"
    preferred = address["preferred_lifetime"]
    shorter = "" if preferred is None else f", preferred for {_duration(preferred)}"
    return f"  valid for {_duration(address['valid_lifetime'])}{shorter}"


def applied(answer: Answer) -> str:
    """What ``apply`` prints."""
    lines: list[str] = []
    for one in answer["resources"]:
        lines += one["actions"] or [f"{one['kind']} {one['name']}: as it should be"]
        lines += [f"  warning: {warning}" for warning in one.get("warnings", ())]
        if one["status"] is not None:
            lines.append(f"  {one['status']['summary']}")
    return "\n".join(lines)


def explained(answer: Answer) -> str:
    """What ``explain`` prints."""
    steps = [f"{number}. {step}" for number, step in enumerate(answer["steps"], 1)]
    return "\n".join([*steps, f"=> {answer['verdict']}"])


def examined(answer: Answer) -> str:
    """What ``doctor`` prints."""
    lines: list[str] = []
    for check in answer["checks"]:
        lines.append(f"{check['status']:7} {check['name']}: {check['message']}")
        if check["advice"]:
            lines.append(f"        -> {check['advice']}")
    bad = sum(check["status"] != "ok" for check in answer["checks"])
    lines.append("all is well" if not bad else f"{bad} of {len(answer['checks'])} need attention")
    return "\n".join(lines)


def _readable(address: str) -> str:
    return format_isatap(IPv6Address(address))


def _duration(seconds: int) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
