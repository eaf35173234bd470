# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets as a host sees them on one of its interfaces, caught by tcpdump."""

from __future__ import annotations

import re
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
_DROPPED = re.compile(r"^(\d+) packets? dropped by (?:kernel|interface)$", re.MULTILINE)

_SNAP_LENGTH = 65_600  # bytes: a whole IP packet with whatever header goes before
_BUFFER_SIZE = 16_384  # KiB
# Each packet takes a whole snap length of the buffer while tcpdump waits for a processor. With
# tcpdump's own sizes (256 KiB, 2 MiB) the ninth one is lost, with these the 257th.
COMMAND = (
    *("tcpdump", "-n", "-U", "--immediate-mode", "-w", "-"),
    *("-s", str(_SNAP_LENGTH), "-B", str(_BUFFER_SIZE)),
)
"""Writes a capture on its standard output; the interface and the filter are still to be added."""


class Capture:
    """A capture that is being written, or has been.

    Attributes:
        path: the pcap file, for tshark and the like; it goes away with the lab.
        service: tcpdump itself.
    """

    def __init__(self, path: Path, service: Service) -> None:
        self.path = path
        self.service = service

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
            raise LabError(f"{self.path}: {error}; {self.service.log_tail()}") from error

    def wait_for(self, count: int, timeout: float = 5.0) -> list[Packet]:
        """Return the packets as soon as there are ``count`` of them.

        Raises:
            LabError: there were fewer after ``timeout`` seconds.
        """
        if not wait_until(lambda: len(self.packets) >= count, timeout):
            raise LabError(
                f"{self.service.name}: {len(self.packets)} packets within {timeout:g} s, "
                f"not {count}; look at them with: tshark -r {self.path}"
            )
        return self.packets

    def stop(self) -> None:
        """End the capture once the packets sent before this call have been written.

        Raises:
            LabError: tcpdump had ended by itself, or the kernel had no room for some packets.
        """
        if not self.service.running:
            raise LabError(f"{self.service.name} ended early: {self.service.log_tail()}")
        deadline = time.monotonic() + _LONGEST_FLUSH
        size = -1
        while self._size != size and time.monotonic() < deadline:
            size = self._size
            time.sleep(_QUIET_TIME)
        self.service.interrupt()
        if dropped := sum(int(count) for count in _DROPPED.findall(self.service.log_text)):
            raise LabError(
                f"{self.service.name}: {dropped} packets came too fast to be written; "
                "capture fewer, with a narrower filter"
            )

    @property
    def _size(self) -> int:
        return self.path.stat().st_size
