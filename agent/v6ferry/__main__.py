# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m v6ferry`` is the same as ``v6ferry``."""

import sys

from v6ferry.cli.main import main

sys.exit(main())
