# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are replaced whole: a reader, or a crash, sees the old content or the new."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a file atomically; the owner, mode and label of a file that is there are kept.

    Args:
        path: The file. A symbolic link stays; what it points to is replaced.
        content: All of the new content.
        mode: Permissions if the file is new.

    Raises:
        OSError: The file system refuses; the old content is still there.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _take_after(temporary, target, mode)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno != errno.EBUSY:
            raise
        # A container's own mount point (Docker mounts resolv.conf as one file) cannot be replaced,
        # only written to.
        target.write_bytes(content)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def give_to_group(path: Path, group: int) -> None:
    """Set the group of a file or directory if it is another; a sandbox may forbid even to try.

    Raises:
        OSError: The file system refuses.
    """
    if path.stat().st_gid != group:
        os.chown(path, -1, group)


def _take_after(temporary: Path, target: Path, mode: int) -> None:
    try:
        status = target.stat()
    except FileNotFoundError:
        temporary.chmod(mode)
        return
    if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(temporary, status.st_uid, status.st_gid)
    shutil.copystat(target, temporary)  # the mode and, with the extended attributes, the label
    os.utime(temporary)  # but not the time: who rereads a changed file goes by it
