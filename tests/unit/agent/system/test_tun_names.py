# SPDX-License-Identifier: GPL-3.0-or-later
"""What open_tun refuses before it asks the kernel."""

from __future__ import annotations

import pytest
from v6ferry.system.errors import SystemFault
from v6ferry.system.tun import open_tun, remove_tun


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "a:b", "tun%d", "sixteen-letters-", "é" * 8, "a\0b"]
)
def test_unusable_name_is_refused(name):
    with pytest.raises(SystemFault, match=r"interface name .* is not usable"):
        open_tun(name)


def test_missing_driver_is_named(tmp_path):
    device = tmp_path / "tun"
    with pytest.raises(SystemFault, match=f"no TUN driver at {device}: load it"):
        open_tun("isatap0", clone_device=device)


def test_removing_nothing_needs_no_driver(tmp_path):
    assert remove_tun("isatap-gone", clone_device=tmp_path / "tun") is False
