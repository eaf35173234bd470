# SPDX-License-Identifier: GPL-3.0-or-later
"""6rd prefixes (RFC 5969 section 4): a customer's prefix from its IPv4 address and the provider's.

Only the provider's configuration tells a 6rd address from a native one, so nothing here can
recognise one by itself.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network


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
