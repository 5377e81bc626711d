"""What a turn of the scheduler takes when one job has ended, however many wait.

The worker runs in this process, over a real database, with an engine that only remembers. A turn
records the end, gives back what the job held, decides, reserves for the next job, syncs, and hands
it over. Counted are CPU time and, syncs included, elapsed time. Each turn is checked to have
started exactly the next job in order.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.growth import exponent
from bench.house import figure, keep, options_of, say
from bench.inside import Inside, ended, worker_inside
from stoker.engines.base import parse_key

_ROUNDS = 400
_WARM_UP = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.turns", description=__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--tasks", type=int, default=1_000_000, help="of an array (0: leave out)")
    options = options_of(parser, arguments, quick={"lengths": [1_000, 10_000], "tasks": 100_000})
    figures = []
    medians = {}
    for length in options.lengths:
        found = _turns(length, is_array=False)
        medians[length] = found[1]
        figures += _figures(f"{length} jobs wait", found)
    if options.tasks:
        figures += _figures(f"{options.tasks} tasks wait", _turns(options.tasks, is_array=True))
    if len(medians) > 1:
        figures.append(figure("a turn: exponent of its growth", exponent(medians), ""))
    keep("turns", figures, options)
    return 0


def _turns(length: int, *, is_array: bool) -> tuple[float, float, float]:
    """Return CPU time (median) and elapsed time (median, 99th percentile) of a turn, in ms."""
    with worker_inside(total_memory="1T") as inside:
        (inside.submit_array if is_array else inside.submit)(length)
        inside.schedule()
        running = [f"{job_id}.0.batch" for job_id in inside.worker.tracker.holders()]
        last = max(parse_key(key).job_id for key in running)
        cpu, elapsed = [], []
        for number in range(_ROUNDS + _WARM_UP):
            used_s, took_s, started = _turn(inside, running.pop(0))
            if len(started) != 1 or (not is_array and parse_key(started[0]).job_id != last + 1):
                raise SystemExit(f"cannot trust the run: {started} came after job {last}")
            last = parse_key(started[0]).job_id
            running += started
            if number >= _WARM_UP:
                cpu.append(used_s * 1e3)
                elapsed.append(took_s * 1e3)
    cpu.sort()
    elapsed.sort()
    say(f"{length} {'tasks' if is_array else 'jobs'}: {elapsed[_ROUNDS // 2]:.2f} ms a turn")
    return cpu[_ROUNDS // 2], elapsed[_ROUNDS // 2], elapsed[_ROUNDS * 99 // 100]


def _turn(inside: Inside, key: str) -> tuple[float, float, list[str]]:
    event = ended(key)
    cpu, began = time.thread_time(), time.perf_counter()
    inside.worker.reports.take([event])
    used_s, took_s = time.thread_time() - cpu, time.perf_counter() - began
    return used_s, took_s, inside.start()


def _figures(label: str, found: tuple[float, float, float]) -> list[dict[str, Any]]:
    cpu_ms, median_ms, late_ms = found
    return [
        figure(f"{label}: a turn after one end, CPU", cpu_ms, "ms", "< 5"),
        figure(f"{label}: a turn after one end", median_ms, "ms", "< 5"),
        figure(f"{label}: a turn after one end, 99th percentile", late_ms, "ms"),
    ]


if __name__ == "__main__":
    sys.exit(main())
