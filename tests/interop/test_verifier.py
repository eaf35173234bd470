# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifier of an older kernel accepts the programs of the fast path."""

from __future__ import annotations

import pytest

from tests.interop.scene import HOST, Intranet

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("guest_image")]


def test_debian_12_s_kernel_loads_the_programs() -> None:
    """tc loads the object by libbpf, all of its programs at once, and attaches the first."""
    with Intranet() as intranet:
        guest = intranet.guest_at(HOST)
        for module in ("veth", "sch_ingress", "cls_bpf"):
            guest.check(f"modprobe {module}")
        guest.check("ip link add probe type veth peer name other")
        guest.check("tc qdisc add dev probe clsact")
        said = guest.run(
            "tc filter add dev probe egress bpf direct-action obj /tunnel.bpf.o sec tc verbose",
            timeout=120,
        )
        assert said.code == 0, said.output[-2000:]
        assert "tunnel.bpf.o:[tc]" in guest.check("tc filter show dev probe egress")
