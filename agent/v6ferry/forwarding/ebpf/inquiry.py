# SPDX-License-Identifier: GPL-3.0-or-later
"""By which way the programs would send: they are asked, for the kernel tells it to nobody else.

rtnetlink answers for packets of this host. The programs have the kernel route packets that come in
by the tunnel interface, which it will not do for rtnetlink, because their source is an address of
this host.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address

from v6ferry.forwarding.table import Endpoint
from v6ferry.system.bpf import BpfObject
from v6ferry.system.state import UnderlayRoute

_ETHERNET_HEADER = bytes(14)
_INQUIRY = struct.Struct("=II4s4s4sII")
_FOUND = 0  # BPF_FIB_LKUP_RET_SUCCESS of linux/bpf.h


def ask_programs(
    programs: BpfObject,
    tunnel: int,
    tos: int,
    endpoint: Endpoint,
    source: IPv4Address | None,
    port: int,
) -> UnderlayRoute | None:
    """Return by which way packets would leave a tunnel interface.

    Args:
        programs: those of the fast path.
        tunnel: index of the tunnel interface.
        tos: TOS octet of the outer header.
        endpoint: where it goes.
        source: its source; None leaves the choice to the kernel's routing.
        port: our UDP port; 0 in protocol 41.

    Returns:
        None if there is no such way: the programs hand packets up then.
    """
    asked = bytes(4) if source is None else source.packed
    ports = port.to_bytes(2, "big") + endpoint.port.to_bytes(2, "big")
    question = _INQUIRY.pack(tunnel, tos, asked, endpoint.address.packed, ports, 0, 0)
    run = programs.test_run("inquire", _ETHERNET_HEADER + question)
    if run.verdict != _FOUND:
        return None
    _tunnel, _tos, chosen, _endpoint, _ports, uplink, mtu = _INQUIRY.unpack_from(
        run.packet, len(_ETHERNET_HEADER)
    )
    try:
        return UnderlayRoute(socket.if_indextoname(uplink), IPv4Address(chosen), mtu)
    except OSError:
        return None  # it vanished meanwhile
