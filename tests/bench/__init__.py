# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmarks: how fast v6ferry is, beside a peer on the same machine at the same time.

``python -m tests.bench`` runs them. ``comparison`` has what is compared and how, ``report`` prints
and writes it, ``bench`` is the command line. Each technology has a file of its own (``isatap``)
with a context manager that yields its comparisons; ``bench.SUBJECTS`` lists them.

A benchmark reports, it never fails for being slow: that is for whoever reads ``build/bench.json``.
"""
