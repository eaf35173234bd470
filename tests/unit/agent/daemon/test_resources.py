# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be a resource."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from v6ferry.daemon.changes import read_changes
from v6ferry.daemon.resources import KINDS, check
from v6ferry.engines.specification import SpecificationError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4)
    ),
    max_leaves=12,
)


def test_specification_is_kept_as_written_without_nulls():
    resource = check("isatap_host", "default", {"routers": ["10.0.0.1"], "mtu": None})
    assert resource.spec == {"routers": ["10.0.0.1"]}
    assert resource.label == "isatap_host/default"
    assert resource.interface == "isatap0"


@pytest.mark.parametrize("name", ["", "../x", ".x", "a/b", "x" * 65, 7, None, "a b", "a\n"])
def test_name_that_could_leave_the_directory_is_refused(name):
    with pytest.raises(SpecificationError, match=r"^name: .* cannot name a resource: use"):
        check("isatap_host", name, {})


@pytest.mark.parametrize("kind", ["isatap", "", None, ["isatap_host"], 1])
def test_unknown_kind_is_answered_with_the_known_ones(kind):
    with pytest.raises(SpecificationError, match=rf"^kind: .* {', '.join(sorted(KINDS))}$"):
        check(kind, "default", {})


def test_changes_name_state_and_resource():
    present, absent = read_changes(
        [
            {"kind": "isatap_host", "spec": {"routers": ["10.0.0.1"]}},
            {"kind": "isatap_router", "name": "old", "state": "absent"},
        ]
    )
    assert (present.label, present.resource is not None) == ("isatap_host/default", True)
    assert (absent.label, absent.resource) == ("isatap_router/old", None)


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        ({}, "resources: expected a list"),
        ([1], "resources: expected a list"),
        ([{"kind": "isatap_host", "spce": {}}], "resources: unknown key 'spce'; known: kind, name"),
        ([{"kind": "isatap_host", "state": "gone"}], "isatap_host/default: state: 'gone' is not"),
        ([{"kind": "isatap_host"}, {"kind": "isatap_host"}], "isatap_host/default: is there twice"),
        (
            [{"kind": "isatap_host", "spec": {"routers": ["2001:db8::1"]}}],
            "isatap_host/default: routers[0]: ",
        ),
        (
            [{"kind": "isatap_router", "spec": {"prefixes": [{"prefix": "2001:db8::/63"}]}}],
            "isatap_router/default: prefixes[0]: prefix: 2001:db8::/63 is a /63, but ISATAP needs",
        ),
    ],
)
def test_bad_change_is_one_line_that_names_it(requests, message):
    with pytest.raises(SpecificationError) as raised:
        read_changes(requests)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@given(st.sampled_from(sorted(KINDS)), JSON)
def test_any_specification_is_taken_or_refused_in_one_line(kind, spec):
    message = refusal(check, kind, "default", spec)
    assert message is None or message.startswith(f"{kind}/default: ")


@given(JSON)
def test_any_request_is_taken_or_refused_in_one_line(requests):
    refusal(read_changes, requests)


def refusal(function, *arguments):
    try:
        function(*arguments)
    except SpecificationError as error:
        message = str(error)
    else:
        return None
    assert "\n" not in message
    return message
