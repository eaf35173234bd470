# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.bench``."""

import sys

from tests.bench.bench import main

sys.exit(main())
