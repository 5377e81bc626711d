"""What users do to jobs: cancel, signal, hold, release, requeue, suspend, resume.

Each is recorded first; what must happen to processes is done when the turn is on record, and done
again by recovery if we died in between (`job.ending` says what was asked for).
"""

from __future__ import annotations

import os

from stoker.core.enums import AllocationState, Hold, JobState
from stoker.core.errors import NotAllowed, UnknownJob
from stoker.core.lifecycle import Event, next_state
from stoker.core.models import Job, Owner
from stoker.core.units import JobRef
from stoker.engines.base import Engine, UnitKey, group_key
from stoker.worker.launching import BATCH
from stoker.worker.ledger import Ledger
from stoker.worker.outcomes import Outcome, on_request
from stoker.worker.queue import JobQueue, Turn
from stoker.worker.selection import Selection, Target
from stoker.worker.steps import StepKeeper

_ROOT = 0
_ENDED = "ESLURM_ALREADY_DONE"


class Changes:
    """Changes jobs on behalf of users, inside the open turn."""

    def __init__(
        self,
        queue: JobQueue,
        ledger: Ledger,
        selection: Selection,
        engine: Engine,
        steps: StepKeeper,
    ) -> None:
        """Record through *ledger*, act through *engine*."""
        self._queue = queue
        self.ledger = ledger
        self._selection = selection
        self._engine = engine
        self._steps = steps
        self._kill_wait_s = ledger.admission.settings.kill_wait_s

    # Ending.

    def cancel(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Cancel what has not ended; what has is left alone."""
        for target in self._selection.active(ref):
            check_owner(target.job, by)
            self._cancel_one(turn, target, by)

    def _cancel_one(self, turn: Turn, target: Target, by: Owner) -> None:
        job = target.job
        if target.tasks is not None:
            for task in target.tasks:
                self.ledger.cancel_task(turn, job, task, by.user_id)
        elif job.allocation is None:
            self.ledger.cancel_waiting(turn, job, by.user_id)
        elif job.ending is not JobState.CANCELLED:
            job.ended_by = by.user_id
            self.end_running(turn, job, JobState.CANCELLED, "cancelled")

    def end_running(self, turn: Turn, job: Job, ending: JobState, why: str) -> None:
        """Have a job that holds resources ended; recorded when its processes are gone."""
        assert job.allocation is not None
        job.ending = ending
        if job.state in (JobState.RUNNING, JobState.SUSPENDED):
            job.state = next_state(job.state, Event.ENDING)
        turn.touch(job)
        group = group_key(job.job_id, job.allocation.attempt)
        if job.spec.interactive and not self._has_open_steps(job):
            self._steps.end_all(turn, job, turn.now)
            self.ledger.finish(turn, job, on_request(job, turn.now))
        turn.afterwards(lambda: self._engine.end(group, why, self._kill_wait_s))

    def expire(self, turn: Turn, job: Job) -> None:
        """End an allocation without a process of its own that has used up its time."""
        self.end_running(turn, job, JobState.TIMEOUT, "timeout")

    def _has_open_steps(self, job: Job) -> bool:
        return any(not step.end_at for step in self._steps.steps(job))

    def finish_allocation(self, turn: Turn, job: Job, code: int, signal: int) -> None:
        """End an interactive job whose command has ended with this exit status."""
        if job.allocation is None or job.state.has_ended:
            return
        group = group_key(job.job_id, job.allocation.attempt)
        self._steps.end_all(turn, job, turn.now)
        state = JobState.FAILED if code or signal else JobState.COMPLETED
        outcome = Outcome(
            state=state, at=turn.now, code=code, signal=signal, raw_code=code, raw_signal=signal
        )
        self.ledger.finish(turn, job, outcome if job.ending is None else on_request(job, turn.now))
        turn.afterwards(lambda: self._engine.end(group, "ended", self._kill_wait_s))

    def requeue(self, turn: Turn, ref: JobRef, by: Owner, *, hold: bool) -> None:
        """End a running job, or take an ended one, and let it wait again."""
        targets = self._selection.active(ref) or [Target(job) for job in self._selection.ended(ref)]
        if not targets:
            raise UnknownJob(str(ref))
        for target in targets:
            check_owner(target.job, by)
            self._requeue_one(turn, target.job, hold=hold)

    def _requeue_one(self, turn: Turn, job: Job, *, hold: bool) -> None:
        ending = JobState.REQUEUE_HOLD if hold else JobState.REQUEUED
        if job.spec.interactive or not job.requeue:
            raise NotAllowed("Requested operation is presently disabled", "ESLURM_DISABLED")
        if job.state.has_ended:
            job.ending = ending
            self.ledger.requeue(turn, job)
        elif job.allocation is not None:
            self.end_running(turn, job, ending, "requeued")
        elif hold:
            self._hold_one(turn, job, Hold.USER)
        else:
            raise NotAllowed("Job is pending execution", "ESLURM_JOB_PENDING")

    # Signals.

    def signal(self, turn: Turn, ref: JobRef, by: Owner, number: int, scope: str) -> None:
        """Send a signal to the script, to the steps (``children``), or to all of it."""
        for target in self._selection.active(ref):
            job = target.job
            check_owner(job, by)
            if job.allocation is None or job.state is JobState.PENDING:
                raise NotAllowed("Job is pending execution", "ESLURM_JOB_PENDING")
            if scope != "leader":
                for step in self._steps.steps(job):
                    if not step.end_at:
                        self._steps.signal(turn, step, number)
            if scope != "children":
                group = group_key(job.job_id, job.allocation.attempt)
                turn.afterwards(
                    lambda group=group: self._engine.signal(group, number, scope)  # type: ignore[misc]
                )

    def suspend(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Stop a running job's processes; its time does not run meanwhile."""
        for job in self._running(ref, by):
            if job.state is JobState.SUSPENDED:
                continue
            job.state = next_state(job.state, Event.SUSPENDED)
            job.suspended_at = turn.now
            turn.touch(job)
            group = _group(job)
            turn.afterwards(lambda group=group: self._engine.suspend(group))  # type: ignore[misc]

    def resume(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Continue a suspended job."""
        for job in self._running(ref, by):
            if job.state is not JobState.SUSPENDED:
                raise NotAllowed(
                    "Job is not in a state that allows it to be resumed",
                    "ESLURM_JOB_NOT_SUSPENDED",
                )
            job.state = next_state(job.state, Event.RESUMED)
            job.suspended_s += max(0.0, turn.now - job.suspended_at)
            job.suspended_at = 0.0
            turn.touch(job)
            group = _group(job)
            turn.afterwards(lambda group=group: self._engine.resume(group))  # type: ignore[misc]

    def _running(self, ref: JobRef, by: Owner) -> list[Job]:
        targets = self._selection.active(ref)
        if not targets:
            raise self._nothing(ref)
        for target in targets:
            check_owner(target.job, by)
            if target.job.state not in (JobState.RUNNING, JobState.SUSPENDED):
                raise NotAllowed("Job is pending execution", "ESLURM_JOB_PENDING")
        return [target.job for target in targets]

    # Waiting.

    def hold(self, turn: Turn, ref: JobRef, by: Owner, *, as_user: bool) -> None:
        """Keep waiting jobs from starting."""
        kind = Hold.ADMIN if by.user_id == _ROOT and not as_user else Hold.USER
        for job in self._waiting(turn, ref, by):
            self._hold_one(turn, job, kind)

    def _hold_one(self, turn: Turn, job: Job, kind: Hold) -> None:
        job.hold = max(job.hold, kind)
        if job.allocation is not None and job.allocation.state is AllocationState.RESERVED:
            # It stands in a lane: if it can still be taken back, it waits held.
            key = str(UnitKey(job.job_id, job.allocation.attempt, BATCH))
            turn.afterwards(lambda: self._engine.withdraw([key]))
            turn.touch(job)
        else:
            self.ledger.replace(turn, job)

    def release(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Let held jobs go."""
        for job in self._waiting(turn, ref, by):
            if job.hold is Hold.ADMIN and by.user_id not in (_ROOT, job.owner.user_id):
                raise NotAllowed("Access/permission denied", "ESLURM_ACCESS_DENIED")
            job.hold = Hold.NONE
            self.ledger.replace(turn, job)

    def _waiting(self, turn: Turn, ref: JobRef, by: Owner) -> list[Job]:
        """Return the waiting jobs that *ref* names; single tasks get records of their own."""
        targets = self._selection.active(ref)
        if not targets:
            raise self._nothing(ref)
        found = []
        for job, tasks in targets:
            check_owner(job, by)
            if job.state is not JobState.PENDING:
                if len(targets) == 1:
                    raise NotAllowed("Job is no longer pending execution", "ESLURM_JOB_NOT_PENDING")
                continue
            if tasks is None:
                found.append(job)
            else:
                found += [self.ledger.split(turn, job, task) for task in tasks]
        return found

    def _nothing(self, ref: JobRef) -> Exception:
        """Return the error for a job that has ended, or that never was."""
        if self._selection.ended(ref):
            return NotAllowed("Job/step already completing or completed", _ENDED)
        return UnknownJob(str(ref))


def check_operator(by: Owner) -> None:
    """Raise unless *by* runs the machine or this daemon."""
    if by.user_id not in (_ROOT, os.geteuid()):
        raise NotAllowed("Access/permission denied", "ESLURM_ACCESS_DENIED")


def check_owner(job: Job, by: Owner) -> None:
    """Raise unless *by* may change the job: it is theirs, or they are root."""
    if by.user_id not in (_ROOT, job.owner.user_id):
        raise NotAllowed("Access/permission denied", "ESLURM_ACCESS_DENIED")


def _group(job: Job) -> str:
    assert job.allocation is not None
    return group_key(job.job_id, job.allocation.attempt)
