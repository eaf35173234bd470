# SPDX-License-Identifier: GPL-3.0-or-later
"""BPF objects: programs and maps in the kernel, loaded by the system's libbpf.

libbpf comes with iproute2, so it is on every system that has ``ip``. What is used of it is its
stable interface (libbpf 1.0), called by ctypes.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType

from v6ferry.system.errors import SystemFault

_LIBRARY = "libbpf.so.1"
_LOG_BYTES = 1 << 16
_ATTEMPTS = 100
_PAUSE = 0.001  # seconds between them
_NO_PERMISSION = (
    "the kernel does not permit BPF programs: give the service AmbientCapabilities=CAP_BPF"
    " CAP_NET_ADMIN (Linux 5.8), allow the system call bpf, or run as root"
)


class _OpenOptions(ctypes.Structure):
    """struct bpf_object_open_opts; a longer one is accepted by its size."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("removed_attach_prog_fd", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
        ("btf_custom_path", ctypes.c_char_p),
        ("kernel_log_buf", ctypes.c_void_p),
        ("kernel_log_size", ctypes.c_size_t),
        ("kernel_log_level", ctypes.c_uint32),
    )


class _TestRunOptions(ctypes.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_char_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    )


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a program did with a packet."""

    __test__ = False  # pytest takes it for a test otherwise

    verdict: int
    """TC_ACT_*, signed."""
    packet: bytes
    nanoseconds: int
    """Of one run, the mean."""


class BpfMap:
    """A map of a loaded object.

    Args:
        library: libbpf.
        name: of the map.
        pointer: struct bpf_map.
    """

    def __init__(self, library: ctypes.CDLL, name: str, pointer: int) -> None:
        self._library = library
        self.name = name
        handle = ctypes.c_void_p(pointer)
        self.descriptor = int(library.bpf_map__fd(handle))
        self.key_size = int(library.bpf_map__key_size(handle))
        self.value_size = int(library.bpf_map__value_size(handle))

    def update(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Set the values of keys.

        Raises:
            SystemFault: the map is full, or memory is.
        """
        update, descriptor = self._library.bpf_map_update_elem, self.descriptor
        for key, value in entries:
            result = update(descriptor, key, value, 0)
            attempts = _ATTEMPTS
            while result == -errno.ENOMEM and attempts:
                # The kernel takes memory for entries from a small stock, which it fills up behind
                # our back: whoever adds many is too fast for it.
                time.sleep(_PAUSE)
                attempts -= 1
                result = update(descriptor, key, value, 0)
            if result:
                raise SystemFault(f"BPF map {self.name}: {os.strerror(-result)}")

    def delete(self, keys: Iterable[bytes]) -> None:
        """Remove keys; it is no fault if one is not there."""
        delete, descriptor = self._library.bpf_map_delete_elem, self.descriptor
        for key in keys:
            delete(descriptor, key)

    def value(self, key: bytes) -> bytes | None:
        """Return the value of a key; None if it is absent."""
        buffer = ctypes.create_string_buffer(self.value_size)
        if self._library.bpf_map_lookup_elem(self.descriptor, key, buffer):
            return None
        return buffer.raw

    def per_cpu(self, key: bytes) -> list[bytes]:
        """Return the values of a key of a per-CPU map, one for each CPU; none if it is absent."""
        stride = (self.value_size + 7) & ~7
        count = self._library.libbpf_num_possible_cpus()
        buffer = ctypes.create_string_buffer(stride * count)
        if self._library.bpf_map_lookup_elem(self.descriptor, key, buffer):
            return []
        data = buffer.raw
        return [data[at : at + self.value_size] for at in range(0, len(data), stride)]

    def set_per_cpu(self, key: bytes, value: bytes) -> None:
        """Set the value of a key of a per-CPU map, for all CPUs the same."""
        padded = value.ljust((self.value_size + 7) & ~7, b"\0")
        self.update([(key, padded * self._library.libbpf_num_possible_cpus())])


