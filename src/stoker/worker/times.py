"""When a job must be looked at though nothing happens to it: deadlines, limits of its own. Pure.

The shepherd ends a batch job whose time is up. An interactive job has no process of its own that
could be watched: the scheduler ends it. A deadline is the scheduler's for every job.

Source: sbatch(1), ``--deadline``: a job goes if it could not end before it any more; recorded.
"""

from __future__ import annotations

from stoker.core.enums import ONGOING, JobState
from stoker.core.models import FOREVER, Job


def is_waiting(job: Job) -> bool:
    """Whether the job waits, and no reservation for it is on its way."""
    return job.state is JobState.PENDING and job.allocation is None


def ends_at(job: Job) -> float:
    """Return when the job's time will be up, counted from its start, or else its reservation.

    Of a suspended one that is as if it went on at once.
    """
    if job.time_limit_s is None:
        return FOREVER
    reserved_at = job.allocation.reserved_at if job.allocation is not None else 0.0
    return (job.start_at or reserved_at) + job.suspended_s + job.time_limit_s


def first_look_at(job: Job, delay_s: float) -> float:
    """Return when the scheduler may consider a new job; so long after its submission at first."""
    return job.submit_at + delay_s if delay_s and not job.spec.interactive else 0.0


def latest_start_at(job: Job) -> float:
    """Return when the job must start to be able to end before its deadline."""
    if not job.spec.deadline_at:
        return FOREVER
    return job.spec.deadline_at - (job.spec.time_min_s or job.time_limit_s or 0.0)


def due_at(job: Job) -> float:
    """Return when the job must be looked at, if nothing happens to it before."""
    if not (job.spec.deadline_at or job.spec.interactive):
        return FOREVER
    if is_waiting(job):
        return latest_start_at(job)
    deadline_at = job.spec.deadline_at or FOREVER
    has_clock_of_its_own = job.spec.interactive and job.state in ONGOING
    return min(deadline_at, ends_at(job)) if has_clock_of_its_own else deadline_at


def overdue(job: Job, now: float) -> JobState | None:
    """Return as what a job that holds resources must be ended now; None if it may go on."""
    if is_waiting(job) or job.ending is not None or now < due_at(job):
        return None
    if job.spec.deadline_at and now >= job.spec.deadline_at:
        return JobState.DEADLINE
    return JobState.TIMEOUT
