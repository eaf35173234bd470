# SPDX-License-Identifier: GPL-3.0-or-later
"""Files are replaced whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from v6ferry.system.files import replace_file


def test_new_file_is_readable_by_all(tmp_path):
    replace_file(tmp_path / "new", b"x")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o644


def test_mode_of_a_file_is_kept(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o600)
    replace_file(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_refusal_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch, number):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def refuse(self, target):
        raise OSError(number, "refused")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="refused"):
        replace_file(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_mount_point_is_written_in_place(tmp_path, monkeypatch):
    path = tmp_path / "resolv.conf"
    path.write_bytes(b"old")

    def busy(self, target):
        raise OSError(errno.EBUSY, "a mount point")

    monkeypatch.setattr(Path, "replace", busy)
    replace_file(path, b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"new"]
