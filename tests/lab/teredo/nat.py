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
_FIRST_IN_ORDER, _IN_ORDER = 30000, 20000
KINDS = (
    Kind.NONE,
    Kind.FULL_CONE,
    Kind.ADDRESS_RESTRICTED,
    Kind.PORT_RESTRICTED,
    Kind.SYMMETRIC,
)
FORESEEN = (Kind.PORT_PRESERVING, Kind.SEQUENTIAL)
"""Symmetric ones whose ports can be foreseen."""
_SYMMETRIC = (Kind.SYMMETRIC, *FORESEEN)

_LEARN = """
    oifname "wan" meta l4proto udp ct direction original update @inside \
{ udp sport : ct original ip saddr . ct original proto-src }
    oifname "wan" meta l4proto udp ct direction reply update @inside \
{ udp sport : ct reply ip saddr . ct reply proto-src }
    oifname "wan" meta l4proto udp update @spoken { udp sport . ip daddr }
"""


_MORE = {
    Kind.PORT_PRESERVING: "set used {"
    " type ipv4_addr . inet_service; flags dynamic,timeout; timeout 180s; }",
    Kind.SEQUENTIAL: f"map in_order {{ typeof numgen inc mod {_IN_ORDER} : udp dport; elements = {{"
    + ", ".join(f"{number} : {_FIRST_IN_ORDER + number}" for number in range(_IN_ORDER))
    + "} }",
}


def _choose_port(kind: Kind, wan: str, ports: str) -> str:
    """The rules by which a packet that goes out, the first of its flow, gets an external port."""
    out = 'oifname "wan" meta l4proto udp'
    at_random = f"snat ip to {wan}:{ports} fully-random"
    rules = {
        Kind.SYMMETRIC: (at_random,),
        # The first flow of an inside port keeps it.
        Kind.PORT_PRESERVING: (
            f"ip saddr . udp sport @used {at_random}",
            "update @used { ip saddr . udp sport }",
            f"snat ip to {wan}",
        ),
        Kind.SEQUENTIAL: (f"snat ip to {wan} : numgen inc mod {_IN_ORDER} map @in_order",),
    }
    return "\n    ".join(
        f"{out} {rule}" for rule in rules.get(kind, (f"snat ip to {wan}:{ports}",))
    )


def ruleset(kind: Kind, wan: str, ports: str = PORTS) -> str:
    """Return what ``nft -f -`` takes.

    Args:
        kind: of NAT.
        wan: the router's outside address.
        ports: the external ones.
    """
    if kind is Kind.NONE:
        return "flush ruleset\n"
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
  {_MORE.get(kind, "")}
  chain come_in {{
    type nat hook prerouting priority dstnat; policy accept;
    {come_in}
  }}
  chain go_out {{
    type nat hook postrouting priority srcnat; policy accept;
    {_choose_port(kind, wan, ports)}
    oifname "wan" masquerade
  }}
  chain learn {{
    type filter hook postrouting priority 110; policy accept;
    {_LEARN if kind not in _SYMMETRIC else ""}
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
