# Copyright (c) 2026 v6ops
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the bundle to hosts that do not have it yet, and lets the module do the rest."""

from __future__ import annotations

import hashlib
import re
import typing as t
import zipfile
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

BUNDLE = Path(__file__).parents[2] / "roles" / "agent" / "files" / "v6ferry.pyz"
_VERSION = re.compile(r'^__version__ = "([^"/]+)"$', re.MULTILINE)


class ActionModule(ActionBase):
    """The action of the module agent; a host that is up to date costs one call of the module."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return what the module returns."""
        super().run(tmp, task_vars)
        options = dict(self._task.args)
        if options.get("state", "present") != "present" or options.get("method") == "package":
            return self._execute_module(module_args=options, task_vars=task_vars)
        bundle = self._bundle(options.pop("bundle", None))
        options.setdefault("release", _release(bundle))
        result = self._execute_module(module_args=options, task_vars=task_vars)
        if not result.pop("bundle_needed", False):
            return result
        remote = self._connection._shell.join_path(
            self._connection._shell.tmpdir or self._make_tmp_path(), "v6ferry.pyz"
        )
        self._transfer_file(str(bundle), remote)
        options["bundle"] = remote
        return self._execute_module(module_args=options, task_vars=task_vars)

    def _bundle(self, wanted: str | None) -> Path:
        if wanted:
            return Path(self._find_needle("files", wanted))
        if not BUNDLE.exists():
            raise AnsibleActionFail(
                f"bundle: there is none at {BUNDLE}; in a checkout, build it (make build), or name "
                "one with the option bundle"
            )
        return BUNDLE


def _release(bundle: Path) -> str:
    """Return the version of a bundle with the beginning of its digest."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            source = archive.read("v6ferry/__init__.py").decode()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise AnsibleActionFail(
            f"bundle: {bundle} is not a bundle of the agent: {error}"
        ) from error
    version = _VERSION.search(source)
    if version is None:
        raise AnsibleActionFail(f"bundle: {bundle} does not tell its version")
    return f"{version[1]}-{hashlib.sha256(bundle.read_bytes()).hexdigest()[:12]}"
