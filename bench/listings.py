"""For how long a listing of each kind holds a turn, in which nobody else has one.

The worker runs in this process, over a real database, with an engine that only remembers. Jobs of
several time limits wait, so that looking ahead has something to do. Counted is CPU time of turns,
the garbage collector's included, and of the pieces that are made between them. Each listing is
checked to show every job.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

from bench.house import figure, keep, options_of, say
from bench.inside import ME, Inside, worker_inside
from stoker.commands.table import SERVED
from stoker.core.models import JobSpec
from stoker.worker.call import Answer, Call
from stoker.worker.queue import Turn
from stoker.worker.requests import Submission

_HISTORY: Final = ("-a", "-S", "1970-01-01", "-E", "now")
_LISTINGS: Final = (
    ("squeue", "-h"),
    ("squeue", "-h", "-t", "all"),
    ("squeue", "-h", "-r"),
    ("squeue", "-h", "--start"),
    ("squeue", "--json"),
    ("scontrol", "-o", "show", "job"),
    ("slurmrestd", "GET", "/slurm/v0.0.38/jobs"),
    ("slurmrestd", "GET", "/slurmdb/v0.0.38/jobs"),
    ("sacct", "-n", "-X", *_HISTORY),
    ("sacct", "--json", *_HISTORY),
    ("sreport", "user", "top"),
)
_BATCH: Final = 1000
_CPUS: Final = 2


class Took(NamedTuple):
    """What a listing took, in seconds of CPU."""

    longest_turn_s: float
    longest_piece_s: float
    all_s: float
    lines: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.listings", description=__doc__)
    parser.add_argument("--pending", type=int, default=100_000, help="jobs that wait")
    parser.add_argument("--kinds", type=int, default=50, help="time limits that they have")
    options = options_of(parser, arguments, quick={"pending": 5_000})
    figures = []
    with worker_inside(total_cpus=_CPUS, total_memory="1T") as inside:
        _submit(inside, options.pending + _CPUS, options.kinds)
        inside.schedule()
        for words in _LISTINGS:
            took = _listed(inside, words)
            if took.lines < options.pending and words[0] != "sreport":
                raise SystemExit(f"cannot trust the run: {words} shows {took.lines} lines")
            figures += _figures(" ".join(words), took, options.pending)
    keep("listings", figures, options)
    return 0


def _submit(inside: Inside, count: int, kinds: int) -> None:
    for start in range(0, count, _BATCH):
        with inside.worker.queue.turn():
            for number in range(start, min(start + _BATCH, count)):
                limit_s = 60.0 * (1 + number % kinds)
                spec = JobSpec(name="job", argv=("true",), time_limit_s=limit_s)
                inside.worker.control.submit(Submission(spec=spec, owner=ME))


def _listed(inside: Inside, words: Sequence[str]) -> Took:
    say(" ".join(words))
    queue, turns = inside.worker.queue, list[float]()
    before: Callable[[], AbstractContextManager[Turn]] = queue.turn
    queue.turn = _timed(before, turns)  # type: ignore[method-assign]
    try:
        began = time.thread_time()
        answer = _begin(inside, words)
        pieces, lines = [0.0], 0
        last = time.thread_time()
        for piece in [answer.out] if isinstance(answer.out, str) else answer.out:
            now = time.thread_time()
            pieces.append(now - last)
            last, lines = now, lines + piece.count("\n")
    finally:
        queue.turn = before  # type: ignore[method-assign]
    return Took(max(turns), max(pieces), time.thread_time() - began, lines)


def _begin(inside: Inside, words: Sequence[str]) -> Answer:
    """Begin the command in a turn, as the server does."""
    program, *argv = words
    with inside.worker.queue.turn() as turn:
        call = Call(program, tuple(argv), {}, "/", ME, turn.now)
        outcome = SERVED[program](call, inside.worker.control)
        while not isinstance(outcome, Answer):
            try:
                next(outcome)
            except StopIteration as stop:
                outcome = stop.value
    return outcome


def _timed(
    turn: Callable[[], AbstractContextManager[Turn]], found: list[float]
) -> Callable[[], AbstractContextManager[Turn]]:
    """Return what opens turns and notes how long each is open."""

    @contextmanager
    def opened() -> Iterator[Turn]:
        began = time.thread_time()
        with turn() as inner:
            yield inner
        found.append(time.thread_time() - began)

    return opened


def _figures(name: str, took: Took, pending: int) -> list[dict[str, Any]]:
    label = f"{name}, {pending} wait"
    return [
        figure(f"{label}: longest turn, CPU", took.longest_turn_s * 1e3, "ms"),
        figure(f"{label}: longest piece, CPU", took.longest_piece_s * 1e3, "ms"),
        figure(f"{label}: all of it, CPU", took.all_s, "s"),
    ]


if __name__ == "__main__":
    sys.exit(main())
