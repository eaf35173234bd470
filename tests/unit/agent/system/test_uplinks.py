# SPDX-License-Identifier: GPL-3.0-or-later
"""Which interfaces lead to the underlay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from v6ferry.system import uplinks
from v6ferry.system.uplinks import Uplink, Way, find_uplinks, link_layer_length

ETHERNET, INFINIBAND, PPP, NONE = 1, 32, 512, 0xFFFE


def is_uplink(*, anywhere: bool = False, has_address: bool = False, **what: Any) -> bool:
    """Whether an interface is one; an Ethernet interface by default."""
    values: dict[str, Any] = {
        "kind": ETHERNET,
        "is_port": False,
        "is_point_to_point": False,
        **what,
    }
    return Way("eth0", has_address=has_address, **values).is_uplink(anywhere)


def test_interface_with_an_ipv4_address_is_an_uplink_whatever_it_is():
    for kind in (ETHERNET, INFINIBAND, PPP):
        assert is_uplink(kind=kind, has_address=True, is_port=True)


def test_unnumbered_interface_is_one_where_the_address_is_the_host_s():
    assert not is_uplink()
    assert is_uplink(anywhere=True)


def test_unnumbered_point_to_point_link_borrows_an_address():
    assert is_uplink(kind=PPP, is_point_to_point=True)


@pytest.mark.parametrize("what", [{"is_port": True}, {"kind": INFINIBAND}])
def test_unnumbered_interface_that_cannot_be_one(what):
    assert not is_uplink(anywhere=True, is_point_to_point=True, **what)


def test_link_layer_lengths():
    lengths = {kind: link_layer_length(kind) for kind in (ETHERNET, PPP, NONE, INFINIBAND)}
    assert lengths == {ETHERNET: 14, PPP: 0, NONE: 0, INFINIBAND: None}


def test_kinds_of_interfaces_are_read_and_missing_ones_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    indexes = {"eth0": 2, "ib0": 3, "gone": None, "going": 4}
    monkeypatch.setattr(uplinks, "interface_index", indexes.__getitem__)
    for name, kind in (("eth0", ETHERNET), ("ib0", INFINIBAND), ("gone", ETHERNET)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    found = find_uplinks(indexes, sysfs=tmp_path)
    assert found == {2: Uplink("eth0", 14), 3: Uplink("ib0", None, INFINIBAND)}
