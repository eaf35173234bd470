# SPDX-License-Identifier: GPL-3.0-or-later
"""The A records of a name on an authoritative DNS server, read and replaced with dnspython.

Reading is an ordinary query, writing a dynamic update (RFC 2136), both signed with TSIG (RFC 8945)
if a key is given.
"""

from __future__ import annotations

import socket
import traceback
import typing as t

DNSPYTHON_IMPORT_ERROR: str | None
try:
    import dns.exception
    import dns.flags
    import dns.message
    import dns.name
    import dns.query
    import dns.rcode
    import dns.rdata
    import dns.rdataclass
    import dns.rdataset
    import dns.rdatatype
    import dns.tsig
    import dns.update
except ImportError:
    DNSPYTHON_IMPORT_ERROR = traceback.format_exc()
else:
    DNSPYTHON_IMPORT_ERROR = None


class DnsError(Exception):
    """Reading or writing failed; the message is one line that names the option to look at."""


class ConflictError(DnsError):
    """Somebody else changed the records between reading and writing; nothing was written."""


class Records(t.NamedTuple):
    """The A records of one name."""

    addresses: tuple[str, ...]
    """In the order of their values, each once."""
    ttl: int
    """In seconds, the same for all of them."""


class AddressRecords:
    """The A records of one name in one zone, where the zone's primary server keeps them.

    Args:
        zone: The zone, such as ``example.com``.
        record: The name within the zone; ``@`` is the zone's own name.
        server: The server's name or address.
        port: The server's port.
        protocol: ``tcp`` or ``udp``.
        timeout: How many seconds the server may take for an answer.
        key: Name, algorithm and base64 secret of a TSIG key, or None.

    Raises:
        DnsError: A name or the key is malformed, or the server's name does not resolve.
    """

    def __init__(
        self,
        zone: str,
        record: str,
        server: str,
        port: int,
        protocol: str,
        timeout: float,
        key: tuple[str, str, str] | None,
    ) -> None:
        self._zone = _name("zone", zone, dns.name.root)
        self.name = _name("record", record, self._zone)
        if not self.name.is_subdomain(self._zone):
            raise DnsError(f"record: {record} is outside the zone {self._zone}; give a name in it")
        self._server = f"{server} port {port}"
        self._where, self._port = _address(server, port), port
        self._protocol = protocol
        self._timeout = timeout
        self._key = _key(*key) if key else None

    def read(self) -> Records | None:
        """Return the records as they are now, None if there are none.

        Raises:
            DnsError: The server does not answer, refuses, or is not authoritative.
        """
        self._check_zone()
        answer = self._ask(dns.message.make_query(self.name, "A"), "the query")
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._refusal(answer, "the query")
        if not answer.flags & dns.flags.AA:
            raise DnsError(
                f"zone: server {self._server} is not authoritative for {self.name}, which "
                f"{self._zone} delegates to another zone; give that zone and its server"
            )
        if answer.get_rrset(answer.answer, self.name, dns.rdataclass.IN, dns.rdatatype.CNAME):
            raise DnsError(
                f"record: {self.name} is an alias (CNAME), which can have no addresses of its own; "
                "remove the alias or choose another name"
            )
        found = answer.get_rrset(answer.answer, self.name, dns.rdataclass.IN, dns.rdatatype.A)
        return Records(_sorted(record.address for record in found), found.ttl) if found else None

    def replace(self, before: Records | None, after: Records | None) -> None:
        """Put ``after`` in the place of ``before`` in one transaction, None being no records.

        Raises:
            ConflictError: The records are not ``before`` any more.
            DnsError: The server does not answer or refuses.
        """
        update = dns.update.UpdateMessage(self._zone)
        if before:
            for address in before.addresses:
                update.present(self.name, _record(address))
        else:
            update.absent(self.name, "A")
        if after:
            records = map(_record, after.addresses)
            update.replace(self.name, dns.rdataset.from_rdata_list(after.ttl, list(records)))
        else:
            update.delete(self.name, "A")
        answer = self._ask(update, "the update")
        if answer.rcode() in (dns.rcode.NXRRSET, dns.rcode.YXRRSET):
            raise ConflictError(
                f"the A records of {self.name} on server {self._server} were changed by somebody "
                "else while this task ran, and nothing was written; look at them and run it again"
            )
        if answer.rcode() != dns.rcode.NOERROR:
            raise self._refusal(answer, "the update")

    def _check_zone(self) -> None:
        """Make sure that the zone begins where it is said to, so that an update can succeed."""
        answer = self._ask(dns.message.make_query(self._zone, "SOA"), "the query")
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise self._refusal(answer, "the query")
        start = answer.get_rrset(answer.answer, self._zone, dns.rdataclass.IN, dns.rdatatype.SOA)
        if not (start and answer.flags & dns.flags.AA):
            raise self._not_authoritative()

    def _ask(self, message: dns.message.Message, what: str) -> dns.message.Message:
        """Send a message, signed if there is a key, and return the answer whatever its code."""
        ask = dns.query.tcp if self._protocol == "tcp" else _udp_then_tcp
        if self._key:
            message.use_tsig(self._key)
        else:
            message.flags &= ~dns.flags.RD  # nobody but the server itself shall answer
        try:
            return ask(message, self._where, timeout=self._timeout, port=self._port)
        except dns.exception.Timeout as error:
            raise DnsError(
                f"server: {self._server} did not answer {what} over {self._protocol} within "
                f"{self._timeout:g} s; check server, port and the way to it, or raise timeout"
            ) from error
        except OSError as error:
            raise DnsError(
                f"server: {self._server} cannot be reached over {self._protocol}: "
                f"{error.strerror or error}; check server and port"
            ) from error
        except dns.tsig.PeerBadKey as error:
            raise DnsError(
                f"key_name: server {self._server} does not know the key {self._key.name} with "
                f"algorithm {self._key.algorithm} (BADKEY); check key_name and key_algorithm"
            ) from error
        except dns.tsig.PeerBadSignature as error:
            raise DnsError(
                f"key_secret: server {self._server} has another secret for the key "
                f"{self._key.name} (BADSIG); check key_secret"
            ) from error
        except dns.tsig.PeerBadTime as error:
            raise DnsError(
                f"the clocks of this host and of server {self._server} are too far apart for a "
                "signature (BADTIME); set them"
            ) from error
        except (dns.exception.DNSException, EOFError) as error:
            signed = f", or not signed with the key {self._key.name}" if self._key else ""
            raise DnsError(
                f"server: {self._server} gave no proper answer to {what}: it is malformed{signed} "
                f"({str(error) or type(error).__name__}); check server and port"
            ) from error

    def _not_authoritative(self) -> DnsError:
        return DnsError(
            f"zone: server {self._server} is not authoritative for a zone {self._zone}; "
            "check zone and server, which must be the zone's primary"
        )

    def _refusal(self, answer: dns.message.Message, what: str) -> DnsError:
        """Say what an error code means for whom."""
        code = answer.rcode()
        if code in (dns.rcode.NOTAUTH, dns.rcode.NOTZONE):
            return self._not_authoritative()
        if code == dns.rcode.REFUSED:
            who = f"the key {self._key.name}" if self._key else "anybody without a key"
            return DnsError(
                f"server: {self._server} refuses {what} of {self.name} in {self._zone} to {who} "
                "(REFUSED); check zone and key_name, or the server's update policy"
            )
        return DnsError(
            f"server: {self._server} answered {what} of {self.name} in {self._zone} with "
            f"{dns.rcode.to_text(code)}; look into its log"
        )


