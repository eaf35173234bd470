# SPDX-License-Identifier: GPL-3.0-or-later
"""Where BPF programs meet packets before all filters: TCX (Linux 6.6).

It costs a packet less than a filter, but nothing says whose a program is there, and a service
cannot even ask for another's by its number. So whoever attaches writes down the numbers of its own:
the kernel gives each once in the life of a system.

What is asked of the kernel is bpf(2) itself, for libbpf has it from 1.3 on only.
"""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import platform
import struct
from collections.abc import Callable, Collection
from enum import IntEnum
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from v6ferry.system.errors import SystemFault, refused
from v6ferry.system.files import replace_file
from v6ferry.system.traffic_control import Direction

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Of the system call, by the machine (asm/unistd.h); those that are not here have 280.
_SYSTEM_CALLS = {"x86_64": 321, "i686": 357, "s390x": 351, "ppc64le": 361, "armv7l": 386}
_SYSTEM_CALL = 280

_ATTACH_TYPES = {Direction.INGRESS: 46, Direction.EGRESS: 47}  # BPF_TCX_INGRESS, BPF_TCX_EGRESS
_BEFORE, _AFTER, _BY_IDENTIFIER = 1 << 3, 1 << 4, 1 << 5  # BPF_F_BEFORE, BPF_F_AFTER, BPF_F_ID
_MOST_PROGRAMS = 64  # BPF_MPROG_MAX
_ATTEMPTS = 10
_RESTLESS = "cannot {doing} a BPF program: others come and go on that interface all the time"
_REMEMBERED = 64  # of our programs; an agent needs two, and replaces those of the one before

# Members of union bpf_attr (linux/bpf.h).
_ATTACH = struct.Struct("=IIIIIIQ")
"""Interface, program, attach type, flags, program to replace, relative one, expected revision."""
_QUERY = struct.Struct("=IIIIQIIQQQQ")
"""Interface, attach type, two of flags, array of identifiers, their count, padding, arrays of
flags, of links and of their flags, and the revision."""
_INFORMATION = struct.Struct("=IIQ")
"""Descriptor, octets, and address of a struct bpf_prog_info."""
_PROGRAM = struct.Struct("=II")
"""How that begins: the type and the identifier."""

_log = logging.getLogger(__name__)


class _Command(IntEnum):
    """enum bpf_cmd."""

    ATTACH = 8
    DETACH = 9
    INFORMATION = 15
    QUERY = 16


class Attached(NamedTuple):
    """The programs of one direction of an interface."""

    identifiers: tuple[int, ...]
    """In the order in which they run."""
    revision: int
    """The kernel counts changes: what refers to another one is refused."""


