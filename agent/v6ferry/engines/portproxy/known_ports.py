# SPDX-License-Identifier: GPL-3.0-or-later
"""Protocols that carry addresses or ports inside, which a proxy for TCP passes on as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

_INSIDE: Mapping[int, str] = {
    21: (
        "FTP names addresses and ports in PORT, EPRT and answers to PASV: passive transfers with"
        " EPSV work if the server's passive ports are proxied, too"
    ),
    111: "ONC RPC's port mapper names other ports: proxy those of the services, too",
    135: "DCE RPC's endpoint mapper names other ports: give its services fixed ones and proxy them",
    554: "RTSP negotiates ports for RTP over UDP, which is not proxied: have clients interleave it",
    1720: "H.323 carries addresses inside and needs a gatekeeper that speaks both families",
    1723: "PPTP sends its packets in GRE, which is not proxied",
    5060: "SIP carries addresses inside and needs a proxy of its own that speaks both families",
    5061: "SIP carries addresses inside and needs a proxy of its own that speaks both families",
}


def carried_inside(ports: Iterable[int]) -> Iterator[str]:
    """Say of each of these ports why a proxy for TCP is not enough, if it is not."""
    for port in sorted(set(ports)):
        if port in _INSIDE:
            yield f"port {port}: {_INSIDE[port]}"
