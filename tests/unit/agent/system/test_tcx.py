# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs by TCX beside a kernel that this test plays: the order of changes, and the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.system import tcx
from v6ferry.system.errors import SystemFault
from v6ferry.system.tcx import Attached, Tcx
from v6ferry.system.traffic_control import Direction

INDEX = 7
BEFORE, AFTER = 1 << 3, 1 << 4
OURS, NEW = 50, 60


class Kernel:
    """Programs of one interface, by identifier; a descriptor is the identifier less 1000."""

    def __init__(self, *programs: int) -> None:
        self.programs = list(programs)
        self.revision = 1
        self.interfere: Callable[[], None] = lambda: None
        """Somebody else, just before a change is made."""
        self.least = len(programs)
        """The fewest programs that there were since the test began."""

    def attached(self, _index: int, _direction: Direction) -> Attached:
        return Attached(tuple(self.programs), self.revision)

    def change(self, command, _index, _direction, program, flags, relative, revision) -> bool:
        self.interfere()
        if revision not in (0, self.revision):
            return False
        if command.name == "ATTACH":
            place = self.programs.index(relative) if flags & BEFORE else len(self.programs)
            self.programs.insert(place, program + 1000)
        elif flags & AFTER:
            del self.programs[self.programs.index(relative) + 1]
        else:
            assert flags & BEFORE
            assert not relative
            del self.programs[0]
        self.revision += 1
        self.least = min(self.least, len(self.programs))
        return True


@pytest.fixture
def kernel(monkeypatch) -> Kernel:
    return play(Kernel(), monkeypatch)


def play(kernel: Kernel, monkeypatch) -> Kernel:
    monkeypatch.setattr(tcx, "attached", kernel.attached)
    monkeypatch.setattr(tcx, "_change", kernel.change)
    monkeypatch.setattr(tcx, "identifier_of", lambda program: program + 1000)
    return kernel


@pytest.fixture
def record(tmp_path) -> Path:
    return tmp_path / "programs.json"


@pytest.fixture
def boot_id(tmp_path) -> Path:
    path = tmp_path / "boot_id"
    path.write_text("one\n")
    return path


def attach(record: Path, boot_id: Path, identifier: int) -> Tcx:
    made = Tcx(record, boot_id=boot_id)
    made.attach(INDEX, Direction.INGRESS, identifier - 1000)
    return made


def test_next_agent_replaces_the_program_of_the_one_before(kernel, record, boot_id):
    kernel.programs = [1, 2]
    attach(record, boot_id, OURS)
    assert kernel.programs == [1, 2, OURS]
    kernel.programs.append(3)
    attach(record, boot_id, NEW)
    assert kernel.programs == [1, 2, NEW, 3]


def test_there_is_no_moment_without_a_program(kernel, record, boot_id):
    attach(record, boot_id, OURS)
    kernel.least = 1
    attach(record, boot_id, NEW)
    assert kernel.programs == [NEW]
    assert kernel.least == 1


def test_only_our_programs_are_detached(kernel, record, boot_id):
    kernel.programs = [1]
    ours = attach(record, boot_id, OURS)
    kernel.programs.append(2)
    ours.detach(INDEX, Direction.INGRESS)
    assert kernel.programs == [1, 2]


def test_program_is_in_the_record_before_it_is_anywhere(kernel, record, boot_id):
    def look() -> None:
        assert OURS in json.loads(record.read_text())["programs"]

    kernel.interfere = look
    attach(record, boot_id, OURS)


def test_somebody_else_who_is_faster_is_waited_for(kernel, record, boot_id):
    ours = attach(record, boot_id, OURS)
    others = iter([100, 101, 102])

    def interfere() -> None:
        if (one := next(others, None)) is not None:
            kernel.programs.insert(0, one)
            kernel.revision += 1

    kernel.interfere = interfere
    ours.detach(INDEX, Direction.INGRESS)
    assert kernel.programs == [102, 101, 100]


def test_somebody_else_who_never_stops_is_given_up_on(kernel, record, boot_id):
    def interfere() -> None:
        kernel.revision += 1

    kernel.programs, kernel.interfere = [1], interfere
    with pytest.raises(SystemFault, match="cannot attach a BPF program: others come and go"):
        attach(record, boot_id, OURS)


def test_record_of_another_boot_says_nothing(kernel, record, boot_id):
    attach(record, boot_id, OURS)
    boot_id.write_text("another\n")
    kernel.programs = [OURS]
    later = attach(record, boot_id, NEW)
    assert kernel.programs == [OURS, NEW]
    assert later.before_ours(INDEX, Direction.INGRESS) == [OURS]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot": "one"}', '{"programs": []}'])
def test_broken_record_is_told_and_made_anew(kernel, record, boot_id, content, caplog):
    record.write_text(content)
    attach(record, boot_id, NEW)
    assert f"{record} cannot be read" in caplog.text
    assert json.loads(record.read_text()) == {"boot": "one", "programs": [NEW]}


def test_record_that_cannot_be_written_leaves_all_as_it_was(kernel, tmp_path, boot_id):
    with pytest.raises(SystemFault, match="cannot write "):
        attach(tmp_path / "nowhere" / "programs.json", boot_id, NEW)
    assert kernel.programs == []


@given(
    st.lists(st.integers(1, 40), unique=True, max_size=8), st.sets(st.integers(1, 40), max_size=8)
)
def test_whatever_is_there_others_keep_their_places(programs, ours):
    with pytest.MonkeyPatch.context() as monkeypatch:
        kernel = play(Kernel(*programs), monkeypatch)
        tool = Tcx(Path("/nonexistent"))
        tool._ours = frozenset(ours)
        tool.detach(INDEX, Direction.EGRESS)
    assert kernel.programs == [one for one in programs if one not in ours]
