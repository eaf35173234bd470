# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of servers, as every program of the host resolves them (getaddrinfo(3)).

So all that nsswitch.conf names is asked, and the answer is sorted as RFC 6724 has it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection

from v6ferry.naming.source import SourceFailure

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}


async def host_addresses(name: str, versions: Collection[int]) -> tuple[str, ...]:
    """Return the addresses of a name, the best first.

    Args:
        name: of a host.
        versions: of IP: 4, 6 or both.

    Raises:
        SourceFailure: nobody knows it, or nobody answers; the message is one line.
    """
    family = _FAMILIES[next(iter(versions))] if len(versions) == 1 else socket.AF_UNSPEC
    kinds = "IPv4 or IPv6" if len(versions) > 1 else f"IPv{next(iter(versions))}"
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            name, None, family=family, type=socket.SOCK_STREAM
        )
    except socket.gaierror as error:
        if error.errno in _UNKNOWN:
            raise SourceFailure(f"no {kinds} address found for {name!r}") from error
        raise SourceFailure(f"cannot resolve {name!r}: {error.strerror}") from error
    except (OSError, UnicodeError) as error:
        raise SourceFailure(f"cannot resolve {name!r}: {error}") from error
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))
