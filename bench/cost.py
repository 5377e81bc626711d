"""What a job costs stokerd in CPU time: reserved, described, started, ended, recorded.

All of it happens in this process, and the shepherd's reports are made up, forty jobs at a time, as
they come while short jobs follow one another. So the figure says little of a whole Stoker, but a
busy machine does not blur it as it blurs all others: it is the one to compare before and after a
change. ``--profile`` shows where it goes, by function.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

from bench.house import figure, keep, options_of
from bench.inside import Inside, ended, started, worker_inside
from stoker.engines.base import Unit
from stoker.engines.orders import Orders, batches

_TOGETHER = 40
_PROFILE_LINES = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description=__doc__)
    parser.add_argument("--jobs", type=int, default=3000, help="in a round (default 3000)")
    parser.add_argument("--rounds", type=int, default=7, help="the best counts (default 7)")
    parser.add_argument("--profile", action="store_true", help="show the costliest functions")
    options = options_of(parser, arguments, quick={"jobs": 1000, "rounds": 3})
    kinds: Mapping[str, Callable[[Inside, int], None]] = {
        "a task of an array": Inside.submit_array,
        "a job by itself": Inside.submit,
    }
    profile = cProfile.Profile(time.process_time) if options.profile else None
    figures = []
    for label, submit in kinds.items():
        with worker_inside(total_memory="1T", follow_depth_max=64) as inside:
            costs = [
                _round(inside, submit, options.jobs, profile) for _ in range(options.rounds + 1)
            ]
        figures.append(figure(f"stokerd alone: {label}", min(costs[1:]) * 1e6, "us CPU"))
    keep("cost", figures, options)
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(_PROFILE_LINES)
    return 0


def _round(
    inside: Inside,
    submit: Callable[[Inside, int], None],
    jobs: int,
    profile: cProfile.Profile | None,
) -> float:
    """Return the CPU seconds for each of *jobs* from its submission to its end on record."""
    launched: list[str] = []
    orders = Orders(lambda _: b"")

    def launch(units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        for batch in batches(units, descriptors):
            orders.launch(batch, descriptors)
        launched.extend(unit.key for unit in units)

    inside.engine.launch = launch  # type: ignore[method-assign]
    ends = 0
    with profile or nullcontext():
        began = time.process_time()
        submit(inside, jobs)
        inside.worker.scheduler.schedule_pending_jobs()
        while launched:
            keys, launched[:] = launched[:_TOGETHER], launched[_TOGETHER:]
            reports = [report(key) for key in keys for report in (started, ended)]
            inside.worker.reports.take(reports)
            ends += len(keys)
        used_s = time.process_time() - began
    if ends != jobs:
        raise SystemExit(f"cannot trust the run: {ends} of {jobs} jobs ended")
    return used_s / jobs


if __name__ == "__main__":
    sys.exit(main())
