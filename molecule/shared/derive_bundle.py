# SPDX-License-Identifier: GPL-3.0-or-later
"""Make another release of a bundle: derive_bundle.py BUNDLE NEW VERSION [broken].

It differs in its version; a broken one can say it, but not run.
"""

from __future__ import annotations

import sys
import zipfile

source, target, version, *broken = sys.argv[1:]
with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
    for name in before.namelist():
        content = before.read(name)
        if name == "v6ferry/__init__.py":
            lines = content.decode().splitlines()
            lines = [f'__version__ = "{version}"' if "__version__ =" in x else x for x in lines]
            content = "\n".join(lines).encode()
        if name == "v6ferry/daemon/main.py" and broken:
            content = b'raise RuntimeError("this release is broken on purpose")\n'
        after.writestr(name, content)
