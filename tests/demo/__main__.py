# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.demo``."""

import sys

from tests.demo.demo import main

sys.exit(main())
