# SPDX-License-Identifier: GPL-3.0-or-later
"""Benchmarks: what is ours against a peer, in the same run, in alternating rounds.

``python -m tests.bench`` runs all of them. ``rounds`` measures and compares, ``report`` prints and
writes; every other module is one subject with a function ``benchmarks`` that yields its results.
"""
