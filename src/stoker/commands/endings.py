"""How accounting says that a run or a step ended. Pure.

A run and its steps differ in what they call an end: a script that was killed by signal 9 ends its
job FAILED and its own step CANCELLED; a cancelled job has exit code 0:0 here (scontrol says 0:15),
and so has one that ran into its limit, whatever its script said on the way out.

Source: as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stoker.core.enums import HOLDING, REQUEUES, JobState
from stoker.core.models import NOBODY, Allocation, Job, Step

_LAUNCH_FAILED = 53
_OUT_OF_MEMORY = 125
_TERMINATED = 15

LIVING = frozenset({JobState.RUNNING, JobState.SUSPENDED})
_ENDED_FROM_OUTSIDE = frozenset(
    {
        JobState.CANCELLED,
        JobState.TIMEOUT,
        JobState.NODE_FAIL,
        JobState.PREEMPTED,
        JobState.DEADLINE,
        JobState.REQUEUED,
    }
)
"""States of a job in which its exit code says nothing about its script, and is 0:0."""

_WITH_ITS_JOB = frozenset({"cancelled", "ended", "leader", "requeued", "timeout"})
"""For what a task is ended when its job is, and not the task by itself."""


class End(msgspec.Struct, frozen=True, gc=False):
    """A state, with what belongs to it; ``is_known`` is false where nobody could tell the code.

    ``ended_by`` is the id of the user who cancelled it, or had it killed, or -1.
    """

    state: JobState
    code: int = 0
    signal: int = 0
    is_known: bool = True
    ended_by: int = -1

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self.state not in LIVING and self.state is not JobState.PENDING


def end_of_job(job: Job) -> End:
    """Return how the job stands now."""
    is_living = job.state in HOLDING and job.state is not JobState.SUSPENDED
    state = JobState.RUNNING if is_living else job.state
    if state in LIVING or state in _ENDED_FROM_OUTSIDE:
        return End(state, ended_by=job.ended_by if state is JobState.CANCELLED else -1)
    if job.exit_signal == 1:
        # Slurm keeps the wait status, and takes that of signal 1 for an exit code.
        return End(state, 1)
    code = job.exit_code if not job.exit_signal else 0
    return End(state, code, job.exit_signal, ended_by=job.ended_by)


def end_of_past_run(attempt: Allocation) -> End:
    """Return how a run ended after which the job was requeued."""
    state = attempt.end_state or JobState.REQUEUED
    if state in REQUEUES:
        state = JobState.REQUEUED
    if state in _ENDED_FROM_OUTSIDE:
        return End(state)
    return End(state, attempt.exit_code, attempt.exit_signal)


def end_of_batch(attempt: Allocation, run: End) -> End:
    """Return how the batch script of a run stands or ended; *run* is how the run did."""
    match run.state:
        case JobState.RUNNING | JobState.SUSPENDED:
            return End(run.state)
        case JobState.NODE_FAIL:
            return End(JobState.CANCELLED, is_known=False)
        case JobState.REQUEUED if not attempt.allocated_at:
            # It was taken back before anybody heard of its process.
            return End(JobState.CANCELLED, 0, _TERMINATED)
        case JobState.OUT_OF_MEMORY:
            return End(run.state, 0, _OUT_OF_MEMORY)
        case JobState.FAILED if run.signal == _LAUNCH_FAILED:
            return End(JobState.CANCELLED, 0, _LAUNCH_FAILED)
        case JobState.FAILED if run.code < 0:
            return run
    if attempt.exit_signal:
        by = run.ended_by if run.state is JobState.FAILED else NOBODY
        return End(JobState.CANCELLED, 0, attempt.exit_signal, ended_by=by)
    return End(JobState.FAILED if attempt.exit_code else JobState.COMPLETED, attempt.exit_code)


def end_of_step(step: Step, job: JobState) -> End:
    """Return how a numbered step stands or ended; with its job it is suspended, too."""
    if not step.end_at:
        return End(JobState.SUSPENDED if job is JobState.SUSPENDED else JobState.RUNNING)
    return End(step.state, step.exit_code, step.exit_signal, ended_by=step.ended_by)


def derived_end(steps: Iterable[Step]) -> tuple[int, int]:
    """Return the highest exit code and signal of the numbered steps that ended before their job.

    Accounting closes a job's record when the job is told to end; scontrol counts all its steps.
    """
    before = (step for step in steps if not any(end.why in _WITH_ITS_JOB for end in step.ends))
    return max(((step.exit_code, step.exit_signal) for step in before), default=(0, 0))
