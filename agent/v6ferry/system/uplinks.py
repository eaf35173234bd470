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
# Devices whose packets have no link-layer header: PPP, raw IP (mobile), IPv4 and IPv6 tunnels, GRE,
# "void" ones (WireGuard), and TUN.
_WITHOUT_HEADER = frozenset({512, 519, 768, 769, 778, 0xFFFE, 0xFFFF})


@dataclass(frozen=True, slots=True)
class Uplink:
    """An interface that leads to the underlay."""

    name: str
    link_layer_length: int | None
    """Octets of the link-layer header of what it receives; None if BPF programs cannot tell."""
    kind: int = _ETHERNET
    """ARPHRD_* of linux/if_arp.h."""


def link_layer_length(kind: int) -> int | None:
    """Return the octets of the link-layer header of a kind of interface (ARPHRD_*), if known."""
    if kind == _ETHERNET:
        return _ETHERNET_HEADER
    return 0 if kind in _WITHOUT_HEADER else None


@dataclass(slots=True)
class Way:
    """An interface that is up, neither loopback nor a tunnel of ours."""

    name: str
    kind: int
    """ARPHRD_*."""
    is_port: bool
    """Whether it belongs to a bridge, a bond or the like."""
    is_point_to_point: bool
    has_address: bool = False
    """Whether it has an IPv4 address, of whatever scope."""

    def is_uplink(self, anywhere: bool) -> bool:
        """Whether packets of the underlay may come in here.

        Args:
            anywhere: whether the host has an address that is in no subnet of one interface, as
                routers have on the loopback interface: then they come in by unnumbered ones, too.
        """
        if self.has_address:
            return True
        # What comes to a port comes to its bridge or bond next.
        if self.is_port or link_layer_length(self.kind) is None:
            return False
        # A point-to-point link may borrow the address of another interface.
        return anywhere or self.is_point_to_point


def find_uplinks(names: Iterable[str], *, sysfs: Path = _SYSFS) -> dict[int, Uplink]:
    """Return interfaces as BPF programs see them, by index.

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
        if index is not None:
            found[index] = Uplink(name, link_layer_length(kind), kind)
    return found
