"""Takes a snapshot, asks `scheduling`, records, acts: one turn of the scheduler.

Short jobs are also handed over in advance: behind a running job of the same shape stand the next
ones in order, in its lane (`worker.lanes`), so that the shepherd starts them the moment the one
before has ended. Only who would be next anyway is taken, only as many as a tenth of a
second will need, and who then waits for longer is taken back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, Final, NamedTuple

from stoker.core.enums import JobState, Reason
from stoker.core.models import FOREVER, Job, NodeShare
from stoker.engines.base import Engine
from stoker.scheduling.forecast import forecast, foresee
from stoker.scheduling.licenses import Licenses
from stoker.scheduling.placement import place
from stoker.scheduling.plan import Plan, plan
from stoker.scheduling.policy import Order
from stoker.scheduling.quotas import Quotas
from stoker.scheduling.reservations import Fences
from stoker.scheduling.snapshot import Allowance, Queue, Running, Shape, Snapshot, Waiting
from stoker.worker.attempts import attempt_of, batch_key
from stoker.worker.clockset import ClockWatch
from stoker.worker.launching import Launcher
from stoker.worker.ledger import Ledger
from stoker.worker.queue import JobQueue, Turn
from stoker.worker.statistics import Statistics
from stoker.worker.times import ends_at, overdue

log = logging.getLogger(__name__)

_AHEAD_S: Final = 0.1
"""How much work a lane gets in advance."""
_OVERDUE_S: Final = 0.5
"""How long a job may stand behind another one before it is taken back."""
_BACK_OFF_S: Final = 2.0
"""How long nothing is started after the engine could not start a job for lack of resources."""
_USER_BACK_OFF_S: Final = 10.0
"""How long none of a user's jobs is started, where many are served: they may never be able to."""
_SHAPES_MAX: Final = 16
"""With more kinds of jobs waiting, nobody is handed over in advance."""
_SHAPES_KEPT_MAX: Final = 4096
"""Of how many kinds of jobs the run times are remembered."""
_RUNS_MIN: Final = 2
"""How many jobs of a shape must have been short before the next is believed to be."""
_WEIGHT: Final = 0.2
"""Weight of the newest run time in the moving average of its shape."""


class RunTimes:
    """How long jobs of a shape have run of late: a moving average, in seconds."""

    def __init__(self) -> None:
        self._average: dict[Shape, float] = {}
        self._count: dict[Shape, int] = {}

    def note(self, shape: Shape, run_s: float) -> None:
        """Take in one run."""
        if len(self._average) >= _SHAPES_KEPT_MAX:
            self._average.clear()
            self._count.clear()
        before = self._average.get(shape, run_s)
        self._average[shape] = before + _WEIGHT * (run_s - before)
        self._count[shape] = self._count.get(shape, 0) + 1

    def distrust(self, shape: Shape) -> None:
        """Believe nothing of the shape until it has been short again for a while."""
        self._average.pop(shape, None)
        self._count.pop(shape, None)

    def depth(self, shape: Shape, depth_max: int) -> int:
        """Return how many jobs of the shape a lane should hold in advance."""
        average = self._average.get(shape, FOREVER)
        if average > _AHEAD_S or self._count[shape] < _RUNS_MIN:
            return 0
        return min(depth_max, int(_AHEAD_S / max(average, 1e-4)))


class Trial(NamedTuple):
    """When (epoch seconds) and where a job would start, and with how many CPUs."""

    at: float
    nodes: tuple[str, ...]
    cpus: int


