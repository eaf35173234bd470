# SPDX-License-Identifier: GPL-3.0-or-later
"""nftables rulesets that make a NAT of each kind out of a router with interfaces wan and lan.

Linux gives an inside endpoint the external port that it has already (endpoint-independent mapping)
unless it is told to choose at random; what Linux alone lets in is port-restricted. Who else may
come in is looked up in a map of external ports that is learned from what went out.

Unsolicited packets must be dropped in INPUT, before conntrack confirms them: else a packet of the
peer that comes too early takes the tuple of the later flow, and the NAT is symmetric for it.
"""

from __future__ import annotations

from tests.lab import LabHost
from tests.simulation.nat import Kind

PORTS = "10000-29999"
"""Outside the ephemeral range: inside it ports would be preserved by chance."""
KINDS = (
    Kind.NONE,
    Kind.FULL_CONE,
    Kind.ADDRESS_RESTRICTED,
    Kind.PORT_RESTRICTED,
    Kind.SYMMETRIC,
)

_LEARN = """
    oifname "wan" meta l4proto udp ct direction original update @inside \
{ udp sport : ct original ip saddr . ct original proto-src }
    oifname "wan" meta l4proto udp ct direction reply update @inside \
{ udp sport : ct reply ip saddr . ct reply proto-src }
    oifname "wan" meta l4proto udp update @spoken { udp sport . ip daddr }
"""


def ruleset(kind: Kind, wan: str, ports: str = PORTS) -> str:
    """Return what ``nft -f -`` takes.

    Args:
        kind: of NAT.
        wan: the router's outside address.
        ports: the external ones.
    """
    if kind is Kind.NONE:
        return "flush ruleset\n"
    random = " fully-random" if kind is Kind.SYMMETRIC else ""
    let_in = {
        Kind.FULL_CONE: "dnat ip to udp dport map @inside",
        Kind.ADDRESS_RESTRICTED: "udp dport . ip saddr @spoken dnat ip to udp dport map @inside",
    }.get(kind)
    come_in = f'iifname "wan" ip daddr {wan} meta l4proto udp {let_in}' if let_in else ""
    return f"""flush ruleset
table ip nat {{
  map inside {{
    type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 180s;
  }}
  set spoken {{ type inet_service . ipv4_addr; flags dynamic,timeout; timeout 180s; }}
  chain come_in {{
    type nat hook prerouting priority dstnat; policy accept;
    {come_in}
  }}
  chain go_out {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" meta l4proto udp snat ip to {wan}:{ports}{random}
    oifname "wan" masquerade
  }}
  chain learn {{
    type filter hook postrouting priority 110; policy accept;
    {_LEARN if kind is not Kind.SYMMETRIC else ""}
  }}
  chain unsolicited {{
    type filter hook input priority 0; policy accept;
    iifname "wan" meta l4proto udp drop
  }}
}}
"""


def become(router: LabHost, kind: Kind, ports: str = PORTS) -> None:
    """Make a NAT of a router, which forgets all mappings it has."""
    wan = next(one for one in router.host.interfaces if one.name == "wan")
    router.run(["nft", "-f", "-"], input=ruleset(kind, str(wan.addresses[0].ip), ports))
    router.run(["conntrack", "-F"])
