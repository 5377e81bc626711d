"""What happens to a job, done once for everybody: submitted, reserved, started, ended, requeued.

Commands, the engine's events, the scheduler and recovery all change jobs through these functions,
inside a turn, so that record, indexes and resources cannot drift apart. The life cycle's table has
the last word on states.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Sequence

from stoker.core.enums import AllocationState, Hold, JobState, Reason
from stoker.core.lifecycle import END_EVENTS, Event, next_state
from stoker.core.models import Allocation, Job, NodeShare
from stoker.core.units import Condition
from stoker.worker import eligibility
from stoker.worker.admission import Admission
from stoker.worker.eligibility import Verdict
from stoker.worker.lanes import Lanes
from stoker.worker.outcomes import Outcome, lost
from stoker.worker.queue import JobQueue, Turn
from stoker.worker.resources import ResourceTracker


class Ledger:
    """The changes that a job can undergo; all of them need an open turn."""

    def __init__(self, queue: JobQueue, tracker: ResourceTracker, admission: Admission) -> None:
        """Change the jobs of *queue*; *tracker* keeps their resources, *admission* the rules."""
        self.queue = queue
        self.table = queue.table
        self.tracker = tracker
        self.admission = admission
        self.lanes = Lanes()
        self._requeue_max = admission.settings.requeue_max

    def rebuild(self) -> None:
        """Fill memory, books and lanes from the record, and let waiting jobs find their places."""
        self.queue.load()
        self.lanes.clear()
        self.lanes.load(self.table)
        with self.tracker.changing():
            self.tracker.clear()
            for job in self.table:
                if job.allocation is not None:
                    self.table.count_task(job, +1)
                    if not self.lanes.is_behind(job.job_id):
                        self.tracker.allocate(job.job_id, job.allocation.shares)
        turn = Turn(self.queue.now())
        for job in list(self.table):
            self.refresh(turn, job)

    # Waiting.

    def enter(self, turn: Turn, job: Job) -> None:
        """Take a new job into the queue."""
        self.table.add(job)
        if job.spec.deadline_at:
            self.table.wake_at(job.spec.deadline_at, job)
        self.refresh(turn, job)

    def refresh(self, turn: Turn, job: Job) -> None:
        """Decide anew whether a waiting job may be considered, and note why not."""
        turn.touch(job)
        if job.state is not JobState.PENDING or job.allocation is not None:
            self.table.displace(job)
            return
        if job.is_array_rest and job.dependency is not None:
            self._let_go_corresponding(turn, job)
        if job.spec.deadline_at and turn.now >= job.spec.deadline_at:
            self.end(turn, job, Outcome(state=JobState.DEADLINE, at=turn.now))
            return
        reason = self._obstacle(turn, job)
        if reason is None:
            job.eligible_at = job.eligible_at or turn.now
            job.reason = Reason.NONE
            self.table.place(job)
        else:
            job.reason = reason
            self.table.displace(job)
            if reason is Reason.BEGIN_TIME:
                self.table.wake_at(job.begin_at, job)

    def replace(self, turn: Turn, job: Job) -> None:
        """Let a job whose order or shape changed wait at its new place."""
        self.table.displace(job)
        self.refresh(turn, job)

    def _obstacle(self, turn: Turn, job: Job) -> Reason | None:
        if (held := eligibility.obstacle(job, turn.now)) is not None:
            return held
        if job.dependency is not None:
            verdict, job.dependency = eligibility.judge(
                job.dependency, lambda each: self._records(turn, job, each), turn.now
            )
            if verdict is Verdict.NEVER:
                return Reason.DEPENDENCY_NEVER_SATISFIED
            if verdict is Verdict.WAITING:
                self._wake_for_delay(turn, job)
                return Reason.DEPENDENCY
        return self.admission.obstacle(job)

    def _let_go_corresponding(self, turn: Turn, rest: Job) -> None:
        """Give the tasks whose partners by ``aftercorr`` have completed records of their own."""
        assert rest.dependency is not None
        conditions = [each for each in rest.dependency.conditions if each.kind == "aftercorr"]
        if not conditions:
            return
        ready = copy.copy(rest.array)
        for condition in conditions:
            assert ready is not None
            ready = ready.intersection(
                eligibility.completed_tasks(self._records(turn, rest, condition))
            )
        for task in ready or ():
            job = self.split(turn, rest, task)
            if job is not rest:
                self.refresh(turn, job)

    def _wake_for_delay(self, turn: Turn, job: Job) -> None:
        assert job.dependency is not None
        delays = [each.delay_min for each in job.dependency.conditions if each.delay_min]
        if delays:
            self.table.wake_at(turn.now + 60.0 * min(delays), job)

    def _records(self, turn: Turn, job: Job, condition: Condition) -> Sequence[Job]:
        """Return every record that a condition names, as this turn sees them."""
        if condition.kind == "singleton":
            return [each for each in self.table.namesakes(job) if _comes_before(each, job)]
        repository = self.queue.repository
        found = {each.job_id: each for each in repository.jobs([condition.job_id])}
        found |= {each.job_id: each for each in repository.array(condition.job_id)}
        for each in (*self.table.array(condition.job_id), *turn.jobs.values()):
            if condition.job_id in (each.array_job_id, each.job_id):
                found[each.job_id] = each
        if active := self.table.get(condition.job_id):
            found[active.job_id] = active
        named = [each for each in found.values() if _is_named(each, condition)]
        return eligibility.partners(job, named) if condition.kind == "aftercorr" else named

    # Starting.

    def reserve(
        self, turn: Turn, job: Job, shares: Sequence[NodeShare], lane: int | None = 0
    ) -> Job:
        """Record that *job*, or the next task of the array, will run on *shares*; return which.

        *lane* says behind whom it runs; 0: the shares are free and taken now; None: likewise, and
        the job opens a lane.
        """
        assert job.state is JobState.PENDING, f"job {job.job_id} is {job.state}"
        if job.is_array_rest:
            job = self.split(turn, job, job.array.first)  # type: ignore[union-attr]
        self.table.displace(job)
        self.table.count_task(job, +1)
        job.allocation = Allocation(
            job_id=job.job_id,
            attempt=job.restarts,
            shares=tuple(shares),
            token=secrets.token_hex(8),
            reserved_at=turn.now,
            lane=job.job_id if lane is None else lane,
        )
        if not lane:
            self.tracker.allocate(job.job_id, shares)
        if job.allocation.lane:
            self.lanes.join(job.allocation.lane, job.job_id)
        turn.touch(job)
        turn.touch_allocation(job.allocation)
        return job

    def split(self, turn: Turn, rest: Job, task: int) -> Job:
        """Give a waiting task of an array a record of its own; the last one keeps the array's."""
        assert rest.array is not None
        rest.array.remove(task)
        turn.touch(rest)
        if not rest.array:
            rest.array, rest.array_task_id = None, task
            return rest
        job = copy.copy(rest)
        job.job_id = self.queue.give_id(turn)
        job.array, job.array_task_id = None, task
        self.table.add(job)
        turn.touch(job)
        return job

    def start(
        self, turn: Turn, job: Job, pid: int, start_ticks: int, boot_id: str, at: float
    ) -> None:
        """Note that the job's process is known: it runs."""
        allocation = _allocation(job)
        allocation.state = AllocationState.ALLOCATED
        allocation.allocated_at = at
        allocation.pid, allocation.start_ticks, allocation.boot_id = pid, start_ticks, boot_id
        job.state = next_state(job.state, Event.STARTED)
        job.reason = Reason.NONE
        job.start_at = at
        if job.ending is not None:
            job.state = next_state(job.state, Event.ENDING)
        turn.touch(job)
        turn.touch_allocation(allocation)
        turn.tell(job)
        self._tell_dependents(turn, job)

    def unreserve(self, turn: Turn, job: Job) -> None:
        """Take back a reservation whose process never started: the job waits again."""
        self._release(turn, job, JobState.PENDING, turn.now)
        self.refresh(turn, job)

    # Ending.

    def finish(self, turn: Turn, job: Job, outcome: Outcome) -> None:
        """End the job, for good unless somebody asked for a requeue."""
        if job.allocation is not None:
            job.allocation.exit_code = outcome.raw_code
            job.allocation.exit_signal = outcome.raw_signal
            job.allocation.usage = outcome.usage
            self._release(turn, job, outcome.state, outcome.at)
        if job.ending in (JobState.REQUEUED, JobState.REQUEUE_HOLD):
            self.requeue(turn, job)
            return
        self.end(turn, job, outcome)

    def lose(self, turn: Turn, job: Job) -> None:
        """End an attempt of which nobody knows the end, as after a node failure.

        It waits again, as a new attempt, if the job may be requeued; else it failed.
        """
        outcome = lost(turn.now)
        may_requeue = job.requeue and not job.spec.interactive
        if job.ending is None and may_requeue:
            is_hopeless = job.restarts >= self._requeue_max
            job.ending = JobState.REQUEUE_HOLD if is_hopeless else JobState.REQUEUED
            outcome = Outcome(state=JobState.NODE_FAIL, at=turn.now, raw_code=outcome.code)
        elif job.ending is JobState.CANCELLED:
            outcome = Outcome(state=JobState.CANCELLED, at=turn.now)
        self.finish(turn, job, outcome)

    def end(self, turn: Turn, job: Job, outcome: Outcome) -> None:
        """Record the end of a job that holds nothing (any more)."""
        job.state = next_state(job.state, END_EVENTS[outcome.state])
        job.exit_code, job.exit_signal = outcome.code, outcome.signal
        job.reason, job.message = outcome.reason, outcome.message or job.message
        job.end_at = max(outcome.at, job.start_at)
        job.ending = None
        turn.touch(job)
        turn.tell(job)
        self.table.remove(job)
        self._tell_dependents(turn, job)

    def requeue(self, turn: Turn, job: Job) -> None:
        """Let the job wait again, as its next attempt; it keeps its id."""
        job.state = next_state(job.state, Event.REQUEUED)
        job.restarts += 1
        if job.ending is JobState.REQUEUE_HOLD:
            job.hold = Hold.USER
        job.ending = None
        job.start_at = job.end_at = job.eligible_at = 0.0
        job.suspended_at = job.suspended_s = 0.0
        job.exit_code = job.exit_signal = job.derived_code = job.derived_signal = 0
        if self.table.get(job.job_id) is None:
            self.table.add(job)
        self.refresh(turn, job)

    def cancel_waiting(self, turn: Turn, job: Job, by: int) -> None:
        """Cancel a job that holds nothing; of an array, all tasks that have not started."""
        job.ended_by = by
        self.end(turn, job, Outcome(state=JobState.CANCELLED, at=turn.now))

    def cancel_task(self, turn: Turn, rest: Job, task: int, by: int) -> None:
        """Cancel one task of an array that has not started."""
        self.cancel_waiting(turn, self.split(turn, rest, task), by)

    def _release(self, turn: Turn, job: Job, state: JobState, at: float) -> None:
        """Give back what the job holds, or was about to hold."""
        allocation = _allocation(job)
        allocation.state = AllocationState.RELEASED
        allocation.released_at = at
        allocation.end_state = state
        turn.touch_allocation(allocation)
        job.allocation = None
        self.table.count_task(job, -1)
        successor = self.lanes.leave(job.job_id)
        if successor is not None:
            self.tracker.hand_over(job.job_id, successor)
        elif self.tracker.held(job.job_id) is not None:
            self.tracker.release(job.job_id)

    def _tell_dependents(self, turn: Turn, job: Job) -> None:
        waiting = self.table.dependents(job)
        if job.state.has_ended:
            waiting += self.table.singletons(job)
        for each in waiting:
            self.refresh(turn, each)
            self._end_if_invalid(turn, each)

    def _end_if_invalid(self, turn: Turn, job: Job) -> None:
        wanted = job.spec.kill_on_invalid_dependency
        if wanted is None:
            wanted = self.admission.settings.kill_invalid_depend
        if wanted and job.reason == Reason.DEPENDENCY_NEVER_SATISFIED:
            self.cancel_waiting(turn, job, by=0)


def _allocation(job: Job) -> Allocation:
    assert job.allocation is not None, f"job {job.job_id} has no allocation"
    return job.allocation


def _is_named(job: Job, condition: Condition) -> bool:
    if condition.task is not None:
        return job.array_job_id == condition.job_id and job.array_task_id == condition.task
    return condition.job_id in (job.array_job_id, job.job_id)


def _comes_before(other: Job, job: Job) -> bool:
    """Whether a singleton *job* has to wait for *other*: an earlier one, or one that runs."""
    if other.job_id == job.job_id:
        return False
    if other.state is not JobState.PENDING or other.allocation is not None:
        return True
    return other.job_id < job.job_id
