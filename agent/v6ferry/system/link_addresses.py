# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses on interfaces that belong to the host, and a ledger of which of them are ours."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from pathlib import Path

from v6ferry.system.errors import SystemFault, refused
from v6ferry.system.files import replace_file
from v6ferry.system.interface_changes import AddressChange, address_changes
from v6ferry.system.links import Links
from v6ferry.system.state import LinkState

_Entries = dict[tuple[str, str], tuple[int, str]]
"""Prefix length and owner, by interface and address."""


class LinkAddresses:
    """Puts addresses on interfaces for owners, and takes only those away again.

    The ledger is a JSON file, written before each change, so that a crash leaves no address whose
    owner nobody knows. It belongs under /run: a reboot takes the addresses away. An address that
    was there before is the administrator's: it is neither changed nor ever removed.

    Args:
        path: the ledger.
        links: changes the addresses.
    """

    def __init__(self, path: Path, links: Links) -> None:
        self._path = path
        self._links = links

    async def apply(self, owner: str, states: Iterable[LinkState], now: float) -> list[str]:
        """Give interfaces exactly these addresses on behalf of an owner.

        Args:
            owner: such as "sixtofour_router/default".
            states: all that it wants, on all interfaces.
            now: seconds on the clock of their times.

        Returns:
            One line for each change.

        Raises:
            SystemFault: the kernel or the ledger's file refuses.
        """
        wanted = {state.interface: state for state in states}
        entries = self._load()
        interfaces = {*wanted, *(key[0] for key, one in entries.items() if one[1] == owner)}
        lines: list[str] = []
        for name in sorted(interfaces):
            state = wanted.get(name, LinkState(name))
            for change in await self._changes(owner, state, entries, now):
                await self._make(owner, change, entries)
                lines.append(str(change))
        if entries != self._load():
            self._store(entries)
        return lines

    async def release(self, owner: str) -> list[str]:
        """Take away all addresses of an owner.

        Returns:
            One line for each change.

        Raises:
            SystemFault: the kernel or the ledger's file refuses.
        """
        return await self.apply(owner, (), 0.0)

    async def _changes(
        self, owner: str, state: LinkState, entries: _Entries, now: float
    ) -> list[AddressChange]:
        present = {one.address: one for one in await self._links.addresses(state.interface)}
        own = {
            IPv6Address(text): length
            for (name, text), (length, its_owner) in entries.items()
            if name == state.interface and its_owner == owner
        }
        living = [a for a in state.addresses if a.valid_until is None or a.valid_until > now]
        changes: list[AddressChange] = []
        for one in living:
            there = present.get(one.address)
            if there is None or one.address in own:
                changes += address_changes(state.interface, one, there, now, with_route=True)
        kept = {one.address for one in living}
        for address, length in own.items():
            if address not in kept:
                if address in present:
                    changes.append(AddressChange("remove", state.interface, address, length))
                else:
                    del entries[state.interface, str(address)]
        return changes

    async def _make(self, owner: str, change: AddressChange, entries: _Entries) -> None:
        key = (change.interface, str(change.address))
        if change.operation == "remove":
            await self._links.change_address(change)
            entries.pop(key, None)
        else:
            if entries.get(key) != (change.prefix_length, owner):
                entries[key] = (change.prefix_length, owner)
                self._store(entries)
            await self._links.change_address(change)

    def _load(self) -> _Entries:
        try:
            return dict(_entries(json.loads(self._path.read_text("utf-8"))))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SystemFault(
                f"the ledger of addresses {self._path} cannot be read ({error}): mend it, or delete"
                " it, and remove addresses that should not be there (ip -6 address)"
            ) from error

    def _store(self, entries: _Entries) -> None:
        try:
            if not entries:
                self._path.unlink(missing_ok=True)
                return
            document: dict[str, dict[str, list[object]]] = {}
            for (name, address), entry in entries.items():
                document.setdefault(name, {})[address] = list(entry)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, (json.dumps(document, indent=2) + "\n").encode())
        except OSError as error:
            doing = f"write the ledger of addresses {self._path}"
            raise refused(doing, error.errno or errno.EIO) from error


def _entries(
    document: dict[str, dict[str, list[object]]],
) -> Iterator[tuple[tuple[str, str], tuple[int, str]]]:
    for name, addresses in document.items():
        for text, (length, owner) in addresses.items():
            yield (name, str(IPv6Address(text))), (int(str(length)), str(owner))
