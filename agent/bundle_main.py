# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the bundle begins; it becomes its __main__.py.

Python compiles it whole before it runs it, so it keeps to what every Python understands.
"""

import sys

if sys.version_info < (3, 10):
    sys.exit(
        "v6ferry: needs Python 3.10 or later, and %s is %d.%d: run it with another one"
        % ((sys.executable,) + tuple(sys.version_info[:2]))
    )

from v6ferry.cli.main import main

sys.exit(main())
