# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab as an Ansible inventory, over the collection's own connection plugin."""

from __future__ import annotations

import sys
from typing import Any

import yaml  # type: ignore[import-untyped]  # has no types of its own

from tests.lab.lab import Lab

CONNECTION = "v6ops.transition.netns"


def inventory(lab: Lab) -> dict[str, Any]:
    """Return the inventory of ``lab``: its hosts, their groups, and what to sign updates with."""
    groups: dict[str, dict[str, Any]] = {}
    for host in lab.hosts:
        for group in host.host.groups:
            groups.setdefault(group, {"hosts": {}})["hosts"][host.name] = {}
    return {
        "all": {
            "vars": {
                "ansible_connection": CONNECTION,
                "ansible_python_interpreter": sys.executable,
                "ansible_pipelining": True,
                "lab_domain": lab.topology.domain,
                "lab_name_servers": [str(server) for server in lab.topology.name_servers],
                "lab_tsig_key_name": lab.tsig_key.name,
                "lab_tsig_key_algorithm": lab.tsig_key.algorithm,
                "lab_tsig_key_secret": lab.tsig_key.secret,
            },
            "hosts": {
                host.name: {
                    "ansible_netns_namespace": str(host.namespaces["net"]),
                    "ansible_netns_mount_namespace": str(host.namespaces["mount"]),
                    "ansible_netns_uts_namespace": str(host.namespaces["uts"]),
                }
                for host in lab.hosts
            },
            "children": groups,
        }
    }


def inventory_yaml(lab: Lab) -> str:
    """Return the inventory as YAML."""
    text: str = yaml.safe_dump(inventory(lab), sort_keys=False)
    return text
