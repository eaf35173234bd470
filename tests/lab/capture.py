# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets as a host sees them on one of its interfaces, caught by tcpdump."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab.errors import LabError
from tests.lab.processes import wait_until
from tests.lab.service import Service

if TYPE_CHECKING:
    from scapy.packet import Packet

_QUIET_TIME = 0.1  # seconds without a new packet after which all sent ones have been written
_LONGEST_FLUSH = 1.0  # seconds to wait for that when packets keep coming
_PCAP_HEADER_LENGTH = 24


class Capture:
    """A capture that is being written, or has been.

    Attributes:
        path: the pcap file, for tshark and the like; it goes away with the lab.
    """

    def __init__(self, path: Path, service: Service) -> None:
        self.path = path
        self._service = service

    @property
    def packets(self) -> list[Packet]:
        """All packets so far, in the order of their arrival, as scapy understands them."""
        # Scapy takes most of a second to import; only those who look at packets should wait.
        import scapy.layers.inet6  # noqa: F401, PLC0415 - rdpcap knows only imported layers
        from scapy.error import Scapy_Exception  # noqa: PLC0415
        from scapy.utils import rdpcap  # noqa: PLC0415

        if self._size <= _PCAP_HEADER_LENGTH:
            return []
        try:
            return list(rdpcap(str(self.path)))
        except Scapy_Exception as error:
            raise LabError(f"{self.path}: {error}; {self._service.log_tail()}") from error

    def wait_for(self, count: int, timeout: float = 5.0) -> list[Packet]:
        """Return the packets as soon as there are ``count`` of them.

        Raises:
            LabError: there were fewer after ``timeout`` seconds.
        """
        if not wait_until(lambda: len(self.packets) >= count, timeout):
            raise LabError(
                f"{self._service.name}: {len(self.packets)} packets within {timeout:g} s, "
                f"not {count}; look at them with: tshark -r {self.path}"
            )
        return self.packets

    def stop(self) -> None:
        """End the capture once the packets sent before this call have been written."""
        if not self._service.running:
            raise LabError(f"{self._service.name} ended early: {self._service.log_tail()}")
        deadline = time.monotonic() + _LONGEST_FLUSH
        size = -1
        while self._size != size and time.monotonic() < deadline:
            size = self._size
            time.sleep(_QUIET_TIME)
        self._service.interrupt()

    @property
    def _size(self) -> int:
        return self.path.stat().st_size
