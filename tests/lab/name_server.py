# SPDX-License-Identifier: GPL-3.0-or-later
"""BIND in a lab's host: its configuration, and what a test needs to update its zones.

The files lie where Debian's AppArmor profile lets named read and write.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.lab.service import Service
from tests.lab.topology import Host, Zone

CONFIGURATION_DIRECTORY = "/etc/bind/v6ferry-lab"
CONFIGURATION_FILE = f"{CONFIGURATION_DIRECTORY}/named.conf"
KEY_FILE = f"{CONFIGURATION_DIRECTORY}/update.key"
"""In the syntax that ``nsupdate -k`` reads."""
ZONE_DIRECTORY = "/var/lib/bind/v6ferry-lab"
RUNTIME_DIRECTORY = "/run/named"

# Seconds that answers, and "no such name", are kept: short, so that a test sees what it changes.
_TIME_TO_LIVE = 5
_NEGATIVE_TIME_TO_LIVE = 1


@dataclass(frozen=True)
class TsigKey:
    """A key for signed updates (RFC 8945)."""

    name: str
    algorithm: str
    secret: str = field(repr=False)
    """Base64."""

    @classmethod
    def generate(cls) -> TsigKey:
        """Return a new key for HMAC-SHA256."""
        secret = base64.b64encode(secrets.token_bytes(32)).decode()
        return cls("lab-update", "hmac-sha256", secret)

    def bind_statement(self) -> str:
        """Return the key as BIND's programs read it."""
        return (
            f'key "{self.name}" {{\n\talgorithm {self.algorithm};\n\tsecret "{self.secret}";\n}};\n'
        )


@dataclass(frozen=True)
class NameServer:
    """A running BIND.

    Attributes:
        service: the process and its log.
        zones: the zones it serves.
        key: what it lets updates be signed with.
    """

    service: Service
    zones: tuple[Zone, ...]
    key: TsigKey


def zone_path(zone: Zone) -> str:
    """Return the file of a zone, as the host sees it."""
    return f"{ZONE_DIRECTORY}/{zone.name}.zone"


def configuration(zones: Iterable[Zone], key: TsigKey) -> str:
    """Return named.conf for an authoritative server whose zones take updates signed by ``key``."""
    options = (
        "options {\n"
        f'\tdirectory "{ZONE_DIRECTORY}";\n'
        f'\tpid-file "{RUNTIME_DIRECTORY}/named.pid";\n'
        f'\tsession-keyfile "{RUNTIME_DIRECTORY}/session.key";\n'
        "\tlisten-on { any; };\n"
        "\tlisten-on-v6 { any; };\n"
        "\tallow-query { any; };\n"
        "\trecursion no;\n"
        "\tdnssec-validation no;\n"  # it would look for the root's keys, far outside the lab
        "\tnotify no;\n"
        "};\n"
        "controls { };\n"
    )
    statements = [options, key.bind_statement()]
    for zone in zones:
        statements.append(
            f'zone "{zone.name}" {{\n'
            "\ttype primary;\n"
            f'\tfile "{zone_path(zone)}";\n'
            f'\tallow-update {{ key "{key.name}"; }};\n'
            "};\n"
        )
    return "".join(statements)


def zone_file(zone: Zone, server: Host, hosts: Iterable[Host]) -> str:
    """Return a zone's file.

    Args:
        zone: whose file it is.
        server: the host that serves it.
        hosts: get an A or AAAA record for each static address.
    """
    lines = [
        f"$ORIGIN {zone.name}.",
        f"$TTL {_TIME_TO_LIVE}",
        f"@ SOA {server.name} hostmaster 1 3600 600 86400 {_NEGATIVE_TIME_TO_LIVE}",
        f"@ NS {server.name}",
    ]
    for host in hosts:
        for address in host.addresses:
            kind = "A" if address.version == 4 else "AAAA"
            lines.append(f"{host.name} {kind} {address}")
    return "\n".join([*lines, *zone.records, ""])
