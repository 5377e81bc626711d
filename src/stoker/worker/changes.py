"""What users do to jobs: cancel, signal, hold, release, requeue, suspend, resume.

Each is recorded first; what must happen to processes is done when the turn is on record, and done
again by recovery if we died in between (`job.ending` says what was asked for). Of an array each
does what it can to the tasks that it can be done to, and refuses only if there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from signal import SIGCONT, SIGSTOP

from stoker.core.enums import ONGOING, REQUEUES, Hold, JobState, Reason
from stoker.core.errors import NotAllowed, UnknownJob
from stoker.core.lifecycle import Event, next_state
from stoker.core.models import Job, Owner
from stoker.core.units import JobRef, TaskSet
from stoker.engines.base import Engine, group_key
from stoker.worker.attempts import attempt_of, batch_key, count_pause
from stoker.worker.ledger import Ledger
from stoker.worker.outcomes import command_ended, on_request, why
from stoker.worker.queue import Turn
from stoker.worker.selection import Selection, Target
from stoker.worker.steps import StepKeeper
from stoker.worker.times import is_waiting

_ROOT = 0


class Changes:
    """Changes jobs on behalf of users, inside the open turn."""

    def __init__(
        self, ledger: Ledger, selection: Selection, engine: Engine, steps: StepKeeper
    ) -> None:
        """Record through *ledger*, act through *engine*."""
        self._ledger = ledger
        self._rights = ledger.admission.rights
        self._selection = selection
        self._engine = engine
        self._steps = steps

    # Ending.

    def cancel(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Cancel what has not ended; what has is left alone."""
        for target in self._owned(ref, by):
            self._cancel_one(turn, target, by)

    def _cancel_one(self, turn: Turn, target: Target, by: Owner) -> None:
        job = target.job
        if is_waiting(job):
            self._ledger.cancel_waiting(turn, job, by.user_id, target.tasks)
        elif job.ending is None or job.ending in REQUEUES:
            job.ended_by = by.user_id
            self.end_running(turn, job, JobState.CANCELLED)

    def end_running(self, turn: Turn, job: Job, ending: JobState) -> None:
        """Have a job that holds resources ended; recorded when its processes are gone."""
        assert job.allocation is not None, f"job {job.job_id} has no allocation"
        group = group_key(job.job_id, job.allocation.attempt)
        job.ending = ending
        if job.state in (JobState.RUNNING, JobState.STOPPED, JobState.SUSPENDED):
            count_pause(job, turn.now)
            job.state = next_state(job.state, Event.ENDING)
        turn.touch(job)
        turn.tell(job.job_id)
        if job.spec.interactive and not self._steps.open_steps(job.job_id):
            self._steps.end_all(turn, job, turn.now)
            self._ledger.finish(turn, job, on_request(job, turn.now))
        kill_wait_s = self._ledger.admission.settings.kill_wait_s
        turn.afterwards(partial(self._engine.end, group, why(ending), kill_wait_s))

    def fail_node(self, turn: Turn, name: str) -> None:
        """End what runs on a node that an operator took down; what may, waits again."""
        for job in list(self._ledger.table):
            if job.allocation is None or job.ending is not None:
                continue
            if name in job.allocation.nodes:
                job.reason = Reason.NODE_DOWN
                may_requeue = job.requeue and not job.spec.interactive
                ending = JobState.REQUEUED if may_requeue else JobState.NODE_FAIL
                self.end_running(turn, job, ending)

    def finish_allocation(self, turn: Turn, job_id: int, code: int, signal: int) -> None:
        """End an interactive job whose command has ended with this exit status.

        Steps that it leaves behind are ended first: until then they hold what the job holds.
        """
        job = self._ledger.table.get(job_id)
        if job is None or job.allocation is None or job.ending is not None:
            return
        job.exit_code, job.exit_signal = code, signal
        self.end_running(turn, job, command_ended(code, signal, turn.now).state)

    def abandon(self, turn: Turn, job_id: int) -> None:
        """End an interactive job whose caller has gone."""
        job = self._ledger.table.get(job_id)
        if job is not None and job.spec.interactive:
            job.message = "its caller went away"
            self._cancel_one(turn, Target(job), job.owner)

    # Running again.

    def requeue(self, turn: Turn, ref: JobRef, by: Owner, ending: JobState) -> None:
        """End running jobs, or take ended ones, and let them wait again, as *ending* says.

        Raises:
            UnknownJob: There is none.
            NotAllowed: None of them may be requeued.
        """
        targets = self._owned(ref, by) or self._selection.ended(ref)
        parts = {target.job.job_id: target.tasks for target in targets}
        jobs = [target.job for target in targets]
        for job in jobs:
            self._rights.check_change(job, by)
        for job in self._those(ref, jobs, _refusal_to_requeue):
            self._requeue_one(turn, job, parts[job.job_id], ending)

    def _requeue_one(self, turn: Turn, job: Job, tasks: TaskSet | None, ending: JobState) -> None:
        if job.state.has_ended:
            if tasks is not None:
                job = self._ledger.arrays.part(turn, job, tasks)
            job.ending = ending
            self._ledger.requeue(turn, job)
        elif job.ending is None or job.ending in REQUEUES:
            self.end_running(turn, job, ending)

    # Signals.

    def signal(self, turn: Turn, ref: JobRef, by: Owner, number: int, scope: str) -> None:
        """Send a signal to the script (``leader``), to the steps (``children``), or to ``all``."""
        jobs = [target.job for target in self._owned(ref, by)]
        for job in self._those(ref, jobs, _refusal_to_signal):
            self._mark_stopped(turn, job, number)
            turn.afterwards(partial(self._engine.signal, _group(job), number, scope))

    def _mark_stopped(self, turn: Turn, job: Job, number: int) -> None:
        """Keep account of who was stopped by a signal, or continued."""
        if number == SIGSTOP and job.state is JobState.RUNNING:
            job.state = next_state(job.state, Event.STOPPED)
        elif number == SIGCONT and job.state is JobState.STOPPED:
            job.state = next_state(job.state, Event.CONTINUED)
        else:
            return
        turn.touch(job)

    def suspend(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Stop running jobs' processes; their time does not run meanwhile."""
        self._rights.check_operator(by)
        jobs = [target.job for target in self._selection.active(ref)]
        for job in self._those(ref, jobs, _refusal_to_suspend):
            if job.state in ONGOING:
                job.state = next_state(job.state, Event.SUSPENDED)
                job.suspended_at = turn.now
                turn.touch(job)
                turn.afterwards(partial(self._engine.suspend, _group(job)))

    def resume(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Continue suspended jobs."""
        self._rights.check_operator(by)
        jobs = [target.job for target in self._selection.active(ref)]
        for job in self._those(ref, jobs, _refusal_to_resume):
            job.state = next_state(job.state, Event.RESUMED)
            count_pause(job, turn.now)
            turn.touch(job)
            self._ledger.watch(job)
            turn.afterwards(partial(self._engine.resume, _group(job)))

    # Holding.

    def hold(self, turn: Turn, ref: JobRef, by: Owner, *, as_user: bool) -> None:
        """Keep jobs from starting; what runs goes on, and is held if it is requeued."""
        for job in self._records(turn, ref, by):
            job.hold = max(job.hold, Hold.USER if as_user else kind_of_hold(job, by))
            self._place(turn, job)

    def release(self, turn: Turn, ref: JobRef, by: Owner) -> None:
        """Let held jobs go; what an administrator holds only an administrator releases."""
        for target in self._selection.active(ref):
            if target.job.hold is Hold.ADMIN and not self._rights.may_operate(target.job, by):
                self._rights.check_change(target.job, by, "ESLURM_USER_ID_MISSING")
                self._rights.check_operator(by)
        for job in self._records(turn, ref, by):
            job.hold = Hold.NONE
            self._place(turn, job)

    def _records(self, turn: Turn, ref: JobRef, by: Owner) -> list[Job]:
        """Return the jobs that *ref* names; single waiting tasks get records of their own."""
        found: list[Job] = []
        targets = self._owned(ref, by, denied="ESLURM_USER_ID_MISSING")
        if not targets:
            raise self._nothing(ref)
        for job, tasks in targets:
            if tasks is None:
                found.append(job)
            else:
                found += [self._ledger.arrays.split(turn, job, task) for task in tasks]
        return found

    def _place(self, turn: Turn, job: Job) -> None:
        """Let a job stand where its hold puts it."""
        if is_waiting(job):
            self._ledger.replace(turn, job)
            return
        turn.touch(job)
        if job.state is JobState.PENDING and job.hold is not Hold.NONE:
            # It is reserved: if it can still be taken back, it waits held.
            key = batch_key(attempt_of(job))
            turn.afterwards(partial(self._engine.withdraw, [key]))
        else:
            job.reason = _HELD[job.hold]

    # Finding.

    def _owned(
        self, ref: JobRef, by: Owner, denied: str = "ESLURM_ACCESS_DENIED"
    ) -> Sequence[Target]:
        """Return the active records that *ref* names, all of which *by* may change."""
        targets = self._selection.active(ref)
        for target in targets:
            self._rights.check_change(target.job, by, denied)
        return targets

    def _those(
        self, ref: JobRef, jobs: Sequence[Job], refusal: Callable[[Job], NotAllowed | None]
    ) -> list[Job]:
        """Return those of *jobs* that are not refused; if all are, raise why the first one is."""
        refusals = [refusal(job) for job in jobs]
        found = [job for job, refused in zip(jobs, refusals, strict=True) if refused is None]
        if not found:
            raise next((each for each in refusals if each is not None), self._nothing(ref))
        return found

    def _nothing(self, ref: JobRef) -> NotAllowed | UnknownJob:
        """Return the error for a job that has ended, or that never was."""
        if self._selection.ended(ref):
            return NotAllowed(f"cannot change job {ref}: it has ended", "ESLURM_ALREADY_DONE")
        return UnknownJob(str(ref))


def kind_of_hold(job: Job, by: Owner) -> Hold:
    """Return whose hold it is: one of root's, or on somebody else's job, is the machine's."""
    is_own = by.user_id == job.owner.user_id and by.user_id != _ROOT
    return Hold.USER if is_own else Hold.ADMIN


_HELD = {
    Hold.NONE: Reason.NONE,
    Hold.USER: Reason.JOB_HELD_USER,
    Hold.ADMIN: Reason.JOB_HELD_ADMIN,
    Hold.SPECIAL: Reason.REQUEUED_HELD,
}


def _refusal_to_requeue(job: Job) -> NotAllowed | None:
    if job.spec.interactive:
        return _refused("requeue", job, "it is interactive", "ESLURM_DISABLED")
    if not job.requeue:
        return _refused("requeue", job, "it was submitted with --no-requeue", "ESLURM_DISABLED")
    return _unless_started("requeue", job)


def _refusal_to_signal(job: Job) -> NotAllowed | None:
    if job.state is JobState.PENDING:
        return _refused("signal", job, "it has not started", "ESLURM_JOB_PENDING")
    return None


def _refusal_to_suspend(job: Job) -> NotAllowed | None:
    if job.state is JobState.COMPLETING:
        return _refused("suspend", job, "it is ending", "ESLURM_ALREADY_DONE")
    return _unless_started("suspend", job)


def _refusal_to_resume(job: Job) -> NotAllowed | None:
    if (refused := _unless_started("resume", job)) is not None:
        return refused
    if job.state is not JobState.SUSPENDED:
        return _refused("resume", job, "it is not suspended", "ESLURM_JOB_NOT_SUSPENDED")
    return None


def _unless_started(what: str, job: Job) -> NotAllowed | None:
    if is_waiting(job):
        return _refused(what, job, "it has not started", "ESLURM_JOB_PENDING")
    return None


def _refused(what: str, job: Job, why_not: str, code: str) -> NotAllowed:
    return NotAllowed(f"cannot {what} job {job.display_id}: {why_not}", code)


def _group(job: Job) -> str:
    assert job.allocation is not None, f"job {job.job_id} has no allocation"
    return group_key(job.job_id, job.allocation.attempt)
