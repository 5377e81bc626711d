"""Ends what a user's shepherd should have ended: where many are served, it may not want to.

A shepherd keeps time limits, and ends what is cancelled. One that its user has stopped, or put
another program in the place of, does not; then that user's jobs would hold what others wait for,
without end. So who is overdue for a while is dealt with by root: first the shepherd is prodded,
and replaced if it does not answer; if that does not help, the job's processes are killed, and the
record says so. What a user lets run outside of their jobs is no concern of ours.

Nothing happens to a job whose shepherd does its work: it has long ended by then.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from stoker.core.enums import AllocationState
from stoker.core.models import Allocation, Job
from stoker.engines.base import Ended, Engine, EngineEvent, Listener, Lost, group_key
from stoker.worker.attempts import batch_key
from stoker.worker.daemon import DaemonThread
from stoker.worker.ledger import Ledger
from stoker.worker.outcomes import why
from stoker.worker.probe import Probe
from stoker.worker.steps import StepKeeper
from stoker.worker.times import ends_at

log = logging.getLogger(__name__)

_LOOK_S: Final = 30.0
PATIENCE_S: Final = 60.0
"""How long a job is left to its shepherd after it should have ended, or begun; then this long once
more until it is root that ends it."""


class Bailiff(DaemonThread):
    """Looks at what is overdue, now and then."""

    def __init__(
        self,
        ledger: Ledger,
        steps: StepKeeper,
        probe: Probe,
        engine: Engine,
        *,
        prod: Callable[[int], None],
        report: Listener,
        reap: Callable[[], object] = lambda: None,
    ) -> None:
        """Look at *ledger*'s jobs.

        Args:
            ledger: Whose jobs.
            steps: Their steps.
            probe: Ends the processes of a job, and nobody else's.
            engine: Runs them, or should.
            prod: Sees to it that a user's shepherd is there.
            report: Is told what root has ended, as if an engine had.
            reap: Reaps what shepherds that are gone have left to us.
        """
        super().__init__("bailiff", _LOOK_S)
        self._ledger = ledger
        self._steps = steps
        self._probe = probe
        self._engine = engine
        self._prod = prod
        self._report = report
        self._reap = reap
        self._overdue: dict[tuple[int, int], float] = {}
        """By job and attempt, since when it is known to be overdue (monotonic)."""
        self._endings: dict[int, threading.Thread] = {}

    def do_work(self) -> None:
        """Prod the shepherds of those who are overdue, and end who has been for too long."""
        with self._ledger.queue.lock:
            late = list(self._late())
        for user_id in {job.owner.user_id for job, _ in late}:
            self._prod(user_id)
        doomed: dict[int, list[Job]] = {}
        for job, late_s in late:
            if late_s >= PATIENCE_S:
                doomed.setdefault(job.owner.user_id, []).append(job)
        for user_id, jobs in doomed.items():
            self._end_beside(user_id, jobs)
        self._reap()

    def _end_beside(self, user_id: int, jobs: Sequence[Job]) -> None:
        """End a user's jobs on a thread of its own: their processes may keep us waiting."""
        if (ending := self._endings.get(user_id)) is not None and ending.is_alive():
            return
        ending = self._endings[user_id] = threading.Thread(
            target=self._end_all, args=(jobs,), name=f"ends jobs of {user_id}", daemon=True
        )
        ending.start()

    def _end_all(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            try:
                self._end(job)
            except Exception:
                log.exception("job %d cannot be ended now", job.job_id)

    def _late(self) -> Iterator[tuple[Job, float]]:
        """Yield the jobs that are overdue, and for how long that has been known."""
        queue, before = self._ledger.queue, self._overdue
        now, at = queue.now(), queue.monotonic()
        self._overdue = {}
        for job in self._ledger.table:
            if job.allocation is None or not self._is_due(job, now):
                continue
            key = (job.job_id, job.allocation.attempt)
            since = self._overdue[key] = before.get(key, at)
            # What is to be done to it may just have been asked.
            if at - since >= self._grace_s:
                yield job, at - since - self._grace_s

    @property
    def _grace_s(self) -> float:
        return self._ledger.admission.settings.kill_wait_s + PATIENCE_S

    def _is_due(self, job: Job, now: float) -> bool:
        """Whether the job should be ending, have ended, or be begun by now."""
        assert job.allocation is not None
        if job.ending is not None:
            return True
        if job.allocation.state is AllocationState.RESERVED:
            return not self._ledger.lanes.is_behind(job.job_id)
        return not job.suspended_at and now >= ends_at(job)

    def _end(self, job: Job) -> None:
        """Kill what is left of a job, and report its end."""
        with self._ledger.queue.lock:
            if (allocation := job.allocation) is None:
                return
            # Should its shepherd come round, nothing of it is to be begun any more.
            self._engine.end(group_key(job.job_id, allocation.attempt), "cancelled", 0.0)
            events = list(self._ends_of(job, allocation))
        log.warning("job %d is overdue, and ended by root", job.job_id)
        if self._probe.terminate(job):
            self._report(events)

    def _ends_of(self, job: Job, allocation: Allocation) -> Iterator[EngineEvent]:
        """Yield the last events of the job's units, as far as they are not over."""
        if job.spec.interactive:
            for step in self._steps.open_units():
                if step.startswith(f"{job.job_id}.{allocation.attempt}."):
                    yield Lost(step)
            return
        key = batch_key(allocation)
        if allocation.state is AllocationState.RESERVED:
            # Whether it was begun nobody can tell who is to be believed.
            yield Lost(key)
            return
        yield Ended(
            key=key,
            exit_code=0,
            signal=0,
            status_known=False,
            at=self._ledger.queue.now(),
            why=why(job.ending) if job.ending is not None else "timeout",
        )
