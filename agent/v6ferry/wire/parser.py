# SPDX-License-Identifier: GPL-3.0-or-later
"""A bounds-checked reader of bytes that came from the network, and the error that all raise."""

from __future__ import annotations

import builtins
from ipaddress import IPv4Address, IPv6Address


class WireError(ValueError):
    """Bytes that are not what they should be, or a value that does not fit the wire.

    Attributes:
        field: the field of the packet, by its name in the RFC, such as ``hop_limit``.
        message: what is wrong with it, in one line.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message)
        self.field = field
        self.message = message

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class Parser:
    """Reads big-endian fields one after another and never past the end.

    Each method names the field that it reads, and raises WireError with that name when the bytes
    do not suffice.
    """

    __slots__ = ("_data", "_position")

    def __init__(self, data: builtins.bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._position = 0

    @property
    def remaining(self) -> int:
        """The number of bytes not read yet."""
        return len(self._data) - self._position

    def _take(self, count: int, field: str) -> memoryview:
        start, end = self._position, self._position + count
        if count < 0 or end > len(self._data):
            raise WireError(field, f"needs {count} bytes, {self.remaining} are left")
        self._position = end
        return self._data[start:end]

    def u8(self, field: str) -> int:
        """Read an unsigned integer of 8 bits."""
        return self._take(1, field)[0]

    def u16(self, field: str) -> int:
        """Read an unsigned integer of 16 bits."""
        return int.from_bytes(self._take(2, field), "big")

    def u32(self, field: str) -> int:
        """Read an unsigned integer of 32 bits."""
        return int.from_bytes(self._take(4, field), "big")

    def ipv4_address(self, field: str) -> IPv4Address:
        """Read an IPv4 address."""
        return IPv4Address(self._take(4, field).tobytes())

    def ipv6_address(self, field: str) -> IPv6Address:
        """Read an IPv6 address."""
        return IPv6Address(self._take(16, field).tobytes())

    def bytes(self, count: int, field: str) -> builtins.bytes:
        """Read ``count`` bytes."""
        return self._take(count, field).tobytes()

    def skip(self, count: int, field: str) -> None:
        """Pass over ``count`` bytes."""
        self._take(count, field)

    def restrict(self, count: int, field: str) -> Parser:
        """Return a parser of the next ``count`` bytes alone, and pass over them."""
        return Parser(self._take(count, field))
