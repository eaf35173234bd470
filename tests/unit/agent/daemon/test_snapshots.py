# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines leave to their successors."""

from __future__ import annotations

import logging

import pytest
from v6ferry.daemon.snapshots import Snapshots


def test_what_was_saved_is_loaded_until_it_is_removed(tmp_path):
    snapshots = Snapshots(tmp_path / "snapshots")
    snapshots.save("isatap_host/default", {"resolved": {}})
    assert snapshots.load("isatap_host/default") == {"resolved": {}}
    snapshots.remove("isatap_host/default")
    assert snapshots.load("isatap_host/default") is None
    snapshots.remove("isatap_host/default")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"1"])
def test_broken_snapshot_is_no_snapshot(tmp_path, content):
    (tmp_path / "isatap_host").mkdir()
    (tmp_path / "isatap_host/default.json").write_bytes(content)
    assert Snapshots(tmp_path).load("isatap_host/default") is None


def test_snapshot_that_cannot_be_written_is_logged_and_no_more(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        Snapshots(tmp_path / "file").save("isatap_host/default", {})
    assert "not written" in caplog.text
