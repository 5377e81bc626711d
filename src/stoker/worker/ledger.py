"""What happens to a job, done once for everybody: submitted, reserved, started, ended, requeued.

Commands, the engine's events, the scheduler and recovery all change jobs through these functions,
inside a turn, so that record, indexes and resources cannot drift apart. The life cycle's table has
the last word on states.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from stoker.core.enums import ONGOING, REQUEUES, AllocationState, Hold, JobState, Reason
from stoker.core.lifecycle import END_EVENTS, Event, next_state
from stoker.core.models import FOREVER, NO_TASK, NOBODY, Allocation, CronEntry, Job, NodeShare
from stoker.core.units import TaskSet
from stoker.worker import eligibility
from stoker.worker.admission import Admission
from stoker.worker.arrays import ArrayRecords
from stoker.worker.attempts import attempt_of, count_pause, new_tokens, shift_times
from stoker.worker.crontimes import due_next
from stoker.worker.dependencies import Dependencies, without_partners
from stoker.worker.eligibility import Verdict
from stoker.worker.lanes import Lanes
from stoker.worker.outcomes import Outcome, hopeless, lost, missed, on_request
from stoker.worker.queue import JobQueue, Turn
from stoker.worker.resources import ResourceTracker
from stoker.worker.statistics import Statistics
from stoker.worker.times import due_at, first_look_at, is_waiting, latest_start_at
from stoker.worker.witness import Witness


class Ledger:
    """The changes that a job can undergo; all of them need an open turn."""

    def __init__(self, queue: JobQueue, tracker: ResourceTracker, admission: Admission) -> None:
        """Change the jobs of *queue*; *tracker* keeps their resources, *admission* the rules."""
        self.queue = queue
        self.table = queue.table
        self.tracker = tracker
        self.admission = admission
        self.lanes = Lanes()
        self.arrays = ArrayRecords(queue, self.watch)
        self.dependencies = Dependencies(queue)
        self.witnesses: list[Witness] = []
        """Who hears, in the same turn, of what happens to jobs."""
        self.statistics = Statistics()
        self._tokens = new_tokens()

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
                        self.tracker.adopt(job.job_id, job.allocation.shares)
        judged: dict[Hashable, Reason | None] = {}
        for job in self.table:
            self.watch(job)
            if is_waiting(job):
                before = job.reason, job.eligible_at, job.dependency
                self._find_place(self.queue.current, job, judged)
                if before != (job.reason, job.eligible_at, job.dependency):
                    self.queue.current.touch(job)

    # Waiting.

    def enter(self, turn: Turn, job: Job) -> None:
        """Take a new job into the queue."""
        self.statistics.submitted += len(job.array) if job.array is not None else 1
        self.table.add(job)
        self.watch(job)
        self.refresh(turn, job)

    def watch(self, job: Job) -> None:
        """Ask for a look at the job when its deadline, or a limit of its own, comes."""
        at = due_at(job)
        if job.state in ONGOING:
            for witness in self.witnesses:
                at = min(at, witness.next_at(job))
        if at < FOREVER:
            self.table.wake_at(at, job)

    def look_at(self, turn: Turn, job: Job) -> None:
        """Look at a job whose time has come: to begin, or for a witness to see."""
        self.refresh(turn, job)
        for witness in self.witnesses:
            witness.looks(turn, job)
        self.watch(job)

    def refresh(self, turn: Turn, job: Job, news: Job | None = None) -> None:
        """Decide anew whether a waiting job may be considered, and note why not; it may end.

        Args:
            turn: The open turn.
            job: Any job; one that does not wait is only recorded.
            news: The only job of which this one has not heard; None: everything may have changed.
        """
        turn.touch(job)
        if not is_waiting(job):
            self.table.displace(job)
            return
        if turn.now >= latest_start_at(job):
            self.end(turn, job, missed(turn.now))
            return
        if job.is_array_rest and job.dependency is not None:
            self._let_go_corresponding(turn, job, news)
        self._find_place(turn, job)
        if job.reason == Reason.DEPENDENCY_NEVER_SATISFIED:
            for witness in self.witnesses:
                witness.is_stuck(turn, job)
            if self._is_to_die(job):
                self.end(turn, job, hopeless(turn.now))

    def replace(self, turn: Turn, job: Job) -> None:
        """Let a job whose order or shape changed wait at its new place."""
        self.table.displace(job)
        self.refresh(turn, job)

    def _find_place(
        self, turn: Turn, job: Job, judged: dict[Hashable, Reason | None] | None = None
    ) -> None:
        """Let a waiting job stand in its queue, or note what keeps it out.

        *judged* is what has been found of jobs that asked for the same, where many are looked at.
        """
        reason = self._obstacle(turn, job, judged)
        job.reason = reason or Reason.NONE
        if reason is None:
            job.eligible_at = job.eligible_at or turn.now
        look_at = first_look_at(job, self.admission.settings.batch_sched_delay_s)
        if reason is None and turn.now >= look_at:
            self.table.place(job)
            return
        self.table.displace(job)
        if reason is None:
            self.table.wake_at(look_at, job)
        elif reason is Reason.BEGIN_TIME:
            self.table.wake_at(job.begin_at, job)

    def _obstacle(
        self, turn: Turn, job: Job, judged: dict[Hashable, Reason | None] | None
    ) -> Reason | None:
        if (held := eligibility.obstacle(job, turn.now)) is not None:
            return held
        match self.dependencies.judge(turn, job):
            case Verdict.NEVER:
                return Reason.DEPENDENCY_NEVER_SATISFIED
            case Verdict.WAITING:
                return Reason.DEPENDENCY
        self.admission.choose_partition(job)
        if judged is None:
            return self.admission.obstacle(job)
        like = job.spec_digest, job.partition, job.time_limit_s, job.owner
        if like not in judged:
            judged[like] = self.admission.obstacle(job)
        return judged[like]

    def _let_go_corresponding(self, turn: Turn, rest: Job, news: Job | None) -> None:
        """Give the tasks whose partners by ``aftercorr`` have completed records of their own.

        Those that have no partner get one in common: nothing keeps them, and nobody's failure.
        """
        assert rest.array is not None
        if news is None:
            lonely = self.dependencies.unpartnered(turn, rest)
            if 0 < len(lonely) < len(rest.array):
                self.refresh(turn, self.arrays.part(turn, rest, lonely))
        for task in self.dependencies.completed_partners(turn, rest, news) or ():
            job = self.arrays.split(turn, rest, task)
            job.dependency = without_partners(job.dependency)
            if job is not rest:
                self.refresh(turn, job)

    def _is_to_die(self, job: Job) -> bool:
        """Whether the job is cancelled if its dependency can never be met."""
        wanted = job.spec.kill_on_invalid_dependency
        return self.admission.settings.kill_invalid_depend if wanted is None else wanted

    # Starting.

    def reserve(
        self, turn: Turn, job: Job, shares: Sequence[NodeShare], lane: int | None = 0
    ) -> Job:
        """Record that *job*, or the next task of the array, will run on *shares*; return which.

        *lane* says behind whom it runs; 0: the shares are free and taken now; None: likewise, and
        the job opens a lane, unless others still stand in the one that it opened before.
        """
        assert job.state is JobState.PENDING, f"job {job.job_id} is {job.state}"
        if job.array is not None:
            job = self.arrays.take_first(turn, job)
        self.table.displace(job)
        self.table.count_task(job, +1)
        if not lane:
            self.tracker.allocate(job.job_id, shares)
        if lane is None:
            lane = 0 if self.lanes.is_open(job.job_id) else job.job_id
        job.allocation = Allocation(
            job_id=job.job_id,
            attempt=job.restarts,
            shares=tuple(shares),
            token=next(self._tokens),
            reserved_at=turn.now,
            lane=lane,
        )
        if lane:
            self.lanes.join(lane, job.job_id)
        # The job's own record says nothing of a reservation: it need not be written again.
        turn.touch_allocation(job.allocation)
        return job

    def start(self, turn: Turn, job: Job, process: tuple[int, int, str], at: float) -> None:
        """Note that the job's process (pid, start time, boot id) is known: it runs."""
        self.begin(turn, job, process, at)
        turn.touch(job)
        turn.touch_allocation(attempt_of(job))
        self.watch(job)

    def begin(self, turn: Turn, job: Job, process: tuple[int, int, str], at: float) -> None:
        """Note the same of a job whose end is known as well, and noted next."""
        allocation = attempt_of(job)
        allocation.state = AllocationState.ALLOCATED
        allocation.allocated_at = at
        allocation.pid, allocation.start_ticks, allocation.boot_id = process
        job.state = next_state(job.state, Event.STARTED)
        job.reason = Reason.NONE
        job.start_at = at
        self.statistics.started += 1
        if job.ending is not None:
            job.state = next_state(job.state, Event.ENDING)
        else:
            # Why it did not start before is of no interest any more.
            job.message = ""
        turn.tell(job.job_id)
        for witness in self.witnesses:
            witness.started(turn, job)
        self._tell_dependents(turn, job)

    def shift(self, turn: Turn, by_s: float) -> None:
        """Let all that holds resources have come so much later, since the clock was set.

        For how long it has run, and when its time is up, does not change by that.
        """
        for job in self.table:
            if job.allocation is None:
                continue
            shift_times(job, job.allocation, by_s)
            turn.touch(job)
            turn.touch_allocation(job.allocation)
            self.watch(job)

    def unreserve(self, turn: Turn, job: Job) -> None:
        """Take back a reservation whose process never started: the job waits again.

        A task of an array goes back to those that wait, where it came from: its number, which
        nobody was told, is not given again.
        """
        self._release(turn, job, JobState.PENDING, turn.now)
        if job.array_task_id == NO_TASK or job.restarts:
            self.refresh(turn, job)
        else:
            self.replace(turn, self.arrays.join(turn, job))

    # Ending.

    def finish(self, turn: Turn, job: Job, outcome: Outcome) -> None:
        """End the job, for good unless somebody asked for a requeue."""
        count_pause(job, outcome.at)
        if job.allocation is not None:
            if outcome.state is JobState.FAILED:
                # What could not be launched has been where it was to run, as Slurm tells it.
                job.start_at = job.start_at or job.allocation.reserved_at
            job.allocation.exit_code = outcome.raw_code
            job.allocation.exit_signal = outcome.raw_signal
            job.allocation.usage = outcome.usage
            self._release(turn, job, outcome.state, outcome.at)
        if job.ending in REQUEUES:
            self.requeue(turn, job)
        elif job.spec.cron is not None and outcome.state is not JobState.CANCELLED:
            self._wait_for_next_time(turn, job, job.spec.cron, outcome)
        else:
            self.end(turn, job, outcome)

    def _wait_for_next_time(self, turn: Turn, job: Job, entry: CronEntry, outcome: Outcome) -> None:
        """Let a job of a crontab, one run of which has ended, wait until it is due again."""
        job.exit_code, job.exit_signal = outcome.code, outcome.signal
        job.end_at = max(outcome.at, job.start_at)
        for witness in self.witnesses:
            witness.ended(turn, job, outcome.state)
        self._wait_again(turn, job, due_next(entry, turn.now))

    def lose(self, turn: Turn, job: Job) -> None:
        """End an attempt of which nobody knows the end, as after a node failure.

        It waits again, as a new attempt, if the job may be requeued; else it failed.
        """
        outcome = lost(turn.now)
        # What a crontab runs comes back by itself, however often it has.
        may_requeue = job.requeue and not job.spec.interactive and job.spec.cron is None
        if job.ending is None and may_requeue:
            is_hopeless = job.restarts >= self.admission.settings.requeue_max
            job.ending = JobState.REQUEUE_HOLD if is_hopeless else JobState.REQUEUED
            outcome = Outcome(state=JobState.NODE_FAIL, at=turn.now, raw_code=outcome.code)
        elif job.ending is not None:
            outcome = on_request(job, turn.now)
        self.finish(turn, job, outcome)

    def end(self, turn: Turn, job: Job, outcome: Outcome) -> None:
        """Record the end of a job that holds nothing (any more)."""
        job.state = next_state(job.state, END_EVENTS[outcome.state])
        self.statistics.note_end(job.state)
        job.exit_code, job.exit_signal = outcome.code, outcome.signal
        job.reason, job.message = outcome.reason, outcome.message or job.message
        job.end_at = max(outcome.at, job.start_at)
        if outcome.ended_by != NOBODY:
            job.ended_by = outcome.ended_by
        job.ending = None
        turn.touch(job)
        turn.tell(job.job_id)
        self.table.remove(job)
        if job.array_job_id and not self.table.is_active(job.array_job_id):
            # Nobody hears of an array task by task: a thousand looks would find it unfinished.
            turn.tell(job.array_job_id)
        for witness in self.witnesses:
            witness.ended(turn, job, job.state)
        self._tell_dependents(turn, job)

    def requeue(self, turn: Turn, job: Job) -> None:
        """Let the job wait again, as its next attempt; it keeps its id."""
        for witness in self.witnesses:
            witness.requeued(turn, job)
        # One that has ended and is to run again need not wait, as in Slurm.
        delay_s = 0.0 if job.state.has_ended else self.admission.settings.requeue_delay_s
        self._wait_again(turn, job, turn.now + delay_s if delay_s else job.begin_at)

    def _wait_again(self, turn: Turn, job: Job, begin_at: float) -> None:
        job.state = next_state(job.state, Event.REQUEUED)
        job.restarts += 1
        if job.ending in (JobState.REQUEUE_HOLD, JobState.SPECIAL_EXIT):
            is_special = job.ending is JobState.SPECIAL_EXIT
            job.hold = Hold.SPECIAL if is_special else Hold.USER
            job.reason = Reason.REQUEUED_HELD
        job.ending, job.ended_by, job.message = None, NOBODY, ""
        job.start_at = job.end_at = job.eligible_at = 0.0
        job.begin_at = begin_at
        job.suspended_at = job.suspended_s = 0.0
        job.exit_code = job.exit_signal = job.derived_code = job.derived_signal = 0
        if self.table.get(job.job_id) is None:
            self.table.add(job)
        self.watch(job)
        self.refresh(turn, job)
        self._tell_dependents(turn, job)

    def cancel_waiting(self, turn: Turn, job: Job, by: int, tasks: TaskSet | None = None) -> None:
        """Cancel a job that holds nothing; of an array, all tasks that have not started.

        Args:
            turn: The open turn.
            job: It waits, and is not reserved.
            by: The id of the user who asked for it.
            tasks: Only these of an array's waiting tasks; they end as one record.
        """
        if tasks is not None:
            job = self.arrays.part(turn, job, tasks)
        job.ended_by = by
        outcome = Outcome(state=JobState.CANCELLED, at=turn.now, reason=job.reason)
        self.end(turn, job, outcome)

    def _release(self, turn: Turn, job: Job, state: JobState, at: float) -> None:
        """Give back what the job holds, or was about to hold."""
        allocation = attempt_of(job)
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
        """Let those look again who wait for the job: it has started, ended or waits again."""
        if not self.table.has_dependents:
            return
        waiting = self.table.dependents(job)
        if job.state.has_ended or is_waiting(job):
            waiting += self.table.singletons(job)
        for each in waiting:
            # What one of them does of its news may have ended another.
            if self.table.get(each.job_id) is each:
                self.refresh(turn, each, news=job)
