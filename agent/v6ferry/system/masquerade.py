# SPDX-License-Identifier: GPL-3.0-or-later
"""Masquerading of IPv4 packets by nftables, in tables of our own.

Each owner has one table, ``ip v6ferry/KIND/NAME``. It is replaced in one transaction; no other
table is ever written to. It stays when the agent stops.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Callable
from typing import Any

from v6ferry.system.errors import refused
from v6ferry.system.programs import NFT, ProgramFailedError, run_program
from v6ferry.system.state import Masquerading

_PREFIX = "v6ferry/"
_CHAIN = "postrouting"
_SOURCE_NAT = 100  # NF_IP_PRI_NAT_SRC of linux/netfilter_ipv4.h
_NO_SUCH_TABLE = "No such file or directory"

# linux/netlink.h, linux/netfilter/nfnetlink.h
_NETLINK_NETFILTER = 12
_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NFNLGRP_NFTABLES = 7
_LARGEST_READ = 1 << 16


def table_name(owner: str) -> str:
    """Return the name of an owner's table."""
    return f"{_PREFIX}{owner}"


def table_objects(owner: str, wanted: Masquerading) -> list[dict[str, Any]]:
    """Return an owner's table as ``nft -j list table`` prints it, without its handles."""
    table = table_name(owner)
    objects: list[dict[str, Any]] = [
        {"table": {"family": "ip", "name": table}},
        {
            "chain": {
                "family": "ip",
                "table": table,
                "name": _CHAIN,
                "type": "nat",
                "hook": "postrouting",
                "prio": _SOURCE_NAT,
                "policy": "accept",
            }
        },
    ]
    for private in wanted.private_interfaces:
        for public in wanted.public_interfaces:
            expression = [_matches("iifname", private), _matches("oifname", public)]
            objects.append(
                {
                    "rule": {
                        "family": "ip",
                        "table": table,
                        "chain": _CHAIN,
                        "expr": [*expression, {"masquerade": None}],
                    }
                }
            )
    return objects


def _matches(key: str, interface: str) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": interface}}


async def apply_masquerading(owner: str, wanted: Masquerading) -> list[str]:
    """Make an owner's table what it should be.

    Returns:
        A line if it changes.

    Raises:
        SystemFault: nft is missing, or the kernel refuses.
    """
    objects = table_objects(owner, wanted)
    if await _present(owner) == objects:
        return []
    table = objects[0]
    # Added first, since what is not there cannot be deleted.
    commands = [{"add": table}, {"delete": table}, *({"add": one} for one in objects)]
    await _nft("-f", "-", given={"nftables": commands})
    private, public = (
        ", ".join(names) for names in (wanted.private_interfaces, wanted.public_interfaces)
    )
    return [f"masquerade IPv4 from {private} to {public} (nftables table ip {table_name(owner)})"]


async def remove_masquerading(owner: str) -> list[str]:
    """Remove an owner's table; it is no fault if it is gone already.

    Returns:
        A line if it was there.

    Raises:
        SystemFault: nft is missing, or the kernel refuses.
    """
    table = {"table": {"family": "ip", "name": table_name(owner)}}
    try:
        await _nft("-f", "-", given={"nftables": [{"delete": table}]})
    except ProgramFailedError as fault:
        if _NO_SUCH_TABLE in str(fault):
            return []
        raise
    return [f"remove the nftables table ip {table_name(owner)}"]


async def _present(owner: str) -> list[dict[str, Any]] | None:
    """An owner's table as it is, without what the kernel numbers; None if there is none."""
    try:
        listed = await _nft("list", "table", "ip", table_name(owner))
    except ProgramFailedError as fault:
        if _NO_SUCH_TABLE in str(fault):
            return None
        raise
    return [
        {
            what: {key: value for key, value in one.items() if key != "handle"}
            for what, one in entry.items()
        }
        for entry in listed
        if "metainfo" not in entry
    ]


async def chains_that_drop_forwarded() -> list[str]:
    """Return nftables chains, for people, that drop forwarded IPv4 packets by default.

    Raises:
        SystemFault: nft is missing, or the kernel refuses.
    """
    found = [entry["chain"] for entry in await _nft("list", "chains") if "chain" in entry]
    return [
        f"{one['family']} {one['table']} {one['name']}"
        for one in found
        if one.get("hook") == "forward"
        and one.get("policy") == "drop"
        and one["family"] in ("ip", "inet")
    ]


async def _nft(*arguments: str, given: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Run nft with JSON in and out."""
    output = await run_program(
        [NFT.find(), "-j", *arguments],
        doing=f"run nft {' '.join(arguments)}",
        given=None if given is None else json.dumps(given).encode(),
    )
    listed: list[dict[str, Any]] = json.loads(output)["nftables"] if output.strip() else []
    return listed


class TableEvents:
    """Tells when somebody may have changed one of our tables.

    Args:
        loop: the event loop.
        changed: is called then, also after our own changes.

    Raises:
        SystemFault: the kernel refuses the subscription.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]) -> None:
        self._loop = loop
        self._changed = changed
        try:
            self._socket = socket.socket(
                socket.AF_NETLINK,
                socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
                _NETLINK_NETFILTER,
            )
            self._socket.bind((0, 0))
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
        except OSError as error:
            raise refused("watch the nftables", error.errno or errno.EIO) from error
        loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        """Hear no more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _readable(self) -> None:
        try:
            # A table's name is in every message about it and what it holds.
            ours = _PREFIX.encode() in self._socket.recv(_LARGEST_READ)
        except BlockingIOError:
            return
        except OSError:
            ours = True  # the kernel had to drop events (ENOBUFS): anything may have changed
        if ours:
            self._changed()
