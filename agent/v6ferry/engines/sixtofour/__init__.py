# SPDX-License-Identifier: GPL-3.0-or-later
"""6to4 (RFC 3056), with the checks of RFC 3964."""