class Tcx:
    """Our programs among those that interfaces have.

    Args:
        record: the file that holds the numbers of our programs. It belongs under /run: it may be
            forgotten when the system is.
        boot_id: says which life of the system this is.
    """

    def __init__(self, record: Path, *, boot_id: Path = BOOT_ID) -> None:
        self._record = record
        self._boot_id = boot_id.read_text().strip()
        self._ours = self._load()

    @property
    def is_supported(self) -> bool:
        """Whether the kernel has it, and lets us look."""
        try:
            attached(1, Direction.INGRESS)
        except SystemFault:
            return False
        return True

    def attach(self, index: int, direction: Direction, program: int) -> None:
        """Run a program on packets of an interface, instead of an earlier one of ours.

        Nothing is done where it already does. There is no moment without a program where one was.

        Args:
            index: of the interface.
            direction: of its packets.
            program: descriptor of the BPF program.

        Raises:
            SystemFault: the kernel or the record's file refuses.
        """
        identifier = identifier_of(program)
        self._note(identifier)
        for _attempt in range(_ATTEMPTS):
            there = attached(index, direction)
            if identifier in there.identifiers:
                break
            earlier = [one for one in there.identifiers if one in self._ours]
            # It runs before the one whose place it takes, until that has gone.
            flags, relative = (_BEFORE | _BY_IDENTIFIER, earlier[0]) if earlier else (0, 0)
            if _change(_Command.ATTACH, index, direction, program, flags, relative, there.revision):
                break
        else:
            raise SystemFault(_RESTLESS.format(doing="attach"))
        self._detach(index, direction, self._ours - {identifier})

    def detach(self, index: int, direction: Direction) -> None:
        """Have no program of ours on packets of an interface.

        Raises:
            SystemFault: the kernel refuses.
        """
        self._detach(index, direction, self._ours)

    def before_ours(self, index: int, direction: Direction) -> list[int]:
        """Return the identifiers of others' programs that run before ours would, or do.

        Raises:
            SystemFault: the kernel refuses.
        """
        there = attached(index, direction).identifiers
        first = next((n for n, one in enumerate(there) if one in self._ours), len(there))
        return list(there[:first])

    def _detach(self, index: int, direction: Direction, identifiers: Collection[int]) -> None:
        # One change after the other, each from what is there then.
        for _attempt in range(_ATTEMPTS):
            there = attached(index, direction)
            place = next((n for n, one in enumerate(there.identifiers) if one in identifiers), None)
            if place is None:
                return
            # A program is named by its descriptor, which we may not have; or by its neighbour.
            if place:
                flags, relative = _AFTER | _BY_IDENTIFIER, there.identifiers[place - 1]
            else:
                flags, relative = _BEFORE, 0
            _change(_Command.DETACH, index, direction, 0, flags, relative, there.revision)
        raise SystemFault(_RESTLESS.format(doing="detach"))

    def _note(self, identifier: int) -> None:
        """Write down that a program is ours; before it is anywhere, so that none is forgotten."""
        if identifier in self._ours:
            return
        ours = sorted(self._ours | {identifier})[-_REMEMBERED:]
        content = json.dumps({"boot": self._boot_id, "programs": ours})
        try:
            replace_file(self._record, content.encode(), mode=0o600)
        except OSError as error:
            raise refused(f"write {self._record}", error.errno or errno.EIO) from error
        self._ours = frozenset(ours)

    def _load(self) -> frozenset[int]:
        try:
            content = json.loads(self._record.read_text())
            if content["boot"] != self._boot_id:
                return frozenset()
            return frozenset(int(one) for one in content["programs"])
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning(
                "%s cannot be read (%s): BPF programs that an earlier agent has left on interfaces"
                " are taken for another's; bpftool net shows them",
                self._record,
                error,
            )
            return frozenset()


def attached(index: int, direction: Direction) -> Attached:
    """Return the programs on packets of an interface; none if there is no such interface.

    Raises:
        SystemFault: the kernel refuses, or has no TCX.
    """
    identifiers = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    query = ctypes.create_string_buffer(
        _QUERY.pack(
            *(index, _ATTACH_TYPES[direction], 0, 0),
            *(ctypes.addressof(identifiers), _MOST_PROGRAMS, 0, 0, 0, 0, 0),
        )
    )
    number = _bpf(_Command.QUERY, query)
    if number in (errno.ENOENT, errno.ENODEV):
        return Attached((), 0)
    if number:
        raise refused("list the BPF programs of an interface", number)
    answer = _QUERY.unpack_from(query)
    return Attached(tuple(identifiers[: answer[5]]), answer[10])


def identifier_of(program: int) -> int:
    """Return the number by which the kernel knows a program.

    Args:
        program: its descriptor.

    Raises:
        SystemFault: it is none.
    """
    information = ctypes.create_string_buffer(_PROGRAM.size)
    question = ctypes.create_string_buffer(
        _INFORMATION.pack(program, _PROGRAM.size, ctypes.addressof(information))
    )
    number = _bpf(_Command.INFORMATION, question)
    if number:
        raise refused("ask for the identifier of a BPF program", number)
    return int(_PROGRAM.unpack_from(information)[1])


def _change(
    command: _Command,
    index: int,
    direction: Direction,
    program: int,
    flags: int,
    relative: int,
    revision: int,
) -> bool:
    """Attach or detach a program; return False if somebody else was faster than we."""
    number = _bpf(
        command,
        ctypes.create_string_buffer(
            _ATTACH.pack(*(index, program, _ATTACH_TYPES[direction], flags, 0, relative, revision))
        ),
    )
    if number in (errno.ESTALE, errno.ENOENT):
        return False
    if number:
        raise refused(f"{command.name.lower()} a BPF program", number)
    return True


def _bpf(command: _Command, attributes: ctypes.Array[ctypes.c_char]) -> int:
    """Call bpf(2) and return the error number, or 0."""
    size = ctypes.c_long(ctypes.sizeof(attributes))
    result = _system_call()(ctypes.c_long(command), ctypes.byref(attributes), size)
    return ctypes.get_errno() if result < 0 else 0


@cache
def _system_call() -> Callable[..., int]:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    number = _SYSTEM_CALLS.get(platform.machine(), _SYSTEM_CALL)
    return partial(call, ctypes.c_long(number))
