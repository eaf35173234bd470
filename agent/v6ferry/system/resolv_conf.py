# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent's block in resolv.conf(5): text in, text out, no I/O.

The block stands at the end, and notes what each interface brought in a comment line, from which it
is written anew when one of them changes. Whoever added the lines before it keeps precedence: the
servers of the intranet know its names. Taking the last interface out gives the file back byte by
byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from v6ferry.system.state import DnsConfiguration

RESOLV_CONF = Path("/etc/resolv.conf")

MAX_NAMESERVERS = 3
"""MAXNS of glibc (and musl): further nameserver lines are not read."""

_BEGIN = b"# BEGIN v6ferry: DNS from IPv6 routers; changes here are lost"
_BEGIN_UNFINISHED = _BEGIN + b" (the line before had no end)"
_BEGIN_NEW = _BEGIN + b" (there was no file)"
_END = b"# END v6ferry"
_BLOCK = re.compile(
    rb"^(?P<begin>" + re.escape(_BEGIN) + rb"[^\n]*)\n(?P<body>(?:[^\n]*\n)*?)"
    rb"" + re.escape(_END) + rb"(?:\n|\Z)",
    re.MULTILINE,
)
_INTERFACE = re.compile(r"# (?P<name>\S+): servers(?P<servers>[^;]*); search(?P<search>[^;]*)$")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE | re.ASCII)
_LONGEST_DOMAIN = 253


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What a resolv.conf says."""

    nameservers: tuple[str, ...] = ()
    """IP addresses, in order; an IPv6 one may name its interface (``fe80::1%eth0``)."""
    search: tuple[str, ...] = ()
    """Domains to add to a name, without trailing dots."""


def parse_resolv_conf(text: str) -> ResolvConf:
    """Return the settings of a resolv.conf; of several ``search`` and ``domain``, the last."""
    nameservers: list[str] = []
    search: list[str] = []
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "nameserver" and values:
            nameservers.append(values[0])
        elif keyword == "search":
            search = values
        elif keyword == "domain":
            search = values[:1]
    domains = filter(None, (domain.strip(".") for domain in search))
    return ResolvConf(tuple(dict.fromkeys(nameservers)), tuple(dict.fromkeys(domains)))


def is_domain_name(text: str) -> bool:
    """Return whether a search domain is fit for resolv.conf and a command line.

    Domains come from router advertisements (RFC 8106 section 5.2), and must not bring in line
    ends, spaces or options.
    """
    name = text.removesuffix(".")
    return len(name) <= _LONGEST_DOMAIN and all(_LABEL.fullmatch(x) for x in name.split("."))


def server_text(server: IPv6Address, interface: str) -> str:
    """Return a server's address; a link-local one means nothing without its interface."""
    scoped = server.is_link_local and not server.scope_id
    return f"{server}%{interface}" if scoped else str(server)


def interfaces_in(content: bytes | None) -> dict[str, DnsConfiguration]:
    """Return what each interface brought, as the block in a file's content notes it."""
    block = _BLOCK.search(content or b"")
    if block is None:
        return {}
    found: dict[str, DnsConfiguration] = {}
    for line in block["body"].decode(errors="replace").splitlines():
        note = _INTERFACE.match(line)
        if note is not None:
            servers = (_address(text) for text in note["servers"].split())
            found[note["name"]] = DnsConfiguration(
                tuple(server for server in servers if server is not None),
                tuple(filter(is_domain_name, note["search"].split())),
            )
    return found


def with_interfaces(
    content: bytes | None, interfaces: Mapping[str, DnsConfiguration]
) -> bytes | None:
    """Return a file's content with the block for these interfaces, and nothing else changed.

    Args:
        content: The file now, with or without a block; None if there is none.
        interfaces: What each interface brings; those that bring nothing are left out.

    Returns:
        The content that the file should have; None if it should not be there.
    """
    rest = _without_block(content)
    wanted = {name: dns for name, dns in interfaces.items() if dns.servers or dns.search}
    if not wanted:
        return rest
    begin = _BEGIN
    if rest is None:
        begin, rest = _BEGIN_NEW, b""
    body = "".join(f"{line}\n" for line in _body(rest, wanted))
    if rest and not rest.endswith(b"\n"):
        begin, rest = _BEGIN_UNFINISHED, rest + b"\n"
    return b"%b%b\n%b%b\n" % (rest, begin, body.encode(), _END)


def _without_block(content: bytes | None) -> bytes | None:
    """Return the lines of others; None if there was no file before the block."""
    block = _BLOCK.search(content or b"")
    if content is None or block is None:
        return content
    before, after = content[: block.start()], content[block.end() :]
    if after:
        return before + after
    if block["begin"] == _BEGIN_UNFINISHED:
        return before.removesuffix(b"\n")
    return None if block["begin"] == _BEGIN_NEW and not before else before


def _body(others: bytes, wanted: Mapping[str, DnsConfiguration]) -> Iterable[str]:
    """Yield the lines of the block beside the lines of others."""
    present = parse_resolv_conf(others.decode(errors="replace"))
    room = max(MAX_NAMESERVERS - len(present.nameservers), 0)
    ours: list[str] = []
    domains = list(present.search)
    for name, dns in wanted.items():
        fit = [domain for domain in dns.search if is_domain_name(domain)]
        noted = (" ".join(["servers", *map(str, dns.servers)]), " ".join(["search", *fit]))
        yield f"# {name}: {noted[0]}; {noted[1]}"
        ours += [server_text(server, name) for server in dns.servers]
        domains += fit
    new = [server for server in dict.fromkeys(ours) if server not in present.nameservers]
    for number, server in enumerate(new):
        # One that no resolver would read is still shown to people.
        yield f"{'' if number < room else '# no room for '}nameserver {server}"
    domains = list(dict.fromkeys(domains))
    if len(domains) > len(present.search):
        # The last search line is the one that counts, so it repeats the others' domains.
        yield f"search {' '.join(domains)}"


def _address(text: str) -> IPv6Address | None:
    try:
        return IPv6Address(text)
    except ValueError:
        return None
