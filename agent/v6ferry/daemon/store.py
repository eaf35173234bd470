# SPDX-License-Identifier: GPL-3.0-or-later
"""Desired state on disk: one JSON file a resource, for people to read and edit.

``resources/KIND/NAME.json`` is the truth. ``last-good/KIND/NAME.json`` is the last content of it
that could be used: a file that a slip of the editor has broken is reported, and the resource goes
on as it was.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from v6ferry.daemon.resources import KINDS, Resource, check
from v6ferry.engines.specification import SpecificationError
from v6ferry.system.errors import refused
from v6ferry.system.files import replace_file

_MODE, _SECRET_MODE = 0o644, 0o600


class BrokenFileError(Exception):
    """A stored file that cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files say.

    Attributes:
        resources: by label; for a broken file its last usable content, if there is any.
        problems: by label, what is wrong with its file.
    """

    resources: Mapping[str, Resource]
    problems: Mapping[str, str]


class Store:
    """Keeps desired resources under a directory.

    Args:
        directory: such as /var/lib/v6ferry; made when the first resource is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def load(self) -> Loaded:
        """Read all files.

        Raises:
            SystemFault: the directory cannot be read.
        """
        resources: dict[str, Resource] = {}
        problems: dict[str, str] = {}
        for path in self._files():
            resource_label = f"{path.parent.name}/{path.stem}"
            try:
                resource = _read(path)
            except BrokenFileError as error:
                problems[resource_label] = str(error)
                last_good = self._path("last-good", path.parent.name, path.stem)
                try:
                    resources[resource_label] = _read(last_good)
                except BrokenFileError:
                    continue
            else:
                resources[resource_label] = resource
                self._write("last-good", resource)
        return Loaded(resources, problems)

    def save(self, resource: Resource) -> None:
        """Write a resource; a file that was broken is kept beside it as ``NAME.json.broken``.

        Raises:
            SystemFault: the file system refuses; the old content is still there.
        """
        path = self._path("resources", resource.kind, resource.name)
        if path.exists():
            try:
                _read(path)
            except BrokenFileError:
                try:
                    path.replace(path.with_name(f"{path.name}.broken"))
                except OSError as error:
                    raise refused(f"keep {path}", error.errno or errno.EIO) from error
        self._write("resources", resource)
        self._write("last-good", resource)

    def remove(self, kind: str, name: str) -> None:
        """Forget a resource.

        Raises:
            SystemFault: the file system refuses.
        """
        for folder in ("resources", "last-good"):
            path = self._path(folder, kind, name)
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise refused(f"remove {path}", error.errno or errno.EIO) from error

    def path(self, resource: Resource) -> Path:
        """The file of a resource."""
        return self._path("resources", resource.kind, resource.name)

    def _path(self, folder: str, kind: str, name: str) -> Path:
        return self._directory / folder / kind / f"{name}.json"

    def _files(self) -> Iterator[Path]:
        root = self._directory / "resources"
        try:
            for kind in sorted(KINDS):
                if (root / kind).is_dir():
                    yield from sorted((root / kind).glob("[!.]*.json"))
        except OSError as error:
            raise refused(f"read {root}", error.errno or errno.EIO) from error

    def _write(self, folder: str, resource: Resource) -> None:
        document = {"kind": resource.kind, "name": resource.name, "spec": resource.spec}
        content = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
        path = self._path(folder, resource.kind, resource.name)
        try:
            if path.exists() and path.read_bytes() == content:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            secret = _has_key(resource.spec)
            if secret and path.exists():
                path.chmod(_SECRET_MODE)
            replace_file(path, content, mode=_SECRET_MODE if secret else _MODE)
        except OSError as error:
            raise refused(f"write {path}", error.errno or errno.EIO) from error


def _has_key(spec: Any) -> bool:
    """Whether a specification, or a part of it, has a key that nobody else is to read."""
    if isinstance(spec, Mapping):
        return "key" in spec or any(map(_has_key, spec.values()))
    return isinstance(spec, list) and any(map(_has_key, spec))


def _read(path: Path) -> Resource:
    """Read one file; its place decides over kind and name, and its content must agree."""
    advice = "mend it and run `systemctl reload v6ferry`, or apply the resource again"
    try:
        document: Any = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise BrokenFileError(
            f"{path}, line {error.lineno}, column {error.colno}: {error.msg}; {advice}"
        ) from error
    except UnicodeDecodeError as error:
        raise BrokenFileError(f"{path}: byte {error.start} is not UTF-8; {advice}") from error
    except OSError as error:
        raise BrokenFileError(f"{path}: {error.strerror}") from error
    if not isinstance(document, dict) or set(document) != {"kind", "name", "spec"}:
        raise BrokenFileError(f'{path}: expected {{"kind", "name", "spec"}} and no more; {advice}')
    if (document["kind"], document["name"]) != (path.parent.name, path.stem):
        raise BrokenFileError(
            f"{path}: says it is {document['kind']}/{document['name']}, but lies where"
            f" {path.parent.name}/{path.stem} does; {advice}"
        )
    try:
        return check(document["kind"], document["name"], document["spec"])
    except SpecificationError as error:
        raise BrokenFileError(f"{path}: {error}; {advice}") from error
