# SPDX-License-Identifier: GPL-3.0-or-later
"""The PROXY protocol, versions 1 and 2: who a proxied connection came from.

Source: https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
LONGEST_V1 = 107
"""Bytes of the longest line of version 1, its end included."""
LONGEST_HEADER = 16 + 2048
"""Bytes of a header that is accepted, extensions included; the protocol itself allows 64 KiB."""

_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21
_ADDRESSES = {_TCP4: (IPv4Address, 4), _TCP6: (IPv6Address, 16)}
_FAMILIES = {0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32}

AddressAndPort = tuple[str, int]


class ProxyHeaderError(ValueError):
    """What came in begins with no PROXY header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """Who speaks to whom; None where the sender does not say (LOCAL, UNKNOWN)."""

    source: AddressAndPort | None
    destination: AddressAndPort | None


def parse_proxy_header(data: bytes) -> tuple[ProxyHeader, int] | None:
    """Read a header of either version from the beginning of a stream.

    Returns:
        The header and its length in bytes; None as long as more is needed.

    Raises:
        ProxyHeaderError: it is none.
    """
    if data.startswith(SIGNATURE):
        return _parse_v2(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    if data.startswith(b"PROXY "):
        return _parse_v1(data)
    raise ProxyHeaderError("neither a PROXY line nor the signature of version 2")


def _parse_v1(data: bytes) -> tuple[ProxyHeader, int] | None:
    end = data.find(b"\r\n", 0, LONGEST_V1)
    if end < 0:
        if len(data) >= LONGEST_V1:
            raise ProxyHeaderError(f"the PROXY line does not end within {LONGEST_V1} bytes")
        return None
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise ProxyHeaderError("the PROXY line is not ASCII") from None
    if words[1] == "UNKNOWN":
        return ProxyHeader(None, None), end + 2
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderError("the PROXY line is not PROXY TCP4|TCP6 SOURCE DESTINATION PORT PORT")
    kind = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        source, destination = str(kind(words[2])), str(kind(words[3]))
    except AddressValueError as error:
        raise ProxyHeaderError(f"the PROXY line has a wrong address: {error}") from None
    if "%" in source or "%" in destination:
        raise ProxyHeaderError("the PROXY line has an address with an interface")
    ports = _port(words[4]), _port(words[5])
    return ProxyHeader((source, ports[0]), (destination, ports[1])), end + 2


def _port(text: str) -> int:
    if not text.isdigit() or len(text) > 5 or int(text) > 65535 or text != str(int(text)):
        raise ProxyHeaderError(f"the PROXY line has a wrong port: {text!r}")
    return int(text)


def _parse_v2(data: bytes) -> tuple[ProxyHeader, int] | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if command not in (_LOCAL, _PROXY) or family not in _FAMILIES:
        raise ProxyHeaderError(f"unknown command {command:#x} or family {family:#x}")
    if 16 + length > LONGEST_HEADER:
        raise ProxyHeaderError(f"the header has {length} bytes of extensions, too many")
    known = _ADDRESSES.get(family)
    if known is not None and command == _PROXY and length < 2 * known[1] + 4:
        raise ProxyHeaderError(f"{length} bytes are too few for the addresses")
    if len(data) < 16 + length:
        return None
    if command == _LOCAL or known is None:
        return ProxyHeader(None, None), 16 + length
    kind, size = known
    source, destination = (str(kind(data[start : start + size])) for start in (16, 16 + size))
    ports = struct.unpack_from("!HH", data, 16 + 2 * size)
    return ProxyHeader((source, ports[0]), (destination, ports[1])), 16 + length


def format_v1(header: ProxyHeader) -> bytes:
    """Write a line of version 1."""
    if header.source is None or header.destination is None:
        return b"PROXY UNKNOWN\r\n"
    (source, source_port), (destination, port) = _same_family(header.source, header.destination)
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} {source_port} {port}\r\n".encode()


def format_v2(header: ProxyHeader) -> bytes:
    """Write a header of version 2."""
    if header.source is None or header.destination is None:
        return SIGNATURE + struct.pack("!BBH", _LOCAL, 0, 0)
    (source, source_port), (destination, port) = _same_family(header.source, header.destination)
    kind, family = (IPv6Address, _TCP6) if ":" in source else (IPv4Address, _TCP4)
    addresses = kind(source).packed + kind(destination).packed
    ports = struct.pack("!HH", source_port, port)
    start = struct.pack("!BBH", _PROXY, family, len(addresses) + len(ports))
    return SIGNATURE + start + addresses + ports


def _same_family(
    source: AddressAndPort, destination: AddressAndPort
) -> tuple[AddressAndPort, AddressAndPort]:
    """Both without an interface, and as IPv6 where only one is IPv4 (RFC 4291 section 2.5.5.2)."""
    ends = [(host.partition("%")[0], port) for host, port in (source, destination)]
    if len({":" in host for host, _port_number in ends}) > 1:
        ends = [(host if ":" in host else f"::ffff:{host}", port) for host, port in ends]
    return ends[0], ends[1]
