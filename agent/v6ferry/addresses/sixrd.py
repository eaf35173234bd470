# SPDX-License-Identifier: GPL-3.0-or-later
"""6rd prefixes (RFC 5969 section 4): a customer's prefix from its IPv4 address and the provider's.

Only the provider's configuration tells a 6rd address from a native one, so nothing here can
recognise one by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_SHORTEST_OPTION = 22
_RELAYS_AT = 18


@dataclass(frozen=True)
class SixrdOption:
    """What a DHCPv4 server tells of a 6rd domain (RFC 5969 section 7.1.1)."""

    ipv4_mask_length: int
    prefix: IPv6Network
    border_relays: tuple[IPv4Address, ...]


def decode_dhcp_option(data: bytes) -> SixrdOption:
    """Read the value of OPTION_6RD (212), without its code and length.

    Raises:
        ValueError: this is none that a customer edge may use.
    """
    if len(data) < _SHORTEST_OPTION or (len(data) - _RELAYS_AT) % 4:
        raise ValueError(
            f"OPTION_6RD of {len(data)} bytes: must have 22, and 4 more for each further relay"
        )
    mask_length, prefix_length = data[0], data[1]
    if prefix_length > 128:
        raise ValueError(f"OPTION_6RD: a 6rd prefix length of {prefix_length}: must be 0 to 128")
    # What follows the prefix has to be zeros, but receivers do not rely on it.
    prefix = IPv6Network((data[2:_RELAYS_AT], prefix_length), strict=False)
    # Section 7.1.1 itself only bounds the sum by 128, but section 4 needs a /64 at least.
    _suffix_length(prefix, mask_length)
    relays = (IPv4Address(data[at : at + 4]) for at in range(_RELAYS_AT, len(data), 4))
    return SixrdOption(mask_length, prefix, tuple(dict.fromkeys(relays)))


def encode_dhcp_option(option: SixrdOption) -> bytes:
    """Return the value of OPTION_6RD (212), without its code and length."""
    head = bytes([option.ipv4_mask_length, option.prefix.prefixlen])
    relays = b"".join(relay.packed for relay in option.border_relays)
    return head + option.prefix.network_address.packed + relays


def parse_dhcp_option(text: str) -> SixrdOption:
    """Read OPTION_6RD as DHCP clients write it down.

    Args:
        text: its value in hexadecimal, with or without separators or ``0x``; or its fields as
            dhclient has them, ``8 32 2001:db8:: 10.0.0.1``.

    Raises:
        ValueError: it is neither.
    """
    fields = text.replace(",", " ").split()
    if len(fields) >= 4 and fields[0].isdigit() and fields[1].isdigit() and ":" in fields[2]:
        try:
            head = bytes([int(fields[0]), int(fields[1])]) + IPv6Address(fields[2]).packed
            relays = b"".join(IPv4Address(one).packed for one in fields[3:])
        except ValueError as error:
            raise ValueError(f"{text!r} is no OPTION_6RD: {error}") from error
        return decode_dhcp_option(head + relays)
    digits = text.strip().lower()
    digits = digits[2:] if digits.startswith("0x") else digits
    try:
        data = bytes.fromhex(digits.replace(":", " ").replace("-", " "))
    except ValueError:
        raise ValueError(
            f"{text!r} is no OPTION_6RD: write its value in hexadecimal, or its fields such as"
            " 8 32 2001:db8:: 10.0.0.1"
        ) from None
    return decode_dhcp_option(data)


def delegated_prefix(
    sixrd_prefix: IPv6Network, ipv4: IPv4Address, mask_length: int = 0
) -> IPv6Network:
    """Return the prefix that the 6rd domain delegates to the customer edge with ``ipv4``.

    Args:
        sixrd_prefix: the domain's prefix.
        ipv4: the customer edge's address in the domain.
        mask_length: how many high bits all IPv4 addresses of the domain share (IPv4MaskLen); they
            are left out.

    Raises:
        ValueError: ``mask_length`` is not 0 to 32, or the result would be longer than 64 bits.
    """
    suffix_length = _suffix_length(sixrd_prefix, mask_length)
    length = sixrd_prefix.prefixlen + suffix_length
    suffix = int(ipv4) & ((1 << suffix_length) - 1)
    return IPv6Network((int(sixrd_prefix.network_address) | suffix << 128 - length, length))


def embedded_ipv4(
    address: IPv6Address, sixrd_prefix: IPv6Network, common: IPv4Network
) -> IPv4Address | None:
    """Return the IPv4 address of the customer edge that serves ``address``.

    Args:
        address: an address.
        sixrd_prefix: the domain's prefix.
        common: the bits that all IPv4 addresses of the domain share; 0.0.0.0/0 for none.

    Returns:
        The endpoint, None if ``address`` is not in the domain.

    Raises:
        ValueError: the two prefixes leave no room in 64 bits.
    """
    suffix_length = _suffix_length(sixrd_prefix, common.prefixlen)
    if address not in sixrd_prefix:
        return None
    shift = 128 - sixrd_prefix.prefixlen - suffix_length
    suffix = int(address) >> shift & ((1 << suffix_length) - 1)
    return IPv4Address(int(common.network_address) | suffix)


def _suffix_length(sixrd_prefix: IPv6Network, mask_length: int) -> int:
    if not 0 <= mask_length <= 32:
        raise ValueError(f"6rd IPv4 mask length {mask_length}: must be 0 to 32")
    suffix_length = 32 - mask_length
    if sixrd_prefix.prefixlen + suffix_length > 64:
        raise ValueError(
            f"6rd prefix {sixrd_prefix}: with {suffix_length} bits of the IPv4 address the "
            "delegated prefix exceeds 64 bits; give a shorter prefix or a longer mask length"
        )
    return suffix_length
