# SPDX-License-Identifier: GPL-3.0-or-later
"""Teredo addresses: RFC 4380 section 4, and the examples of Microsoft's white paper of 2008."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.addresses import TeredoAddress, teredo

SERVER = IPv4Address("206.73.118.1")
CLIENT_A = TeredoAddress(SERVER, IPv4Address("157.60.0.1"), port=4096, flags=0xE866)
CLIENT_B = TeredoAddress(SERVER, IPv4Address("131.107.0.1"), port=8192, flags=0x2CAD)


@pytest.mark.parametrize(
    ("parts", "address"),
    [
        # The paper prints ffff for the port of client A, and explains beside it why it is efff.
        (CLIENT_A, "2001:0:ce49:7601:e866:efff:62c3:fffe"),
        (CLIENT_B, "2001:0:ce49:7601:2cad:dfff:7c94:fffe"),
    ],
)
def test_white_paper_clients(parts: TeredoAddress, address: str) -> None:
    assert parts.encode() == IPv6Address(address)
    assert teredo.decode(IPv6Address(address)) == parts


def test_cone_flag_is_the_first_of_the_flags_rfc4380_4() -> None:
    """RFC 4380 section 4: the most significant bit of the flags is the cone bit."""
    assert CLIENT_A.cone
    assert not CLIENT_B.cone


def test_port_and_address_are_inverted_rfc4380_4() -> None:
    """RFC 4380 section 4: port and address have their bits inverted (5000 becomes ec77)."""
    address = TeredoAddress(SERVER, IPv4Address("131.107.0.1"), port=5000).encode()
    assert address.exploded.endswith(":0000:ec77:7c94:fffe")


@pytest.mark.parametrize("address", ["3ffe:831f:ce49:7601::1", "2001:1::", "2002::1", "::1"])
def test_other_prefixes_are_not_teredo(address: str) -> None:
    assert teredo.decode(IPv6Address(address)) is None


def test_prefix_of_windows_xp_has_the_same_parts() -> None:
    parts = teredo.decode_obsolete(IPv6Address("3ffe:831f:ce49:7601:8000:efff:7c94:fffe"))
    assert parts == TeredoAddress(SERVER, IPv4Address("131.107.0.1"), 4096, 0x8000)
    assert teredo.decode_obsolete(CLIENT_A.encode()) is None


@pytest.mark.parametrize(("name", "values"), [("port", (65536, 0)), ("flags", (1, -1))])
def test_values_that_exceed_16_bits_are_refused(name: str, values: tuple[int, int]) -> None:
    port, flags = values
    with pytest.raises(ValueError, match=f"Teredo {name}"):
        TeredoAddress(SERVER, SERVER, port, flags).encode()


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_what_was_encoded_comes_back(
    server: IPv4Address, client: IPv4Address, port: int, flags: int
) -> None:
    parts = TeredoAddress(server, client, port, flags)
    address = parts.encode()
    assert address in teredo.TEREDO_PREFIX
    assert teredo.decode(address) == parts
    # The standard library's own decoder agrees.
    assert address.teredo == (server, client)
