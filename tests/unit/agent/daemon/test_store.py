# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired state on disk."""

from __future__ import annotations

import json

import pytest
from v6ferry.daemon.resources import check
from v6ferry.daemon.store import Store
from v6ferry.system.errors import SystemFault

SPEC = {"routers": ["10.0.0.1"]}


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def store(directory):
    store = Store(directory)
    store.save(check("isatap_host", "default", SPEC))
    return store


@pytest.fixture
def file(directory, store):
    return directory / "resources/isatap_host/default.json"


def test_nothing_stored_is_nothing_wanted(directory):
    loaded = Store(directory).load()
    assert (loaded.resources, loaded.problems) == ({}, {})


def test_what_was_saved_is_loaded(directory, store):
    loaded = Store(directory).load()
    assert loaded.resources["isatap_host/default"].spec == SPEC
    assert not loaded.problems


def test_file_is_for_people(file):
    assert file.read_text() == (
        '{\n  "kind": "isatap_host",\n  "name": "default",\n  "spec": {\n'
        '    "routers": [\n      "10.0.0.1"\n    ]\n  }\n}\n'
    )
    assert file.stat().st_mode & 0o777 == 0o644


def test_file_with_a_key_is_for_nobody_else(directory, store):
    client = {"servers": ["206.73.118.1"]}
    store.save(check("teredo_client", "default", client))
    file = directory / "resources/teredo_client/default.json"
    assert file.stat().st_mode & 0o777 == 0o644
    secret = {"client_identifier": "laptop", "key": "secret"}
    store.save(check("teredo_client", "default", {**client, **secret}))
    assert file.stat().st_mode & 0o777 == 0o600
    server = {"server_address": "206.73.118.1", "clients": [secret]}
    store.save(check("teredo_server", "default", server))
    for folder in ("resources", "last-good"):
        for path in (directory / folder).glob("teredo_*/default.json"):
            assert path.stat().st_mode & 0o777 == 0o600


def test_file_that_says_the_same_is_not_written_again(file, store):
    before = file.stat()
    store.save(check("isatap_host", "default", SPEC))
    assert file.stat().st_ino == before.st_ino


def test_edited_file_counts(file, store):
    document = json.loads(file.read_text())
    document["spec"]["ttl"] = 32
    file.write_text(json.dumps(document))
    assert store.load().resources["isatap_host/default"].parsed.tunnel.ttl == 32


def test_removed_resource_leaves_no_file(directory, store):
    store.remove("isatap_host", "default")
    assert not [path for path in directory.rglob("*") if path.is_file()]
    assert not store.load().resources


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{\n  oops\n}", "default.json, line 2, column 3: "),
        (b"", "default.json, line 1, column 1: "),
        (b"\xff\xfe", "default.json: byte 0 is not UTF-8"),
        (b"[]", 'default.json: expected {"kind", "name", "spec"}'),
        (b'{"kind": "isatap_host", "name": "x", "spec": {}}', "says it is isatap_host/x"),
        (
            b'{"kind": "isatap_host", "name": "default", "spec": {"ttl": 0}}',
            "default.json: isatap_host/default: ttl: ",
        ),
    ],
)
def test_broken_file_is_named_and_the_resource_goes_on_as_it_was(file, store, content, message):
    file.write_bytes(content)
    loaded = store.load()
    assert message in loaded.problems["isatap_host/default"]
    assert "\n" not in loaded.problems["isatap_host/default"]
    assert loaded.resources["isatap_host/default"].spec == SPEC
    assert file.read_bytes() == content


def test_broken_file_without_a_last_good_one_is_only_a_problem(directory, file, store):
    (directory / "last-good/isatap_host/default.json").unlink()
    file.write_text("{")
    loaded = store.load()
    assert not loaded.resources
    assert list(loaded.problems) == ["isatap_host/default"]


def test_applying_again_keeps_the_broken_file_beside_the_new_one(file, store):
    file.write_text("{ my work")
    store.save(check("isatap_host", "default", SPEC))
    assert json.loads(file.read_text())["spec"] == SPEC
    assert file.with_name("default.json.broken").read_text() == "{ my work"
    assert not store.load().problems


def test_foreign_files_are_passed_over(directory, store):
    for name in (".default.json.swp", "default.json~", "README"):
        (directory / "resources/isatap_host" / name).write_text("x")
    (directory / "resources/unknown").mkdir()
    assert list(store.load().resources) == ["isatap_host/default"]


def test_directory_that_cannot_be_written_is_a_fault(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SystemFault, match=r"cannot write .*state/resources/isatap_host"):
        Store(tmp_path / "state").save(check("isatap_host", "default", SPEC))
