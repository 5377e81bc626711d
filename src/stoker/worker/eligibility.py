"""Whether a waiting job may be considered, and if not, why: holds, times, dependencies.

Source: sbatch(1), ``--dependency``; recorded: a job id that was never seen counts as met, and
`afterok` on a job that failed leaves the job waiting with DependencyNeverSatisfied.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

import msgspec

from stoker.core.enums import Hold, JobState, Reason
from stoker.core.models import NO_TASK, Job
from stoker.core.units import Condition, Dependency, TaskSet


class Verdict(Enum):
    """What is to be said of a dependency, or of one of its conditions."""

    MET = "met"
    WAITING = "waiting"
    NEVER = "never"


Lookup = Callable[[Condition], Sequence[Job]]
"""Returns every record of the job, array or task that a condition names; empty if never seen."""


def judge(dependency: Dependency, lookup: Lookup, now: float) -> tuple[Verdict, Dependency | None]:
    """Return the verdict on a dependency, and what of it is still open (None if nothing is)."""
    verdicts = []
    for condition in dependency.conditions:
        records = lookup(condition)
        verdict = judge_condition(condition, records, now)
        verdicts.append((_recognised(condition, records), verdict))
    open_ones = tuple(each for each, verdict in verdicts if verdict is not Verdict.MET)
    found = {verdict for _, verdict in verdicts}
    order = (Verdict.MET, Verdict.WAITING, Verdict.NEVER)
    ranked = order if dependency.any_of else reversed(order)
    overall = next((each for each in ranked if each in found), Verdict.MET)
    if overall is Verdict.MET:
        return overall, None
    return overall, Dependency(any_of=dependency.any_of, conditions=open_ones)


def _recognised(condition: Condition, records: Sequence[Job]) -> Condition:
    """Return the condition, which says so if the job that it names is an array."""
    is_news = not condition.is_array and condition.task is None and condition.job_id
    if is_news and any(job.array_job_id == condition.job_id for job in records):
        return msgspec.structs.replace(condition, is_array=True)
    return condition


def judge_condition(condition: Condition, records: Sequence[Job], now: float) -> Verdict:
    """Return whether one condition is met by the jobs that it names."""
    if condition.kind == "singleton":
        return Verdict.WAITING if records else Verdict.MET
    if condition.kind == "after":
        return _judge_start(condition, records, now)
    if any(not job.state.has_ended for job in records):
        return Verdict.WAITING
    return _judge_end(condition.kind, records)


def _judge_start(condition: Condition, records: Sequence[Job], now: float) -> Verdict:
    """``after``: every task has started or was cancelled, and the delay has passed since."""
    delay_s = 60.0 * condition.delay_min
    for job in records:
        # Without a delay no clock is asked: it may have been set back since.
        wait_s = (job.start_at or job.end_at) + delay_s - now if delay_s else 0.0
        if job.state is JobState.PENDING or wait_s > 0:
            return Verdict.WAITING
    return Verdict.MET


def _judge_end(kind: str, records: Sequence[Job]) -> Verdict:
    if kind in ("afterok", "aftercorr"):
        return _met_if(all(job.state is JobState.COMPLETED for job in records))
    if kind == "afternotok":
        return _met_if(any(job.state is not JobState.COMPLETED for job in records) or not records)
    return Verdict.MET


def _met_if(is_met: bool) -> Verdict:  # noqa: FBT001 - it is the whole message
    return Verdict.MET if is_met else Verdict.NEVER


def partners(job: Job, records: Sequence[Job]) -> Sequence[Job]:
    """Return, of another array's records, those that correspond to the job's own tasks.

    To what is no array, every task corresponds.
    """
    tasks = job.array if job.array is not None else TaskSet([job.array_task_id])
    return [
        each
        for each in records
        if not each.array_job_id
        or each.array_task_id in tasks
        or (each.array is not None and each.array.intersection(tasks))
    ]


def completed_tasks(records: Sequence[Job]) -> TaskSet:
    """Return the tasks of these records that have completed."""
    return TaskSet(
        each.array_task_id
        for each in records
        if each.array_task_id != NO_TASK and each.state is JobState.COMPLETED
    )


def obstacle(job: Job, now: float) -> Reason | None:
    """Return what keeps a waiting job from being considered, apart from its dependency."""
    if job.hold is Hold.ADMIN:
        return Reason.JOB_HELD_ADMIN
    if job.hold is Hold.SPECIAL:
        return Reason.REQUEUED_HELD
    if job.hold is Hold.USER:
        # Said when it was requeued, and until it is released.
        is_requeued = job.reason == Reason.REQUEUED_HELD
        return Reason.REQUEUED_HELD if is_requeued else Reason.JOB_HELD_USER
    if job.begin_at > now:
        return Reason.BEGIN_TIME
    return None
