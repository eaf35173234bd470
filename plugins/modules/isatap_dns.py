#!/usr/bin/python
# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Module isatap_dns."""

from __future__ import annotations

DOCUMENTATION = r"""
module: isatap_dns
short_description: Keep the DNS name by which hosts find their ISATAP routers
version_added: 0.1.0
author:
  - v6ops (@v6ops)
description:
  - Gives a name in a DNS zone exactly the A records that are listed, the IPv4 addresses of the
    ISATAP routers of the site.
  - Reads them from the zone's primary server and replaces all of them in one dynamic update
    (RFC 2136), signed with TSIG (RFC 8945) if a key is given.
  - The update demands that the records are still those that were read, so a change that somebody
    else makes at the same time is never lost.
  - Needs no agent; it runs wherever the server can be reached, such as on a router or on the
    controller.
options:
  zone:
    description:
      - The DNS zone, the domain in which hosts look the name up.
    type: str
    required: true
  record:
    description:
      - The name within the zone.
      - Hosts look for V(isatap) if nothing else is set; V(@) is the name of the zone itself.
    type: str
    default: isatap
  addresses:
    description:
      - The IPv4 addresses of the ISATAP routers, in any order; others are removed.
      - Required with O(state=present).
    type: list
    elements: str
  ttl:
    description:
      - How many seconds resolvers may remember the records.
    type: int
    default: 3600
  server:
    description:
      - The primary DNS server of the zone, its address or its name.
    type: str
    required: true
  port:
    description:
      - The port of the server.
    type: int
    default: 53
  key_name:
    description:
      - The name of the TSIG key that may update the record.
      - Without a key nothing is signed, and the server must trust the address it sees.
    type: str
  key_secret:
    description:
      - The secret of the key in base64, as C(tsig-keygen) prints it.
    type: str
  key_algorithm:
    description:
      - The algorithm of the key.
    type: str
    choices:
      - hmac-sha1
      - hmac-sha224
      - hmac-sha256
      - hmac-sha384
      - hmac-sha512
    default: hmac-sha256
  protocol:
    description:
      - The transport protocol; with V(udp) an answer that does not fit is fetched over TCP.
    type: str
    choices:
      - tcp
      - udp
    default: tcp
  timeout:
    description:
      - How many seconds the server may take for each answer.
    type: int
    default: 10
  state:
    description:
      - V(present) makes the A records of the name those in O(addresses).
      - V(absent) removes all A records of the name, other records of it stay.
    type: str
    choices:
      - present
      - absent
    default: present
notes:
  - DNS servers of Windows Server 2008 and later have a global query block list, which holds the
    name C(isatap) by default. They may hold the record but do not answer queries for it, so no host
    finds the router by name, and this module, which reads by a query, does not see it either.
    Take the name off the list with C(dnscmd /config /globalqueryblocklist wpad), or with
    C(Set-DnsServerGlobalQueryBlockList -List wpad), on each DNS server. Or choose another
    O(record) and name it in the option O(v6ops.transition.isatap_host#module:routers) of the hosts.
  - A host needs no record if its routers are given by address, or by a name in its hosts file.
requirements:
  - dnspython >= 2.2 on the host where the module runs
extends_documentation_fragment:
  - v6ops.transition._attributes
seealso:
  - module: v6ops.transition.isatap_host
  - module: v6ops.transition.isatap_router
"""

EXAMPLES = r"""
- name: Announce two routers as isatap.corp.example.com
  v6ops.transition.isatap_dns:
    zone: corp.example.com
    addresses:
      - 10.0.0.1
      - 10.0.0.2
    server: 10.0.0.53
    key_name: isatap-update
    key_secret: "{{ isatap_update_secret }}"

- name: Do the same from the controller, for all routers of the inventory
  v6ops.transition.isatap_dns:
    zone: corp.example.com
    addresses: "{{ groups['isatap_routers'] | map('extract', hostvars, 'underlay_address') }}"
    server: ns1.corp.example.com
    key_name: isatap-update
    key_secret: "{{ isatap_update_secret }}"
  delegate_to: localhost
  run_once: true

- name: Use a name of one's own, and a server that listens elsewhere
  v6ops.transition.isatap_dns:
    zone: corp.example.com
    record: ipv6-router
    addresses: [10.0.0.1]
    ttl: 300
    server: 10.0.0.53
    port: 5353
    protocol: udp
    timeout: 5
    key_name: isatap-update
    key_secret: "{{ isatap_update_secret }}"
    key_algorithm: hmac-sha512

- name: Let no host find a router by name any more
  v6ops.transition.isatap_dns:
    zone: corp.example.com
    server: 10.0.0.53
    key_name: isatap-update
    key_secret: "{{ isatap_update_secret }}"
    state: absent
"""

