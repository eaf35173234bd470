# SPDX-License-Identifier: GPL-3.0-or-later
"""Names are kept resolved for those who want them."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

from v6ferry.daemon import names
from v6ferry.daemon.names import NameKeeper
from v6ferry.naming.resolve import Resolver
from v6ferry.naming.source import Resolution

ROUTER = (IPv4Address("10.0.0.1"),)


class Zone:
    """A source whose content a test changes."""

    def __init__(self, **addresses):
        self.addresses, self.asked = addresses, []

    def describe(self, name):
        return f"the test's zone: {name}"

    async def lookup(self, name):
        self.asked.append(name)
        found = self.addresses.get(name)
        return Resolution(found, "the test's zone", 3600.0) if found else None


class Scene:
    def __init__(self, zone):
        self.zone, self.told = zone, []
        self.keeper = NameKeeper(Resolver([zone]))

    def want(self, owner, names, refresh=3600):
        self.keeper.want(
            owner, frozenset(names), refresh, lambda name, found: self.told.append((name, found))
        )

    async def until(self, condition):
        async with asyncio.timeout(5) if hasattr(asyncio, "timeout") else _Nothing():
            while not condition():
                await asyncio.sleep(0.005)


class _Nothing:
    async def __aenter__(self): ...
    async def __aexit__(self, *_exception): ...


def play(story, **addresses):
    async def run():
        scene = Scene(Zone(**addresses))
        try:
            await story(scene)
        finally:
            await scene.keeper.close()

    asyncio.run(run())


def test_name_is_looked_up_and_told():
    async def story(scene):
        scene.want("host", ["isatap"])
        await scene.until(lambda: scene.told)
        assert scene.told == [("isatap", ROUTER)]
        assert scene.keeper.sources("host") == {"isatap": "the test's zone"}
        assert scene.keeper.errors("host") == {}

    play(story, isatap=ROUTER)


def test_second_owner_hears_at_once_without_another_lookup():
    async def story(scene):
        scene.want("host", ["isatap"])
        await scene.until(lambda: scene.told)
        scene.want("router", ["isatap"])
        assert scene.told == [("isatap", ROUTER)]  # not from inside the call
        await scene.until(lambda: len(scene.told) == 2)
        assert scene.told == [("isatap", ROUTER)] * 2
        assert scene.zone.asked == ["isatap"]

    play(story, isatap=ROUTER)


def test_unknown_name_says_who_was_asked_and_is_found_after_the_network_changed():
    async def story(scene):
        scene.want("host", ["isatap"])
        await scene.until(lambda: scene.told)
        assert scene.told == [("isatap", ())]
        assert "the test's zone: isatap" in scene.keeper.errors("host")["isatap"]
        scene.zone.addresses["isatap"] = ROUTER
        scene.keeper.retry()
        await scene.until(lambda: len(scene.told) == 2)
        assert scene.told[1] == ("isatap", ROUTER)
        assert scene.keeper.errors("host") == {}

    play(story)


def test_unknown_name_is_tried_again_by_itself(monkeypatch):
    monkeypatch.setattr(names, "FIRST_RETRY", 0.01)

    async def story(scene):
        scene.want("host", ["isatap"])
        await scene.until(lambda: len(scene.told) >= 3)
        assert set(scene.told) == {("isatap", ())}

    play(story)


def test_known_name_is_looked_up_again_after_the_interval_of_its_most_eager_owner():
    async def story(scene):
        scene.want("patient", ["isatap"])
        scene.want("eager", ["isatap"], 0.02)
        await scene.until(lambda: len(scene.zone.asked) >= 3)

    play(story, isatap=ROUTER)


def test_name_that_nobody_wants_any_more_is_let_go():
    async def story(scene):
        scene.want("host", ["isatap"], 0.01)
        await scene.until(lambda: scene.told)
        scene.keeper.forget("host")
        await asyncio.sleep(0)
        asked = len(scene.zone.asked)
        await asyncio.sleep(0.05)
        assert len(scene.zone.asked) <= asked + 1
        assert scene.keeper.sources("host") == {}

    play(story, isatap=ROUTER)