def _udp_then_tcp(
    message: dns.message.Message, where: str, timeout: float, port: int
) -> dns.message.Message:
    """Ask over UDP, and again over TCP if the answer does not fit."""
    answer, _by_tcp = dns.query.udp_with_fallback(message, where, timeout=timeout, port=port)
    return answer


def _name(option: str, text: str, origin: dns.name.Name) -> dns.name.Name:
    try:
        return dns.name.from_text(text, origin)
    except (dns.exception.DNSException, UnicodeError) as error:
        raise DnsError(f"{option}: {text!r} is not a domain name: {error}") from error


def _address(server: str, port: int) -> str:
    """Return an address of the server, which may be given as a name."""
    try:
        found = socket.getaddrinfo(server, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError) as error:
        raise DnsError(
            f"server: {server!r} has no address: {error}; give a name that resolves or an address"
        ) from error
    return found[0][4][0]


def _key(name: str, algorithm: str, secret: str) -> dns.tsig.Key:
    try:
        return dns.tsig.Key(_name("key_name", name, dns.name.root), secret, algorithm)
    except ValueError as error:
        raise DnsError(f"key_secret: the secret of {name} is not base64: {error}") from error


def _record(address: str) -> dns.rdata.Rdata:
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.A, address)


def _sorted(addresses: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(addresses), key=socket.inet_aton))