class BpfObject:
    """The programs and maps of an object file, in the kernel until they are closed and unused.

    Args:
        image: the object file.
        maps: names of its maps, with the octets of a key and of a value.
        programs: names of its programs.

    Raises:
        SystemFault: there is no libbpf, the kernel or its verifier refuses, or the maps differ.
    """

    def __init__(
        self, image: bytes, maps: Mapping[str, tuple[int, int]], programs: Iterable[str]
    ) -> None:
        self._library = library = _libbpf()
        log = ctypes.create_string_buffer(_LOG_BYTES)
        options = _OpenOptions(
            sz=ctypes.sizeof(_OpenOptions),
            object_name=b"v6ferry",
            kernel_log_buf=ctypes.addressof(log),
            kernel_log_size=_LOG_BYTES,
        )
        opened = library.bpf_object__open_mem(image, len(image), ctypes.byref(options))
        if not opened:
            raise SystemFault(f"{_LIBRARY} cannot read the BPF object: {_last_error()}")
        self._handle = ctypes.c_void_p(opened)
        try:
            result = library.bpf_object__load(self._handle)
            if result:
                raise _load_fault(-result, log.value)
            self.maps = {name: self._map(name) for name in maps}
            self.programs = {name: self._program(name) for name in programs}
            for name, sizes in maps.items():
                found = (self.maps[name].key_size, self.maps[name].value_size)
                if found != sizes:
                    raise SystemFault(
                        f"BPF map {name} has keys and values of {found} bytes where {sizes} were"
                        " expected: the object is of another version; build it (make bpf)"
                    )
        except BaseException:
            self.close()
            raise

    def _map(self, name: str) -> BpfMap:
        pointer = self._library.bpf_object__find_map_by_name(self._handle, name.encode())
        if not pointer:
            raise SystemFault(f"the BPF object has no map {name}: build it (make bpf)")
        return BpfMap(self._library, name, pointer)

    def _program(self, name: str) -> int:
        pointer = self._library.bpf_object__find_program_by_name(self._handle, name.encode())
        if not pointer:
            raise SystemFault(f"the BPF object has no program {name}: build it (make bpf)")
        return int(self._library.bpf_program__fd(ctypes.c_void_p(pointer)))

    def test_run(
        self, program: str, frame: bytes, context: bytes = b"", repeat: int = 1
    ) -> TestRun:
        """Run a program on an Ethernet frame (BPF_PROG_TEST_RUN).

        Args:
            program: its name.
            frame: with its link-layer header.
            context: a struct __sk_buff; only what the kernel lets be set may be other than zero.
            repeat: how often to run it.

        Raises:
            SystemFault: the kernel refuses.
        """
        room = ctypes.create_string_buffer(len(frame) + 256)
        options = _TestRunOptions(
            sz=ctypes.sizeof(_TestRunOptions),
            data_in=frame,
            data_size_in=len(frame),
            data_out=ctypes.addressof(room),
            data_size_out=len(room),
            ctx_in=context or None,
            ctx_size_in=len(context),
            repeat=repeat,
        )
        result = self._library.bpf_prog_test_run_opts(self.programs[program], ctypes.byref(options))
        if result:
            raise SystemFault(f"cannot test the BPF program {program}: {os.strerror(-result)}")
        verdict = ctypes.c_int32(options.retval).value
        return TestRun(verdict, room.raw[: options.data_size_out], options.duration)

    def close(self) -> None:
        """Let go of it; programs that are attached somewhere stay, with their maps."""
        if self._handle:
            self._library.bpf_object__close(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self) -> BpfObject:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _libbpf() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError as error:
        raise SystemFault(
            f"there is no {_LIBRARY}: install libbpf 1.0 or later (Debian: libbpf1)"
        ) from error
    for function in (
        "bpf_object__open_mem",
        "bpf_object__find_map_by_name",
        "bpf_object__find_program_by_name",
    ):
        getattr(library, function).restype = ctypes.c_void_p
    library.bpf_object__open_mem.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
    flags = ctypes.c_uint64
    library.bpf_map_update_elem.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, flags)
    library.bpf_map_delete_elem.argtypes = (ctypes.c_int, ctypes.c_char_p)
    library.bpf_map_lookup_elem.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
    # What it has to say comes by the log buffer; a callback would need memory to execute.
    library.libbpf_set_print(None)
    return library


def _last_error() -> str:
    return os.strerror(ctypes.get_errno())


def _load_fault(number: int, log: bytes) -> SystemFault:
    if number in (errno.EPERM, errno.EACCES) and not log.strip():
        return SystemFault(_NO_PERMISSION)
    lines = [line for line in log.decode(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(("processed ", "verification time"))]
    detail = f": {said[-1].strip()}" if said else ""
    return SystemFault(
        f"the kernel refuses the BPF programs ({os.strerror(number)}){detail};"
        " Linux 5.10 or later is needed"
    )
