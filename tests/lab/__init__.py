# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: small intranets out of network namespaces, for the demo, the tests, and to rehearse in.

::

    from tests.lab import ISATAP, Lab

    with Lab(ISATAP) as lab:
        lab["router"].start_agent()
        with lab["a"].capture("eth0", "proto 41") as capture:
            lab["a"].run(["ping", "-c", "1", "10.0.0.1"])
        print(capture.packets)

Each host has its own network, mount and UTS namespace: its own interfaces, host name, /etc, /run,
/var/lib and /sys; the rest of the file system it shares with the machine. Nothing of a lab exists
outside ``/run/v6ferry-lab/NAME`` and its own namespaces.

What is listed here may be imported by anyone under tests/; the other modules are the lab's own.
"""

from tests.lab.capture import Capture
from tests.lab.errors import LabError
from tests.lab.host import LabHost
from tests.lab.inventory import inventory, inventory_yaml
from tests.lab.lab import Lab
from tests.lab.name_server import NameServer, TsigKey
from tests.lab.service import Service
from tests.lab.topologies import (
    CONFIGURED,
    ISATAP,
    ISATAP_TWO_ROUTERS,
    PORTPROXY,
    SIXRD,
    SIXTOFOUR,
    TOPOLOGIES,
)
from tests.lab.topology import Host, Interface, Network, Route, Topology, TopologyError, Zone

__all__ = [
    "CONFIGURED",
    "ISATAP",
    "ISATAP_TWO_ROUTERS",
    "PORTPROXY",
    "SIXRD",
    "SIXTOFOUR",
    "TOPOLOGIES",
    "Capture",
    "Host",
    "Interface",
    "Lab",
    "LabError",
    "LabHost",
    "NameServer",
    "Network",
    "Route",
    "Service",
    "Topology",
    "TopologyError",
    "TsigKey",
    "Zone",
    "inventory",
    "inventory_yaml",
]
