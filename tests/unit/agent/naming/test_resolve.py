# SPDX-License-Identifier: GPL-3.0-or-later
"""Sources are asked in turn."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import pytest
from v6ferry.naming.resolve import NameNotFound, Resolver
from v6ferry.naming.source import Resolution, SourceFailure

FOUND = Resolution((IPv4Address("10.0.0.1"),), "here", 60)


class Source:
    def __init__(self, label, answer):
        self.label, self.answer, self.asked = label, answer, []

    def describe(self, name):
        return f"{self.label}: {name}"

    async def lookup(self, name):
        self.asked.append(name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def resolve(name, *sources):
    return asyncio.run(Resolver(sources).resolve(name))


def test_address_is_its_own_answer():
    assert resolve("192.0.2.1").addresses == (IPv4Address("192.0.2.1"),)


def test_first_source_that_knows_answers():
    late = Source("late", FOUND)
    assert resolve("isatap", Source("empty", None), Source("full", FOUND), late) is FOUND
    assert late.asked == []


def test_source_that_fails_does_not_stop_the_next():
    assert resolve("isatap", Source("DNS", SourceFailure("silent")), Source("x", FOUND)) is FOUND


def test_failure_says_what_was_tried():
    with pytest.raises(NameNotFound) as found:
        resolve("isatap", Source("hosts", None), Source("DNS", SourceFailure("no answer")))
    assert found.value.name == "isatap"
    assert found.value.tried == ("hosts: isatap (unknown)", "DNS: isatap (no answer)")
    assert str(found.value) == (
        "no IPv4 address found for 'isatap'; tried hosts: isatap (unknown); DNS: isatap (no answer)"
    )
