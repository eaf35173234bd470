# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tests.bench``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench import isatap
from tests.bench.report import as_table, write_json
from tests.lab import LabError

RESULTS = Path(__file__).resolve().parents[2] / "build" / "bench.json"
SUBJECTS = (isatap,)


def main() -> int:
    """Run all benchmarks; a missed goal is shown, and is no failure on a machine full of noise."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=main.__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="of ours and the peer's each (default: %(default)s)"
    )
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds: give 1 or more")
    results = []
    try:
        for subject in SUBJECTS:
            for result in subject.benchmarks(options.rounds):
                print(f"measured: {result.name}", flush=True)
                results.append(result)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    write_json(results, RESULTS)
    print(f"\n{as_table(results)}\n\nMedians of {options.rounds} alternating rounds; {RESULTS}")
    return 0


sys.exit(main())
