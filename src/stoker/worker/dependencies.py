"""What becomes of dependencies: the records that a condition names, in memory and on record.

A condition on jobs of which one is still active is open whatever became of the others: only when
none is left are the ended ones read, so that the end of each task of a large array costs those who
wait for all of it next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import msgspec

from stoker.core.models import Job
from stoker.core.units import Condition, Dependency, TaskSet
from stoker.worker import eligibility
from stoker.worker.eligibility import Verdict
from stoker.worker.queue import JobQueue, Turn
from stoker.worker.times import is_waiting


class Dependencies:
    """Judges the dependencies of waiting jobs; all of it needs an open turn."""

    def __init__(self, queue: JobQueue) -> None:
        """Look at the jobs of *queue*, and at what is on record."""
        self._queue = queue
        self._table = queue.table

    def judge(self, turn: Turn, job: Job) -> Verdict:
        """Return the verdict on a job's dependency; what of it is met is taken out."""
        if job.dependency is None:
            return Verdict.MET
        verdict, job.dependency = eligibility.judge(
            job.dependency, lambda each: self._named(turn, job, each), turn.now
        )
        if verdict is Verdict.WAITING:
            self._wake_for_delay(turn, job)
        return verdict

    def completed_partners(self, turn: Turn, rest: Job, news: Job | None = None) -> TaskSet | None:
        """Return the waiting tasks of an array whose partners by ``aftercorr`` have completed.

        Args:
            turn: The open turn.
            rest: The array's waiting tasks.
            news: The only job of which the caller does not know yet; None: look at all.

        Returns:
            None if there is no such condition.
        """
        assert rest.array is not None
        assert rest.dependency is not None
        awaited = [each for each in rest.dependency.conditions if each.kind == "aftercorr"]
        if not awaited:
            return None
        if news is not None and [each.job_id for each in awaited] == [news.array_job_id]:
            return eligibility.completed_tasks([news]).intersection(rest.array)
        completed = [eligibility.completed_tasks(self._all_named(turn, each)) for each in awaited]
        if rest.dependency.any_of:
            return TaskSet(chain.from_iterable(completed)).intersection(rest.array)
        ready = rest.array
        for tasks in completed:
            ready = ready.intersection(tasks)
        return ready

    def unpartnered(self, turn: Turn, rest: Job) -> TaskSet:
        """Return the waiting tasks of an array to which nothing corresponds by ``aftercorr``."""
        assert rest.array is not None
        assert rest.dependency is not None
        found = rest.array
        for condition in rest.dependency.conditions:
            if condition.kind == "aftercorr":
                partners = _partners(self._all_named(turn, condition))
                if partners is None or partners == found:
                    return TaskSet()
                found = found.difference(partners)
        return found

    def is_on_itself(self, job: Job, tasks: TaskSet | None, dependency: Dependency) -> bool:
        """Whether a job, or these *tasks* of it, would wait for themselves without a detour."""
        return any(
            each is job and _is_meant(condition, tasks)
            for condition in dependency.conditions
            for each in self._active(condition)
        )

    def is_circular(self, job: Job, tasks: TaskSet | None, dependency: Dependency) -> bool:
        """Whether a job that had this dependency would, maybe through others, wait for itself.

        Args:
            job: It waits.
            tasks: Only these of its tasks are meant.
            dependency: What is not its own yet.
        """
        seen: set[int] = set()
        left = list(dependency.conditions)
        while left:
            condition = left.pop()
            for each in self._active(condition):
                if each is job and _is_meant(condition, tasks):
                    return True
                if each is not job and each.job_id not in seen and each.dependency is not None:
                    seen.add(each.job_id)
                    left += each.dependency.conditions
        return False

    def _wake_for_delay(self, turn: Turn, job: Job) -> None:
        assert job.dependency is not None
        delays = [each.delay_min for each in job.dependency.conditions if each.delay_min]
        if delays:
            self._table.wake_at(turn.now + 60.0 * min(delays), job)

    def _named(self, turn: Turn, job: Job, condition: Condition) -> Sequence[Job]:
        """Return the records that decide a condition; empty if the job was never seen."""
        if condition.kind == "singleton":
            return [each for each in self._table.namesakes(job) if _comes_before(each, job)]
        active = _relevant(job, condition, self._active(condition))
        if active and not condition.delay_min:
            return active
        return _relevant(job, condition, self._all_named(turn, condition))

    def _active(self, condition: Condition) -> list[Job]:
        job = self._table.get(condition.job_id)
        if job is not None and not job.array_job_id:
            return [job] if _is_named(job, condition) else []
        found = self._table.array(condition.job_id) or ([job] if job is not None else [])
        return [each for each in found if _is_named(each, condition)]

    def _all_named(self, turn: Turn, condition: Condition) -> list[Job]:
        """Return every record that a condition names, ended ones too, as this turn sees them."""
        found = {job.job_id: job for job in self._queue.repository.family(condition.job_id)}
        for job in turn.jobs.values():
            if condition.job_id in (job.array_job_id, job.job_id):
                found[job.job_id] = job
        found |= {job.job_id: job for job in self._active(condition)}
        return [job for job in found.values() if _is_named(job, condition)]


def _partners(records: Sequence[Job]) -> TaskSet | None:
    """Return the tasks for which these records stand; None if one is no array's: it is anyone's."""
    if any(not job.array_job_id for job in records):
        return None
    if len(records) == 1 and records[0].array is not None:
        return records[0].array
    parts = [job.array if job.array is not None else (job.array_task_id,) for job in records]
    return TaskSet(chain.from_iterable(parts))


def without_partners(dependency: Dependency | None) -> Dependency | None:
    """Return what is still open of the dependency of a task whose partners have completed."""
    if dependency is None or dependency.any_of:
        return None
    left = tuple(each for each in dependency.conditions if each.kind != "aftercorr")
    return msgspec.structs.replace(dependency, conditions=left) if left else None


def _relevant(job: Job, condition: Condition, records: Sequence[Job]) -> Sequence[Job]:
    return eligibility.partners(job, records) if condition.kind == "aftercorr" else records


def _is_named(job: Job, condition: Condition) -> bool:
    if condition.task is None:
        return condition.job_id in (job.array_job_id, job.job_id)
    if job.array_job_id != condition.job_id:
        return False
    if job.array is not None:
        return condition.task in job.array
    return job.array_task_id == condition.task


def _comes_before(other: Job, job: Job) -> bool:
    """Whether a singleton *job* has to wait for *other*: an earlier one, or one that runs."""
    if other.job_id == job.job_id:
        return False
    return not is_waiting(other) or other.job_id < job.job_id


def _is_meant(condition: Condition, tasks: TaskSet | None) -> bool:
    """Whether a condition on an array is one on these of its tasks; None: on any."""
    return tasks is None or condition.task is None or condition.task in tasks
