# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a rule: where it leads at the moment, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from v6ferry.engines.portproxy.known_ports import carried_inside
from v6ferry.engines.portproxy.specification import PortProxySpec, version_of
from v6ferry.portproxy.racing import interleave
from v6ferry.system.state import HostFacts


class PortProxyRule:
    """One rule.

    Args:
        name: of the resource.
        spec: what the user set.
    """

    def __init__(self, name: str, spec: PortProxySpec) -> None:
        self._name = name
        self._spec = spec
        self._facts = HostFacts()
        self._resolved: tuple[str, ...] = ()
        self._name_error: str | None = None

    @property
    def spec(self) -> PortProxySpec:
        """What the user set."""
        return self._spec

    def update_spec(self, spec: PortProxySpec) -> None:
        """Go on under another specification."""
        if spec.name != self._spec.name or spec.connect_versions != self._spec.connect_versions:
            self._resolved, self._name_error = (), None
        self._spec = spec

    def update_facts(self, facts: HostFacts) -> None:
        """The host's addresses have changed."""
        self._facts = facts

    def name_resolved(self, addresses: Sequence[str]) -> None:
        """The name has these addresses now, the best first."""
        self._resolved, self._name_error = tuple(addresses), None

    def name_failed(self, error: str) -> None:
        """The name could not be resolved; addresses that are known go on to be used."""
        self._name_error = error

    def addresses(self) -> tuple[str, ...]:
        """Where connections go now, in the order to be tried (RFC 8305 section 4)."""
        if self._spec.name is None:
            return (self._spec.connect_address,)
        wanted = self._spec.connect_versions
        usable = [one for one in self._resolved if version_of(one) in wanted]
        if not usable:
            return ()
        preferred = version_of(usable[0])
        return tuple(
            interleave(
                [one for one in usable if version_of(one) == preferred],
                [one for one in usable if version_of(one) != preferred],
            )
        )

    def listeners(self) -> list[dict[str, Any]]:
        """Where the workers listen, and where each leads; JSON-ready."""
        return [
            {
                "host": one.host,
                "port": one.port,
                "targets": [
                    [address, one.connect_port]
                    for address in self.addresses()
                    if not self._leads_back(address, one.connect_port)
                ],
            }
            for one in self._spec.listeners()
        ]

    def _leads_back(self, address: str, port: int) -> bool:
        """Whether a resolved address and port are where the rule itself listens."""
        if self._spec.name is None or port not in self._spec.listen_ports:
            return False
        ours = {str(one) for one in (*self._facts.host_endpoints, *self._facts.host_addresses)}
        version = version_of(address)
        if version not in self._spec.listen_versions:
            return False
        return address == self._spec.listen_address or (
            self._spec.listen_address == "*"
            and (address in ours or address == "::1" or address.startswith("127."))
        )

    def told(self) -> dict[str, Any]:
        """What the workers are told, as ``v6ferry.portproxy.rules.Rule.configure`` takes it."""
        spec = self._spec
        return {
            "name": self._name,
            "listeners": self.listeners(),
            "allowed_sources": [str(one) for one in spec.allowed_sources],
            "refused_sources": [str(one) for one in spec.refused_sources],
            "limit": spec.maximum_connections,
            "connect_timeout": float(spec.connect_timeout),
            "idle_timeout": float(spec.idle_timeout),
            "keepalive": None if spec.keepalive is None else list(spec.keepalive),
            "send_proxy": spec.send_proxy,
            "accept_proxy": spec.accept_proxy,
            "fast_open": spec.fast_open,
            "transparent": spec.transparent_source,
        }

    def problems(self) -> Iterator[str]:
        """What the user should know, a line each."""
        spec = self._spec
        yield from carried_inside(spec.connect_ports)
        if self._name_error and self._resolved:
            yield f"{self._name_error}; its last addresses go on to be used"
        for listener in self.listeners():
            if self.addresses() and not listener["targets"]:
                yield (
                    f"{spec.connect_address} is this host itself, where port {listener['port']}"
                    " leads to this rule again: connections are refused"
                )
                break

    def status(self, counted: Mapping[str, Any]) -> dict[str, Any]:
        """What a user wants to know, JSON-ready.

        Args:
            counted: sums of what the workers count.
        """
        spec, addresses = self._spec, self.addresses()
        errors = {} if self._name_error is None else {spec.connect_address: self._name_error}
        ports = _shown(spec.listen_ports)
        where = f"{spec.listen_address} port {ports}"
        target = spec.connect_address
        if spec.connect_ports != spec.listen_ports:
            target += f" port {_shown(spec.connect_ports)}"
        summary = f"{where} to {target}: {counted.get('active', 0)} connections"
        if not addresses:
            summary = f"{where}: {self._name_error or f'{spec.name} is not resolved yet'}"
        return {
            "ready": bool(addresses),
            "summary": summary,
            "listen_address": spec.listen_address,
            "listen_port": ports,
            "connect_addresses": list(addresses),
            "connect_port": _shown(spec.connect_ports),
            "problems": list(self.problems()),
            "name_errors": errors,
            "counters": dict(counted),
        }


def _shown(ports: Sequence[int]) -> str:
    """Ports as a user writes them."""
    runs: list[list[int]] = []
    for port in ports:
        if runs and port == runs[-1][-1] + 1:
            runs[-1] = [runs[-1][0], port]
        else:
            runs.append([port])
    return ",".join("-".join(map(str, run)) for run in runs)
