"""All benchmarks, one after the other: ``python -m bench``; all figures go to `results.json`."""

from __future__ import annotations

import runpy
import sys

from bench.house import gather

BENCHMARKS = (
    ("bench.latency",),
    ("bench.throughput", "--jobs", "1000"),
    ("bench.throughput", "--jobs", "10000", "--rounds", "1"),
    ("bench.recovery",),
    ("bench.submit",),
    ("bench.scale",),
    ("bench.idle",),
    ("bench.peers",),
)


def main() -> int:
    """Run them; each prints its figures."""
    for name, *arguments in BENCHMARKS:
        sys.argv = [name, *arguments]
        try:
            runpy.run_module(name, run_name="__main__")
        except SystemExit as end:
            if end.code:
                return 1
    gather()
    return 0


if __name__ == "__main__":
    sys.exit(main())