RETURN = r"""
fqdn:
  description: The name that has the records, in full.
  returned: success
  type: str
  sample: isatap.corp.example.com.
addresses:
  description: The addresses the name has now, or in check mode would have, in order.
  returned: success
  type: list
  elements: str
  sample:
    - 10.0.0.1
    - 10.0.0.2
"""

import ipaddress
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.v6ops.transition.plugins.module_utils._address_records import (
    DNSPYTHON_IMPORT_ERROR,
    AddressRecords,
    ConflictError,
    DnsError,
    Records,
)
from ansible_collections.v6ops.transition.plugins.module_utils._diff import as_yaml

MAXIMUM_TTL = 2**31 - 1  # RFC 2181 section 8

ARGUMENT_SPEC = {
    "zone": {"type": "str", "required": True},
    "record": {"type": "str", "default": "isatap"},
    "addresses": {"type": "list", "elements": "str"},
    "ttl": {"type": "int", "default": 3600},
    "server": {"type": "str", "required": True},
    "port": {"type": "int", "default": 53},
    "key_name": {"type": "str"},
    "key_secret": {"type": "str", "no_log": True},
    "key_algorithm": {
        "type": "str",
        "choices": ["hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"],
        "default": "hmac-sha256",
        "no_log": False,
    },
    "protocol": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
    "timeout": {"type": "int", "default": 10},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def wanted_records(params: dict[str, t.Any]) -> Records | None:
    """Return the records that the options ask for.

    Raises:
        DnsError: An address is not an IPv4 address, there is none, or the TTL is out of range.
    """
    if params["state"] == "absent":
        return None
    addresses = set()
    for text in params["addresses"]:
        try:
            addresses.add(ipaddress.IPv4Address(text))
        except ValueError as error:
            raise DnsError(
                f"addresses: {text!r} is not an IPv4 address; give those of the ISATAP routers"
            ) from error
    if not addresses:
        raise DnsError("addresses: the list is empty; to remove the records set state to absent")
    if not 0 <= params["ttl"] <= MAXIMUM_TTL:
        raise DnsError(f"ttl: {params['ttl']} is not between 0 and {MAXIMUM_TTL} seconds")
    return Records(tuple(str(address) for address in sorted(addresses)), params["ttl"])


def replace(records: AddressRecords, before: Records | None, wanted: Records | None) -> bool:
    """Replace the records and tell whether that changed them.

    Raises:
        DnsError: The server does not do it, or somebody else made them something else meanwhile.
    """
    try:
        records.replace(before, wanted)
    except ConflictError:
        # The same task on another host has done our work in the meantime.
        if records.read() == wanted:
            return False
        raise
    return True


def as_diff(fqdn: str, records: Records | None) -> str:
    """Write the records as text for a diff."""
    return as_yaml(
        records and {"record": fqdn, "addresses": list(records.addresses), "ttl": records.ttl}
    )


def main() -> None:
    """Make the name have the addresses."""
    module = AnsibleModule(
        ARGUMENT_SPEC,
        required_if=[("state", "present", ["addresses"])],
        required_together=[("key_name", "key_secret")],
        supports_check_mode=True,
    )
    if DNSPYTHON_IMPORT_ERROR:
        module.fail_json(
            msg=missing_required_lib("dnspython >= 2.2", url="https://www.dnspython.org"),
            exception=DNSPYTHON_IMPORT_ERROR,
        )
    params = module.params
    key = params["key_name"] and (
        params["key_name"],
        params["key_algorithm"],
        params["key_secret"],
    )
    try:
        wanted = wanted_records(params)
        records = AddressRecords(
            params["zone"],
            params["record"],
            params["server"],
            params["port"],
            params["protocol"],
            params["timeout"],
            key,
        )
        before = records.read()
        changed = before != wanted
        if changed and not module.check_mode:
            changed = replace(records, before, wanted)
    except DnsError as error:
        module.fail_json(msg=str(error))
    fqdn = str(records.name)
    module.exit_json(
        changed=changed,
        fqdn=fqdn,
        addresses=list(wanted.addresses) if wanted else [],
        diff={
            "before_header": fqdn,
            "after_header": fqdn,
            "before": as_diff(fqdn, before),
            "after": as_diff(fqdn, wanted),
        },
    )


if __name__ == "__main__":
    main()
