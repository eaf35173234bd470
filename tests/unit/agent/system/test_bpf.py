# SPDX-License-Identifier: GPL-3.0-or-later
"""Maps of a BPF object, with a libbpf that refuses as the kernel does."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
from v6ferry.system import bpf
from v6ferry.system.bpf import BpfMap
from v6ferry.system.errors import SystemFault


def map_that_answers(*results: int) -> BpfMap:
    answers = iter(results)
    library = SimpleNamespace(
        bpf_map__fd=lambda _map: 3,
        bpf_map__key_size=lambda _map: 4,
        bpf_map__value_size=lambda _map: 4,
        bpf_map_update_elem=lambda *_arguments: next(answers),
    )
    return BpfMap(library, "rules", 1)


def test_entries_are_added_as_soon_as_the_kernel_has_memory_for_them(monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(bpf.time, "sleep", pauses.append)
    map_that_answers(-errno.ENOMEM, -errno.ENOMEM, 0).update([(b"key1", b"some")])
    assert len(pauses) == 2


def test_map_without_memory_is_a_fault_in_the_end(monkeypatch):
    monkeypatch.setattr(bpf.time, "sleep", lambda _seconds: None)
    with pytest.raises(SystemFault, match="BPF map rules: Cannot allocate memory"):
        map_that_answers(*[-errno.ENOMEM] * 1000).update([(b"key1", b"some")])


def test_full_map_is_a_fault_at_once():
    with pytest.raises(SystemFault, match="BPF map rules: Argument list too long"):
        map_that_answers(-errno.E2BIG).update([(b"key1", b"some")])
