# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's tests; what they share is imported as ``tests.lab``."""
