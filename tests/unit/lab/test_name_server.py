# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration and zones of the lab's BIND, read by dnspython."""

import base64

import dns.zone

from tests.lab.name_server import TsigKey, configuration, zone_file
from tests.lab.topologies import ISATAP
from tests.lab.topology import Zone


def test_a_zone_has_the_addresses_of_all_hosts_and_its_own_records():
    zone = Zone("corp.example", ("alias CNAME a", "isatap A 10.0.0.1"))
    text = zone_file(zone, ISATAP.host("dns"), ISATAP.hosts)
    parsed = dns.zone.from_text(text, origin="corp.example.", relativize=True)
    assert parsed.get_rdataset("router", "A")[0].address == "10.0.0.1"
    assert parsed.get_rdataset("router", "AAAA")[0].address == "2001:db8:0:c::1"
    assert parsed.get_rdataset("isatap", "A")[0].address == "10.0.0.1"
    assert len(parsed.get_rdataset("core", "A")) == 4


def test_the_name_isatap_is_left_for_the_tests_to_add():
    text = zone_file(Zone("corp.example"), ISATAP.host("dns"), ISATAP.hosts)
    assert "isatap" not in text


def test_a_zone_takes_updates_signed_with_the_key_only():
    key = TsigKey("update", "hmac-sha256", "c2VjcmV0")
    text = configuration([Zone("corp.example")], key)
    assert 'key "update" {\n\talgorithm hmac-sha256;\n\tsecret "c2VjcmV0";\n};' in text
    assert 'allow-update { key "update"; };' in text
    assert "recursion no;" in text


def test_a_key_is_256_random_bits_and_does_not_show():
    first, second = TsigKey.generate(), TsigKey.generate()
    assert first != second
    assert len(base64.b64decode(first.secret)) == 32
    assert first.secret not in repr(first)
