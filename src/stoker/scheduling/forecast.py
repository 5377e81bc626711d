"""When waiting jobs are expected to start: the plan played forward.

Running jobs are believed to use up their time limits, and nobody to come along. At each believed
end the very pass of `scheduling.plan` is made. What waits for a job without a limit is unknown.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from stoker.core.models import FOREVER
from stoker.core.reservations import Reservation
from stoker.scheduling.lines import Line, Lines
from stoker.scheduling.placement import Room
from stoker.scheduling.plan import DEPTH, Pass, Start
from stoker.scheduling.reservations import Fences
from stoker.scheduling.snapshot import Queue, Running, Snapshot

LIMIT: Final = 200
"""How many instants are looked at, so that a question about a long queue stays cheap."""


def forecast(
    snapshot: Snapshot,
    now: float,
    wanted: Collection[int] | None = None,
    limit: int = LIMIT,
    *,
    horizon_s: float = FOREVER,
) -> dict[int, float]:
    """Return when jobs will start at the latest, in epoch seconds, as far as it can be told.

    *wanted* are ids of eligible jobs, None for all; of an array it is the start of its next task.
    At most *limit* instants at which jobs end are looked at, none later than *horizon_s* from *now*
    (Slurm's ``bf_window``, there a day by default).
    """
    return {
        job_id: at
        for job_id, (at, _) in forecast_starts(
            snapshot, now, wanted, limit, horizon_s=horizon_s
        ).items()
    }


def forecast_starts(
    snapshot: Snapshot,
    now: float,
    wanted: Collection[int] | None = None,
    limit: int = LIMIT,
    *,
    horizon_s: float = FOREVER,
) -> dict[int, tuple[float, Start]]:
    """Return as `forecast` does, and where each job is expected to run."""
    missing = set(wanted) if wanted is not None else None
    expected: dict[int, tuple[float, Start]] = {}
    for at, starts in foresee(snapshot, now, limit, horizon_s=horizon_s):
        for start in starts:
            expected.setdefault(start.job_id, (at, start))
        if missing is not None:
            missing.difference_update(start.job_id for start in starts)
        if missing == set():
            break
    if wanted is None:
        return expected
    return {job_id: expected[job_id] for job_id in wanted if job_id in expected}


def foresee(
    snapshot: Snapshot, now: float, limit: int = LIMIT, *, horizon_s: float = FOREVER
) -> Iterator[tuple[float, list[Start]]]:
    """Yield one instant after the other, the first of them *now*: when it is, and who starts then.

    What it takes for each may be done whenever there is time, if the snapshot stays as it is.
    """
    future = _Future(snapshot, now)
    for _ in range(limit):
        yield future.at, future.start()
        if not future.go_on(now + horizon_s):
            break


class _Future:
    """The machine as it is believed to be at a time to come."""

    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self.at = now
        self._room = Room(snapshot.free)
        self._running = sorted(snapshot.running, key=_ends_at)
        self._reservations: Sequence[Reservation] = snapshot.reservations
        # Who is at a limit may wait for longer than anything here could tell.
        self._lines = [
            Line(queue) for queue in snapshot.queues if not _is_at_limit(snapshot, queue)
        ]

    def start(self) -> list[Start]:
        """Let everything start that does at this time, and return it."""
        self._reservations = [
            there
            for each in self._reservations
            if (there := each if self.at < each.end_at else each.after(self.at)) is not None
        ]
        fences = Fences(self._reservations, self._running, self.at)
        lines = Lines((), self._lines)
        done = Pass(lines, self._room, self._running, self.at, DEPTH, fences=fences)
        done.run(sys.maxsize, until_full=True)
        self._lines = [line for line in self._lines if not line.is_over]
        self._running = sorted(done.running, key=_ends_at)
        return done.starts

    def go_on(self, until: float) -> bool:
        """Go to the next believed end by *until*; False if there is none, or nobody waits."""
        at = min(self._next_end_at, self._next_turning_point)
        if not self._lines or at > until or at == FOREVER:
            return False
        self.at = max(self.at, at)
        ended = bisect_right(self._running, self.at, key=_ends_at)
        for job in self._running[:ended]:
            self._room.give(job.shares)
        del self._running[:ended]
        return True

    @property
    def _next_end_at(self) -> float:
        return self._running[0].ends_at if self._running else FOREVER

    @property
    def _next_turning_point(self) -> float:
        """Return when a reservation begins or ends next."""
        times = (at for each in self._reservations for at in (each.start_at, each.end_at))
        return min((at for at in times if at > self.at), default=FOREVER)


def _is_at_limit(snapshot: Snapshot, queue: Queue) -> bool:
    return snapshot.quotas is not None and bool(snapshot.quotas.refusal(queue.shape))


def _ends_at(job: Running) -> float:
    return job.ends_at
