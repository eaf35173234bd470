# SPDX-License-Identifier: GPL-3.0-or-later
"""Interfaces that lead to the underlay, as BPF programs see them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from v6ferry.system.netlink_messages import interface_index

KERNEL_DRIVER = Path("/sys/module/tunnel4")
"""What is there while the kernel's own driver of protocol 41 is loaded."""

_SYSFS = Path("/sys/class/net")
_ETHERNET = 1  # ARPHRD_ETHER of linux/if_arp.h
_ETHERNET_HEADER = 14
# Devices whose packets have no link-layer header: PPP, IPv4 tunnels, GRE, and "void" ones.
_WITHOUT_HEADER = frozenset({512, 768, 778, 0xFFFE, 0xFFFF})


@dataclass(frozen=True, slots=True)
class Uplink:
    """An interface that leads to the underlay."""

    name: str
    link_layer_length: int
    """Octets of the link-layer header of what it receives."""


def find_uplinks(names: Iterable[str], *, sysfs: Path = _SYSFS) -> dict[int, Uplink]:
    """Return those of the interfaces that BPF programs can serve, by index.

    Args:
        names: of interfaces; those that have gone meanwhile are left out.
        sysfs: where the kernel describes them.
    """
    found: dict[int, Uplink] = {}
    for name in names:
        index = interface_index(name)
        try:
            kind = int((sysfs / name / "type").read_text())
        except OSError:
            continue
        if index is None:
            continue
        if kind == _ETHERNET:
            found[index] = Uplink(name, _ETHERNET_HEADER)
        elif kind in _WITHOUT_HEADER:
            found[index] = Uplink(name, 0)
    return found