class ResourceScheduler:
    """Starts what can start; says why the others wait."""

    def __init__(self, queue: JobQueue, ledger: Ledger, launcher: Launcher, engine: Engine) -> None:
        """Decide over the jobs of *queue*; launch with *launcher*."""
        self.last_plan: Plan | None = None
        self.on_wakeup: Callable[[], None] = lambda: None
        """Called when something is due sooner than `next_wakeup_s` said before."""
        self.on_overdue: Callable[[Turn, Job, JobState], None] = lambda *_: None
        """Called for a job whose time is up though no process of it can tell: TIMEOUT, DEADLINE."""
        self.on_schedule: Callable[[Turn], None] = lambda _: None
        """Called before anything is decided: what is over by then is ended."""
        self.other_wakeup_at: Callable[[float], float] = lambda _: FOREVER
        """Says when after that time something begins or ends that matters to decisions."""
        self._promised_at = FOREVER
        self.run_times = RunTimes()
        self._queue = queue
        self._ledger = ledger
        self._launcher = launcher
        self._engine = engine
        self._depth_max = ledger.admission.settings.follow_depth_max
        self._blocked_until = 0.0
        self._blocked_users: dict[int, float] = {}
        self._clock_watch = ClockWatch(queue.now, queue.monotonic)

    @property
    def statistics(self) -> Statistics:
        """Return what has been counted."""
        return self._ledger.statistics

    def schedule_pending_jobs(self) -> list[int]:
        """Start every waiting job that can; return their ids, in the order of their start."""
        with self._queue.turn() as turn:
            return self.schedule(turn)

    def schedule(self, turn: Turn) -> list[int]:
        """Do the same inside a turn that is open already."""
        if set_by_s := self._clock_watch.set_by_s():
            log.warning("the clock was set by %+.0f s; what runs has begun as long ago", set_by_s)
            self._ledger.shift(turn, set_by_s)
        self._look_at_due(turn)
        self.on_schedule(turn)
        if self._blocked_s > 0:
            return []
        begun = perf_counter()
        decided = self.last_plan = plan(self.snapshot(), turn.now)
        self._ledger.statistics.note_plan(decided, perf_counter() - begun, turn.now)
        started = []
        for start in decided.starts:
            job = self._ledger.table.jobs[start.job_id]
            # The plan looks at each record by itself, but those of an array share its limit.
            if self._ledger.table.startable(start.job_id):
                opens_lane = None if self._depth_max and not job.spec.interactive else 0
                started.append(self._reserve(turn, job, start.shares, opens_lane))
        if decided.is_cut or len(started) < len(decided.starts):
            # Once this is on record: while nothing can be recorded, nothing more can start.
            turn.afterwards(self.on_wakeup)
        self._follow(turn, decided)
        turn.afterwards(self._promise)
        return started

    def _look_at_due(self, turn: Turn) -> None:
        """Look at the jobs whose time has come: to begin, to be given up, to be ended."""
        for job in self._ledger.table.due(turn.now):
            if self._ledger.table.get(job.job_id) is not job:
                continue  # What became of one before it has ended it.
            ending = overdue(job, turn.now)
            if ending is not None:
                self.on_overdue(turn, job, ending)
            else:
                self._ledger.look_at(turn, job)

    def get_resource_stats(self) -> dict[str, Any]:
        """Return totals and use of the machine, and the number of jobs by state."""
        stats = self._ledger.tracker.get_stats()
        with self._queue.lock:
            return stats | {"by_state": dict(self._ledger.table.counts())}

    def snapshot(self) -> Snapshot:
        """Return what a decision is made from; the queue's lock is held as long as it is used."""
        table = self._ledger.table
        tracker = self._ledger.tracker
        running = [
            self._running(table.jobs[job_id], shares)
            for job_id, shares in tracker.holdings().items()
        ]
        return Snapshot(
            self._waiting(),
            running,
            tracker.free_nodes(),
            self._allowance(running),
            tuple(self._ledger.admission.reservations.values()),
        )

    def _running(self, job: Job, shares: tuple[NodeShare, ...]) -> Running:
        until, exclusive = ends_at(job), job.spec.exclusive
        home = self._ledger.admission.home_of(job) if job.spec.reservation else None
        if home is None:
            return Running(job.job_id, shares, until, exclusive=exclusive)
        until = min(until, home.end_at)
        return Running(job.job_id, shares, until, exclusive=exclusive, reservation=home.name)

    def _waiting(self) -> Sequence[Queue]:
        """Return the queues, but for those of users whose jobs cannot be started now."""
        queues = self._ledger.table.waiting()
        if not self._blocked_users:
            return queues
        now = self._queue.monotonic()
        self._blocked_users = {
            user_id: until for user_id, until in self._blocked_users.items() if until > now
        }
        return [queue for queue in queues if queue.shape.owner not in self._blocked_users]

    def _allowance(self, running: Sequence[Running]) -> Allowance | None:
        """Return what licences and limits leave beside running jobs."""
        quotas, admission = self._quotas(running), self._ledger.admission
        if not admission.machine.licenses:
            return quotas
        jobs = self._ledger.table.jobs
        shapes = (admission.shape(jobs[each.job_id]) for each in running)
        return Licenses.beside(admission.machine.licenses, shapes, quotas)

    def _quotas(self, running: Sequence[Running]) -> Quotas | None:
        """Return what limits of the account book leave beside running jobs."""
        admission, now = self._ledger.admission, self._queue.now()
        if not admission.rules.has_limits:
            return None
        jobs = self._ledger.table.jobs
        return admission.rules.quotas(
            (admission.shape(jobs[each.job_id]), each.shares, max(0.0, each.ends_at - now))
            for each in running
        )

    def back_off_from(self, job: Job, why: str) -> None:
        """Start none of a user's jobs for a while: the engine could not start this one."""
        log.warning(
            "no job of %s is started for %g s: %s", job.owner.user_name, _USER_BACK_OFF_S, why
        )
        with self._queue.lock:
            until = self._queue.monotonic() + _USER_BACK_OFF_S
            self._blocked_users[job.owner.user_id] = until
            self._promise()

    def back_off(self, why: str) -> None:
        """Start nothing for a while: the engine had no room for a job."""
        log.warning("no job is started for %g s: %s", _BACK_OFF_S, why)
        with self._queue.lock:
            self._blocked_until = self._queue.monotonic() + _BACK_OFF_S
            # No more: who is told of it again and again, as on a full disk, must not spin.
            self._promise()

    @property
    def _blocked_s(self) -> float:
        """For how long nothing is started yet; a clock that is set does not change it."""
        return self._blocked_until - self._queue.monotonic()

    def next_wakeup_s(self) -> float:
        """Return in how many seconds a turn will have something to do, though nothing happens."""
        with self._queue.lock:
            self._promised_at = self._next_wakeup_at()
            return max(0.0, self._promised_at - self._queue.now())

    def _next_wakeup_at(self) -> float:
        at = [self._ledger.table.next_wakeup_at or FOREVER]
        if (blocked_s := self._blocked_s) > 0:
            at.append(self._queue.now() + blocked_s)
        if self._blocked_users:
            left_s = min(self._blocked_users.values()) - self._queue.monotonic()
            at.append(self._queue.now() + max(0.0, left_s))
        at.append(self.other_wakeup_at(self._queue.now()))
        if self._ledger.lanes.has_followers:
            at.append(self._queue.now() + _OVERDUE_S)
        return min(at)

    def _promise(self) -> None:
        """See to it that whoever sleeps until the next wake-up does not sleep too long."""
        if self._next_wakeup_at() < self._promised_at - _OVERDUE_S / 2:
            self.on_wakeup()

    # Why and when.

    def reason(self, job: Job) -> str:
        """Return why a waiting job waits, as squeue prints it."""
        if job.state is not JobState.PENDING or job.allocation is not None:
            return job.reason
        shape = self._ledger.table.shape(job)
        if shape is None or self.last_plan is None:
            return job.reason
        if shape.owner in self._blocked_users:
            return Reason.JOB_LAUNCH_FAILURE
        is_at_limit = not self._ledger.table.startable(job.job_id)
        return self.last_plan.reason(shape, job.job_id, is_at_limit=is_at_limit)

    def expected_starts(self, job_ids: Sequence[int]) -> Mapping[int, float]:
        """Return when waiting jobs start if nothing changes; who cannot be told is missing."""
        return forecast(self.snapshot(), self._queue.now(), set(job_ids))

    def foresee(self) -> Iterator[Mapping[int, float]]:
        """Yield who will start when if nothing changes, an instant at a time, each in a turn."""
        snapshot = self.snapshot()
        still = snapshot.with_queues(self._ledger.table.still(snapshot.queues))
        for at, starts in foresee(still, self._queue.now()):
            yield {start.job_id: at for start in starts}

    def trial(self, job: Job) -> Trial:
        """Return when and where a job that is not in the queue would start, behind all others."""
        shape = self._ledger.admission.shape(job)
        last = (shape.priority_tier + 1, job.job_id)
        tried = self.snapshot().with_waiting(shape, Waiting(job.job_id, last, 1))
        now = self._queue.now()
        at = forecast(tried, now, {job.job_id}).get(job.job_id, now)
        shares = place(shape, self._ledger.tracker.idle_nodes()) or ()
        cpus = sum(len(share.cpus) for share in shares)
        return Trial(at, tuple(share.node for share in shares), cpus)

    # Lanes.

    def _reserve(self, turn: Turn, job: Job, shares: Sequence[Any], lane: int | None) -> int:
        job = self._ledger.reserve(turn, job, shares, lane)
        if job.spec.interactive:
            self._ledger.start(turn, job, (0, 0, ""), turn.now)
        else:
            self._launcher.launch(turn, job)
        return job.job_id

    def _follow(self, turn: Turn, decided: Plan) -> None:
        """Fill the lanes with who is next in order."""
        if not self._depth_max:
            return
        fronts = self._waiting()
        if len(fronts) > _SHAPES_MAX:
            return
        fronts = [queue for queue in fronts if not decided.is_fenced(queue.shape)]
        if not fronts:
            return
        shape = fronts[0].shape
        depth = self.run_times.depth(shape, self._depth_max)
        if depth > 1 and not self._is_fenced(turn, shape):
            self._fill(turn, shape, depth, fronts[1].jobs[0].order if len(fronts) > 1 else None)

    def _fill(self, turn: Turn, shape: Shape, depth: int, before: Order | None) -> None:
        """Let the next of *shape* stand in its lanes, but none that comes after *before*."""
        jobs = self._ledger.table.jobs
        open_lanes = [
            (lane, len(line), jobs[line[0]])
            for lane, line in self._ledger.lanes.lines()
            if len(line) <= depth // 2
        ]
        following = self._next_of(shape, before)
        for lane, length, head in open_lanes:
            if self._may_follow(turn, head, shape):
                assert head.allocation is not None
                for job in islice(following, depth - length):
                    self._reserve(turn, job, head.allocation.shares, lane)

    def _may_follow(self, turn: Turn, head: Job, shape: Shape) -> bool:
        """Whether jobs of the shape may stand behind *head*: it is like them, and soon over."""
        assert head.allocation is not None
        since = head.start_at or head.allocation.reserved_at
        return (
            head.ending is None
            and 0 <= turn.now - since < _OVERDUE_S
            and self._ledger.admission.shape(head) == shape
            and self._ledger.tracker.accepts(head.allocation.shares)
        )

    def _is_fenced(self, turn: Turn, shape: Shape) -> bool:
        """Whether reservations matter to jobs of the shape: each is then decided on by itself."""
        reservations = tuple(self._ledger.admission.reservations.values())
        return Fences(reservations, (), turn.now).concern(shape)

    def _next_of(self, shape: Shape, before: Order | None) -> Iterator[Job]:
        table = self._ledger.table
        while waiting := table.queues.get(shape):
            first = waiting.first
            job = table.jobs[first.job_id]
            is_next = before is None or first.order <= before
            # An interactive job has nothing that the shepherd could start in its turn.
            if not is_next or job.spec.interactive or not table.startable(job.job_id):
                return
            yield job

    def note_run(self, job: Job, run_s: float) -> None:
        """Learn how long a job has run."""
        self.run_times.note(self._ledger.admission.shape(job), run_s)

    def take_back_overdue(self) -> None:
        """Take jobs back that have stood behind another one for too long: it is not so short."""
        with self._queue.lock:
            # One that stands there since a time to come does so since before the clock was set.
            now = self._queue.now()
            overdue = [
                job
                for _, line in self._ledger.lanes.lines()
                for job in (self._ledger.table.jobs[each] for each in line[1:])
                if job.allocation is not None
                and not now - _OVERDUE_S <= job.allocation.reserved_at <= now
            ]
            for job in overdue:
                self.run_times.distrust(self._ledger.admission.shape(job))
            if overdue:
                self._engine.withdraw([batch_key(attempt_of(job)) for job in overdue])
