# SPDX-License-Identifier: GPL-3.0-or-later
"""The resolver settings, and which full names a name stands for."""

from __future__ import annotations

import pytest
from v6ferry.naming.settings import ResolverSettings


def settings(tmp_path, text, hostname="host"):
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    return ResolverSettings(path, hostname=lambda: hostname)


@pytest.mark.parametrize(
    ("text", "nameservers", "search"),
    [
        ("nameserver 10.0.0.1\nnameserver fe80::1%eth0", ("10.0.0.1", "fe80::1%eth0"), ()),
        ("search a.example b.example.", (), ("a.example", "b.example")),
        ("domain a.example ignored", (), ("a.example",)),
        ("search a.example\ndomain b.example", (), ("b.example",)),
        ("# nameserver 10.0.0.1\n;search x\n  options rotate\nnameserver\n", (), ()),
        ("search .", (), ()),
    ],
)
def test_resolv_conf(tmp_path, text, nameservers, search):
    current = settings(tmp_path, text).current()
    assert (current.nameservers, current.search) == (nameservers, search)


def test_domain_of_the_host_is_searched_where_the_file_says_nothing(tmp_path):
    assert settings(tmp_path, "", "host.corp.example").current().search == ("corp.example",)
    assert settings(tmp_path, "search x", "host.corp.example").current().search == ("x",)


def test_changed_file_is_read_again(tmp_path):
    changing = settings(tmp_path, "search a.example")
    assert changing.current().search == ("a.example",)
    changing.path.write_text("search bb.example")
    assert changing.current().search == ("bb.example",)
    changing.path.unlink()
    assert changing.current().search == ()


def test_unchanged_file_is_read_once(tmp_path, monkeypatch):
    unchanged = settings(tmp_path, "search a.example")
    unchanged.current()
    monkeypatch.setattr(type(unchanged.path), "read_text", None)
    assert unchanged.current().search == ("a.example",)


@pytest.mark.parametrize(
    ("name", "full_names"),
    [
        ("isatap", ("isatap.a.example", "isatap.b.example")),
        ("isatap.corp", ("isatap.corp", "isatap.corp.a.example", "isatap.corp.b.example")),
        ("isatap.corp.", ("isatap.corp",)),
        ("isatap.", ("isatap",)),
    ],
)
def test_full_names(tmp_path, name, full_names):
    assert settings(tmp_path, "search a.example b.example").full_names(name) == full_names
