# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters over the agent's own address code; each is documented in the YAML file of its name."""

from __future__ import annotations

import typing as t
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from ansible.errors import AnsibleFilterError
from ansible_collections.v6ops.transition.agent.v6ferry import addresses

Parsed = t.TypeVar("Parsed", IPv4Address, IPv6Address, IPv6Network)


def configured_tunnel_link_local(ipv4: str) -> str:
    """Return the link-local address of the end of a configured tunnel."""
    return str(addresses.configured_tunnel_link_local(_ipv4(ipv4)))


def isatap_address(ipv4: str, prefix: str, dotted: bool = False) -> str:
    """Return the ISATAP address of a host in a subnet."""
    return _write(addresses.isatap_address(_ipv6_prefix(prefix), _ipv4(ipv4)), dotted)


def isatap_link_local(ipv4: str, dotted: bool = False) -> str:
    """Return the link-local ISATAP address of a host."""
    return _write(addresses.isatap_link_local(_ipv4(ipv4)), dotted)


def isatap_embedded_ipv4(address: str) -> str | None:
    """Return the IPv4 address in an ISATAP address, None if it is no ISATAP address."""
    ipv4 = addresses.isatap.embedded_ipv4(_ipv6(address))
    return None if ipv4 is None else str(ipv4)


def ipv6_transition_decode(address: str) -> dict[str, t.Any]:
    """Return the transition technology of an address and what the address says about IPv4."""
    return addresses.decode(_ipv6(address)).as_dict()


def sixtofour_prefix(ipv4: str) -> str:
    """Return the prefix of the site whose 6to4 router has the address."""
    return str(addresses.sixtofour_prefix(_ipv4(ipv4)))


def sixrd_prefix(ipv4: str, prefix: str, ipv4_mask_length: int = 0) -> str:
    """Return the prefix that a 6rd domain delegates to the customer edge with the address."""
    if not isinstance(ipv4_mask_length, int):
        raise ValueError(f"ipv4_mask_length {ipv4_mask_length!r} is not a number; give 0 to 32")
    delegated = addresses.delegated_prefix(_ipv6_prefix(prefix), _ipv4(ipv4), ipv4_mask_length)
    return str(delegated)


def sixrd_dhcp_option(option: str) -> dict[str, t.Any]:
    """Return the 6rd domain that the DHCPv4 option 212 describes."""
    if not isinstance(option, str):
        raise ValueError(f"{option!r} is not a text; give the option's value in hexadecimal")
    domain = addresses.sixrd.parse_dhcp_option(option)
    return {
        "prefix": str(domain.prefix),
        "ipv4_mask_length": domain.ipv4_mask_length,
        "border_relays": [str(relay) for relay in domain.border_relays],
    }


FILTERS = (
    configured_tunnel_link_local,
    isatap_address,
    isatap_link_local,
    isatap_embedded_ipv4,
    ipv6_transition_decode,
    sixtofour_prefix,
    sixrd_prefix,
    sixrd_dhcp_option,
)


class FilterModule:
    """What Ansible loads."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {function.__name__: _with_clear_errors(function) for function in FILTERS}


def _with_clear_errors(function: t.Callable[..., t.Any]) -> t.Callable[..., t.Any]:
    """Make bad input an error of the template, which names the filter."""

    def checked(*arguments: t.Any, **options: t.Any) -> t.Any:
        try:
            return function(*arguments, **options)
        except (TypeError, ValueError) as error:
            raise AnsibleFilterError(f"{function.__name__}: {error}") from error

    return checked


def _ipv4(text: str) -> IPv4Address:
    return _parse(IPv4Address, text, "an IPv4 address such as 192.0.2.1")


def _ipv6(text: str) -> IPv6Address:
    return _parse(IPv6Address, text, "an IPv6 address such as 2001:db8::1")


def _ipv6_prefix(text: str) -> IPv6Network:
    return _parse(IPv6Network, text, "an IPv6 prefix such as 2001:db8:0:7::/64")


def _parse(kind: type[Parsed], text: str, wanted: str) -> Parsed:
    # The library would take an integer for the bits of an address.
    if isinstance(text, str):
        try:
            return kind(text)
        except ValueError as error:
            raise ValueError(f"{text!r} is not {wanted}: {error}") from error
    raise ValueError(f"{text!r} is not {wanted}; for a list, use map")


def _write(address: IPv6Address, dotted: bool) -> str:
    return addresses.format_isatap(address) if dotted else str(address)
