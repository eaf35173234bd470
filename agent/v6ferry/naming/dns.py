# SPDX-License-Identifier: GPL-3.0-or-later
"""Names from the DNS (RFC 1035), asked at the servers that resolv.conf names."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, ip_address

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from v6ferry.naming.settings import ResolverSettings
from v6ferry.naming.source import Resolution, SourceFailure

DNS_PORT = 53
LOOKUP_TIMEOUT = 6.0
"""Seconds for a lookup, with all the search domains and servers it tries."""
SERVER_TIMEOUT = 1.5
"""Seconds before the next server is asked, or the same one again."""


class DnsSource:
    """A source that asks the DNS for A records.

    A name without a dot is asked with each search domain, never alone: "isatap" as a top-level
    domain would be a question to the root servers about somebody's inside.

    Args:
        settings: Servers and search domains.
        timeout: Seconds that a lookup may take in all.
        port: The servers' port.
        clock: Gives seconds; bounds the lookup.
    """

    def __init__(
        self,
        settings: ResolverSettings,
        *,
        timeout: float = LOOKUP_TIMEOUT,
        port: int = DNS_PORT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._timeout = timeout
        self._port = port
        self._clock = clock

    def describe(self, name: str) -> str:
        """Return what a lookup asks, and where."""
        servers = ", ".join(self._settings.current().nameservers)
        where = f" at {servers}" if servers else ""
        return f"DNS{where}: {', '.join(self._settings.full_names(name)) or name}"

    async def lookup(self, name: str) -> Resolution | None:
        """Return the addresses of the first full name that has any.

        Raises:
            SourceFailure: No server is configured, none answers, or none gives a proper answer.
        """
        names = self._settings.full_names(name)
        if not names:
            raise SourceFailure(
                f"{self._settings.path} has no search domain to add to {name!r}: set one, or"
                " give the name with its domain"
            )
        resolver = self._resolver()
        deadline = self._clock() + self._timeout
        failure: SourceFailure | None = None
        for full_name in names:
            try:
                resolution = await self._ask(resolver, full_name, deadline)
            except SourceFailure as error:
                # One domain's servers being broken says nothing of the next domain's.
                failure = failure or error
                continue
            if resolution is not None:
                return resolution
        if failure is not None:
            raise failure
        return None

    def _resolver(self) -> dns.asyncresolver.Resolver:
        servers = [text for text in self._settings.current().nameservers if _is_address(text)]
        if not servers:
            raise SourceFailure(f"{self._settings.path} names no server: add a nameserver line")
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = servers
        resolver.port = self._port
        resolver.timeout = SERVER_TIMEOUT
        return resolver

    async def remaining(self, name: str, addresses: Collection[str]) -> float | None:
        """Return for how many seconds a name may be taken to have these addresses.

        None if the DNS does not say that it has exactly these: then another source knows the name,
        they are about to change, or nobody answers.
        """
        wanted = {ip_address(one) for one in addresses}
        kinds = {4: "A", 6: "AAAA"}
        deadline = self._clock() + self._timeout
        try:
            resolver = self._resolver()
            for full_name in self._settings.full_names(name):
                answers = [
                    await self._answer(resolver, full_name, kinds[version], deadline)
                    for version in sorted({one.version for one in wanted})
                ]
                known = [answer for answer in answers if answer is not None]
                if known:
                    found = {ip_address(str(record)) for answer in known for record in answer}
                    lifetime = min(float(answer.chaining_result.minimum_ttl) for answer in known)
                    return lifetime if found == wanted else None
        except SourceFailure:
            pass
        return None

    async def _ask(
        self, resolver: dns.asyncresolver.Resolver, full_name: str, deadline: float
    ) -> Resolution | None:
        answer = await self._answer(resolver, full_name, "A", deadline)
        if answer is None:
            return None
        # A record set has no order and servers rotate it; sorted, a refresh changes nothing.
        addresses = tuple(sorted({IPv4Address(str(record)) for record in answer}))
        if not addresses:
            return None
        ttl = float(answer.chaining_result.minimum_ttl)
        return Resolution(addresses, f"DNS: {full_name}", ttl)

    async def _answer(
        self, resolver: dns.asyncresolver.Resolver, full_name: str, kind: str, deadline: float
    ) -> dns.resolver.Answer | None:
        """Ask for the records of one kind; None if there are none."""
        lifetime = deadline - self._clock()
        if lifetime <= 0:
            raise SourceFailure(f"no time was left to ask for {full_name}")
        try:
            name = dns.name.from_text(full_name)
        except dns.exception.DNSException as error:
            raise SourceFailure(f"{full_name!r} is not a domain name: {error}") from error
        try:
            return await resolver.resolve(name, kind, lifetime=lifetime, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return None
        except dns.exception.Timeout as error:
            servers = ", ".join(map(str, resolver.nameservers))
            raise SourceFailure(
                f"no answer about {full_name} from {servers} within {self._timeout:g} s: check"
                f" that the servers in {self._settings.path} can be reached"
            ) from error
        except (dns.exception.DNSException, OSError) as error:
            reason = " ".join(str(error).split())
            raise SourceFailure(f"no usable answer about {full_name}: {reason}") from error


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
