# SPDX-License-Identifier: GPL-3.0-or-later
"""Checked reading of the specification that a user wrote for a resource.

Every mistake is one ``SpecificationError`` whose message names the option, says what was found
and what would do.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, TypeVar

T = TypeVar("T")

_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$")
_INTERFACE_NAME = re.compile(r"[^\s/:]{1,15}$")


class SpecificationError(ValueError):
    """A specification that cannot be used; the message names the option and what to do."""


class Options:
    """The options of one mapping, read one by one; what is left over at the end is a mistake.

    Args:
        options: what the user wrote.
        where: how to call this mapping in messages, such as ``isatap_host/default``.
    """

    def __init__(self, options: Any, where: str) -> None:
        if not isinstance(options, Mapping):
            raise SpecificationError(
                f"{where}: expected a mapping of options, found {_kind(options)}"
            )
        self._options = options
        self._where = where
        self._known: list[str] = []

    def _take(self, name: str, default: Any) -> Any:
        self._known.append(name)
        value = self._options.get(name)
        return default if value is None else value

    def fail(self, name: str, problem: str) -> SpecificationError:
        """An error about the option ``name``."""
        return SpecificationError(f"{self._where}: {name}: {problem}")

    def boolean(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise self.fail(name, f"expected true or false, found {value!r}")
        return value

    def integer(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """A whole number from ``minimum`` to ``maximum``."""
        value = self._take(name, default)
        return self._whole_number(name, value, minimum, maximum)

    def optional_integer(self, name: str, minimum: int, maximum: int) -> int | None:
        """A whole number, or None where the user gave none."""
        value = self._take(name, None)
        return None if value is None else self._whole_number(name, value, minimum, maximum)

    def _whole_number(self, name: str, value: Any, minimum: int, maximum: int) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fail(name, f"expected a whole number, found {value!r}")
        if not minimum <= value <= maximum:
            raise self.fail(name, f"{value} is out of range, use {minimum} to {maximum}")
        return value

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of a few words."""
        value = self._take(name, default)
        if value not in choices:
            raise self.fail(name, f"{value!r} is not one of {', '.join(choices)}")
        return str(value)

    def text(self, name: str, default: str | None, check: Callable[[str], T]) -> T:
        """A text that ``check`` accepts; without a default the option is required."""
        value = self._take(name, default)
        if value is None:
            raise self.fail(name, "is required")
        return self._checked(name, value, check)

    def texts(
        self, name: str, default: tuple[str, ...], check: Callable[[str], T]
    ) -> tuple[T, ...]:
        """A list of texts that ``check`` accepts, without repetitions."""
        values = self._take(name, default)
        if isinstance(values, str) or not isinstance(values, (list, tuple)):
            raise self.fail(name, f"expected a list, found {_kind(values)}")
        result: list[T] = []
        for index, value in enumerate(values):
            one = self._checked(f"{name}[{index}]", value, check)
            if one in result:
                raise self.fail(f"{name}[{index}]", f"{value} is there twice")
            result.append(one)
        return tuple(result)

    def mappings(self, name: str) -> list[Options]:
        """A list of mappings, each to be read as options of its own."""
        values = self._take(name, ())
        if isinstance(values, (str, Mapping)) or not isinstance(values, (list, tuple)):
            raise self.fail(name, f"expected a list, found {_kind(values)}")
        return [
            Options(value, f"{self._where}: {name}[{index}]") for index, value in enumerate(values)
        ]

    def finish(self) -> None:
        """All known options have been read: refuse the others."""
        for name in self._options:
            if name not in self._known:
                near = difflib.get_close_matches(str(name), self._known, n=1)
                advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(self._known)}"
                shown = name if str(name).isidentifier() else repr(name)
                raise SpecificationError(f"{self._where}: unknown option {shown}; {advice}")

    def _checked(self, name: str, value: Any, check: Callable[[str], T]) -> T:
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise self.fail(name, f"expected a text, found {_kind(value)}")
        try:
            return check(str(value))
        except ValueError as error:
            raise self.fail(name, str(error)) from None


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"the text {value!r}"
    names = {dict: "a mapping", list: "a list", tuple: "a list", type(None): "nothing"}
    return names.get(type(value), repr(value))


# What a text has to be. Each raises ValueError with the problem and what would do.


def ipv4_address(text: str) -> IPv4Address:
    """An IPv4 address such as 10.0.0.1."""
    if ":" in text:
        raise ValueError(f"{text} is an IPv6 address, use an IPv4 address such as 10.0.0.1")
    try:
        return IPv4Address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv4 address, use one such as 10.0.0.1") from None


def ipv4_network(text: str) -> IPv4Network:
    """An IPv4 prefix such as 10.0.0.0/8, or an address."""
    if ":" in text:
        raise ValueError(f"{text} is an IPv6 prefix, use an IPv4 prefix such as 10.0.0.0/8")
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"{_reason(text, error)}, use one such as 10.0.0.0/8") from None


def ipv4_address_or_name(text: str) -> str:
    """An IPv4 address or a host name."""
    if ":" in text:
        raise ValueError(f"{text} is an IPv6 address, use an IPv4 address or a host name")
    try:
        return str(IPv4Address(text))
    except ValueError:
        pass
    name = text.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_HOST_LABEL.match(label) for label in labels):
        raise ValueError(f"{text!r} is neither an IPv4 address nor a host name")
    if all(label.isdigit() for label in labels):
        raise ValueError(f"{text!r} is not an IPv4 address, use four numbers from 0 to 255")
    return text


def ipv6_address(text: str) -> IPv6Address:
    """An IPv6 address."""
    if "." in text and ":" not in text:
        raise ValueError(f"{text} is an IPv4 address, use an IPv6 address such as 2001:db8::53")
    try:
        return IPv6Address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv6 address, use one such as 2001:db8::53") from None


def ipv6_network(text: str) -> IPv6Network:
    """An IPv6 prefix such as 2001:db8::/48."""
    if "." in text and ":" not in text:
        raise ValueError(f"{text} is an IPv4 prefix, use an IPv6 prefix such as 2001:db8::/48")
    if "/" not in text:
        raise ValueError(f"{text} has no prefix length, use a prefix such as 2001:db8::/48")
    try:
        return IPv6Network(text)
    except ValueError as error:
        raise ValueError(f"{_reason(text, error)}, use one such as 2001:db8::/48") from None


def interface_name(text: str) -> str:
    """A name that Linux allows for a network interface."""
    if not _INTERFACE_NAME.match(text) or text in (".", ".."):
        raise ValueError(f"{text!r} is not an interface name: 1 to 15 characters, no / : or space")
    return text


def domain_name(text: str) -> str:
    """A DNS domain name."""
    name = text.removesuffix(".")
    if len(name) > 253 or not all(_HOST_LABEL.match(label) for label in name.split(".")):
        raise ValueError(f"{text!r} is not a domain name, use one such as corp.example")
    return name.lower()


def _reason(text: str, error: ValueError) -> str:
    if "host bits set" in str(error):
        return f"{text} has host bits set, so it is an address and not a prefix"
    return f"{text!r} is not a prefix"
