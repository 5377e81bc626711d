"""A worker and its model side by side: what is done to the one is told to the other, then compared.

The daemon may die, or its store fail, in the midst of everything that is done here; the model then
knows what of it was recorded, and what the next daemon must make of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from stoker.core.enums import Hold, JobState, Reason
from stoker.core.errors import Infeasible, StoreFull, UserError
from stoker.core.historyfilter import HistoryFilter
from stoker.core.models import NO_TASK, Allocation, Job
from stoker.core.units import JobRef, TaskSet
from stoker.engines.base import EngineEvent, Failed, Unit, parse_key
from support.fake_engine import FakeUnit
from support.queue_checks import (
    check_change,
    check_engine,
    check_jobs,
    check_memory,
    check_room,
    shown,
)
from support.queue_model import Name, Phase, QueueModel, Task
from support.works import NODES, ROOT, Killed, Works

Deed = tuple[Callable[[], Any], Callable[[Any], None]]
"""What is asked of the daemon, and what that does to the model if it is not refused."""

STAYS = frozenset(
    {
        Reason.DEPENDENCY_NEVER_SATISFIED,
        Reason.PARTITION_TIME_LIMIT,
        Reason.PARTITION_NODE_LIMIT,
        Reason.PARTITION_CONFIG,
    }
)
"""Reasons that only a user can do something about."""
_ROUNDS_MAX = 80


class QueueDriver:
    """Drives `works` and tells `model`.

    Attributes:
        ids: The ids that were given out, in order.
        was_requeued: Whether somebody has asked for a requeue since the last check.
        dies_at: The name of a call to the engine, and whether the daemon dies before or after it.
    """

    def __init__(self, home: Path, **settings: Any) -> None:
        self.works = Works(home, **settings)
        self.model = QueueModel(self.works.settings.requeue_max)
        self.ids: list[int] = []
        self.was_requeued = False
        self.dies_at = ("", "")
        self._handed_in: list[tuple[str, Name]] = []
        self._untaken: list[EngineEvent] = []
        self._broken: list[AssertionError] = []
        self._before: dict[int, Job] = {}
        self._blocked_until = 0.0
        self._snapshot: tuple[int, list[Job], list[Allocation]] = (-1, [], [])
        engine = self.works.engine
        engine.on_launch = lambda *seen: self._see(self._check_launch, *seen)
        engine.on_again = lambda *seen: self._see(self._check_is_new, *seen)
        engine.on_acknowledge = lambda *seen: self._see(self._check_acknowledged, *seen)
        engine.on_call = lambda name: self._die_if_due(name, "before")
        engine.on_done = lambda name: self._die_if_due(name, "after")

    @property
    def now(self) -> float:
        return self.works.clock.now_s

    def current(self, task: Task) -> Task:
        """Return the task as the model has it now: after a turn that failed it is another one."""
        return self.model.tasks[task.name]

    # What the engine sees.

    def _die_if_due(self, name: str, when: str) -> None:
        if self.dies_at == (name, when):
            self.dies_at = ("", "")
            raise Killed

    def _see(self, check: Callable[..., None], *seen: object) -> None:
        """Check something now, and fail later: what an action raises, the daemon only logs."""
        try:
            check(*seen)
        except AssertionError as error:
            self._broken.append(error)

    def _check_is_new(self, known: FakeUnit) -> None:
        raise AssertionError(f"{known} is launched, and the engine knows it already")

    def _check_launch(self, unit: Unit) -> None:
        """What the engine is told to run is on record, waits there, and has not run."""
        key = parse_key(unit.key)
        job = self.works.job(key.job_id)
        assert job.allocation is not None, f"{unit.key} is launched, but not reserved on record"
        assert job.allocation.token == unit.token
        assert job.allocation.attempt == key.attempt == job.restarts
        assert job.state is JobState.PENDING
        assert unit.key not in self.works.engine.starts, f"{unit.key} has run, and is launched"
        (task,) = self.model.of_record(job)
        self._handed_in.append((unit.key, task.name))

    def _check_acknowledged(self, unit: FakeUnit) -> None:
        """What the engine may forget is on record."""
        key = parse_key(unit.key)
        for attempt in self.works.worker.repository.attempts([key.job_id]):
            # One that was taken back may have been reserved anew, with a token of its own.
            assert attempt.token != unit.unit.token or not attempt.is_active, (
                f"{unit} is acknowledged, and the record says {attempt}"
            )

    # What is done, and what becomes of it.

    def do(self, *deeds: Deed) -> None:
        """Do things in one turn."""
        model, ids = deepcopy(self.model), list(self.ids)
        commits = self.works.database.commits
        is_dead = False
        try:
            with self.works.worker.queue.turn():
                for act, effect in deeds:
                    with suppress(UserError, Infeasible):
                        effect(act())
                        self.model.note_met(self.now)
        except (StoreFull, Killed) as error:
            is_dead = isinstance(error, Killed)
            if self.works.database.commits == commits:
                self.model, self.ids = model, ids
        if is_dead:
            self._explain_ends()
            self.restart()
        self._settle()

    def hear(self, events: list[EngineEvent], tell: Callable[[], object]) -> None:
        """Let the daemon hear of events."""
        commits = self.works.database.commits
        self._untaken += events
        try:
            tell()
        except Killed:
            if self.works.database.commits > commits:
                self._take_untaken()
            self.restart()
        self._settle()

    def deliver(self, count: int | None = None) -> None:
        """Let the daemon hear of the first *count* events, or of all."""
        engine = self.works.engine
        self.hear(engine.outbox[:count], lambda: engine.deliver(count))

    def reconnect(self, count: int) -> None:
        """Break the connection to the engine when it has read *count* of what it was asked."""
        told = self.works.engine.reconnect_events(count)
        self.hear(told, lambda: self.works.engine.tell(told))

    def schedule(self) -> None:
        """Let the scheduler's thread wake."""
        try:
            self.works.schedule()
        except StoreFull:
            pass
        except Killed:
            self.restart()
        self._settle()

    def work_out_use(self) -> None:
        """Let the thread that works out use wake; then all who wait stand by their priorities."""
        worker = self.works.worker
        try:
            worker.usage.do_work()
        except StoreFull:
            return
        except Killed:
            self.restart()
            return
        for queue in worker.queue.table.waiting():
            for waiting in queue.jobs:
                job = worker.queue.table.jobs[waiting.job_id]
                assert waiting.order[1:] == worker.priorities.order(job), f"{shown(job)}\nis late"

    def restart(self, read: int = 0) -> None:
        """Let the daemon die, when *read* of what it asked is read, and the next come; or more."""
        works, commits = self.works, -1
        self._note_handed_in()
        while commits < 0:
            works.database.mend()
            works.kill(read=read)
            evidence = works.engine.survey()
            # What was told and not recorded is told again.
            self._untaken = [*evidence.running.values(), *evidence.events]
            commits = works.database.commits
            try:
                works.begin()
            except Killed:
                if works.database.commits > commits:
                    self._take_untaken()
                commits = -1
        self._take_untaken()
        self._blocked_until = 0.0
        known = {*evidence.queued, *evidence.running, *(each.key for each in evidence.events)}
        for task in self.model.tasks.values():
            if task.phase is Phase.SENT and task.key not in known:
                self.model.never_ran(task, self.now)
            elif task.phase is Phase.RUNNING and task.key not in known:
                self.model.lost(task, self.now)
        self._explain_ends()
        self._settle()

    def _settle(self) -> None:
        """Tell the model what the daemon has taken, and what it has handed in."""
        if not self.works.worker.reports.is_behind:
            self._take_untaken()
        self._note_handed_in()

    def _note_handed_in(self) -> None:
        for error in self._broken:
            raise error
        self._explain_ends()
        for key, name in self._handed_in:
            trouble = self.model.sent(self.model.tasks[name], key, self.now)
            assert trouble is None, f"{key} is launched, but {trouble}"
        self._handed_in.clear()

    def _take_untaken(self) -> None:
        for event in self._untaken:
            if isinstance(event, Failed) and event.step in ("fork", "journal"):
                self._blocked_until = self.now + 2.0
            self.model.take(event, self.now)
            self._explain_ends()
        self._untaken.clear()

    def _explain_ends(self) -> None:
        """See whether tasks have ended by themselves, and whether they might."""
        has_news = True
        while has_news:
            has_news = False
            self.model.note_met(self.now)
            for job in self.records():
                for task in self.model.of_record(job):
                    self.model.explain_ending(task, job.ending, self.now)
                    if job.state.has_ended:
                        has_news |= self.model.explain_end(task, job.state, self.now)

    # What is on record.

    def records(self) -> list[Job]:
        """Return every job on record; it is read again when something was recorded."""
        database, repository = self.works.database, self.works.worker.repository
        if self._snapshot[0] != database.commits:
            jobs = repository.history(HistoryFilter())
            attempts = repository.attempts([job.job_id for job in jobs])
            self._snapshot = database.commits, jobs, attempts
        return self._snapshot[1]

    def active(self) -> list[Job]:
        """Return the jobs on record that have not ended."""
        return [job for job in self.records() if not job.end_at]

    # What must hold.

    def check(self) -> None:
        """Compare memory, record, engine and model."""
        jobs = {job.job_id: job for job in self.records()}
        attempts = self._snapshot[2]
        assert jobs.keys() >= set(self.ids), "an id was given out, and is not on record"
        check_memory(self.works, self.active())
        check_jobs(jobs.values(), attempts)
        check_room(self.works, attempts)
        check_engine(self.works, attempts)
        for job_id, before in self._before.items():
            if job_id in jobs:
                check_change(before, jobs[job_id], was_requeued=self.was_requeued)
            else:
                # A task that was about to start is again what it was: one of its array's rest.
                assert before.state is JobState.PENDING, f"{shown(before)}\nis gone"
                assert before.job_id not in self.ids, f"{shown(before)}\nis gone"
        self._before, self.was_requeued = jobs, False
        self._explain_ends()
        self._check_against_model(list(jobs.values()))
        self._check_reasons_on_record()
        self._check_orders()

    def _check_against_model(self, jobs: Sequence[Job]) -> None:
        found = {task.name: job for job in jobs for task in self.model.of_record(job)}
        assert found.keys() == self.model.tasks.keys(), "a task is lost, or there is one too many"
        assert len(found) == sum(len(self.model.of_record(job)) for job in jobs)
        for name, task in self.model.tasks.items():
            job = found[name]
            expected = task.expected_state(), task.restarts, task.is_held, task.is_busy
            shows = job.state, job.restarts, job.hold is not Hold.NONE, job.allocation is not None
            assert shows == expected, f"{task}\nis on record as\n{shown(job)}"

    def _check_orders(self) -> None:
        """What runs was told what its job is to do, whatever was lost on the way."""
        engine = self.works.engine
        if engine.inbox or engine.outbox or self._untaken:
            return
        for unit in engine.running():
            task = self.model.of_key(unit.key)
            assert task is not None, f"{unit} runs, and no job of the model does"
            assert (unit.ending is not None) == (task.wish is not None), f"{task}\nruns as {unit}"
            if task.wish is None:
                assert unit.is_suspended == task.is_suspended, f"{task}\nruns as {unit}"
                assert unit.time_limit_s == task.time_limit_s, f"{task}\nruns as {unit}"

    def _check_reasons_on_record(self) -> None:
        """What the record gives as a reason is so."""
        for job in self.active():
            if job.state is not JobState.PENDING or job.allocation is not None:
                continue
            tasks = self.model.of_record(job)
            if job.reason == Reason.DEPENDENCY:
                assert any(self.model.still_waits(each, self.now) for each in tasks), (
                    f"{shown(job)}\nsays Dependency, but nothing keeps\n{tasks}"
                )
            if job.reason == Reason.DEPENDENCY_NEVER_SATISFIED:
                assert any(self.model.is_hopeless(each, self.now) for each in tasks), (
                    f"{shown(job)}\nsays never, but there is hope for\n{tasks}"
                )
            if any(each.is_held for each in tasks):
                assert "held" in job.reason.lower(), f"{shown(job)}\nis held, and does not say so"

    def _check_reasons_told(self) -> None:
        """Whoever waits after a turn of the scheduler can say why."""
        worker = self.works.worker
        if self.now < self._blocked_until or worker.queue.is_stale:
            return
        for job in worker.queue.table:
            if job.state is JobState.PENDING and job.allocation is None:
                reason = worker.scheduler.reason(job)
                assert reason not in ("", Reason.NONE), f"{shown(job)}\nsays no reason"

    # In the end.

    def drain(self) -> None:
        """Let everything go, and see that the queue drains."""
        works = self.works
        works.database.mend()
        self.dies_at = ("", "")
        works.engine.is_prompt = True
        works.engine.read()
        works.clock.pass_by(10.0)
        for name in NODES:
            self.do(self.node(name, "RESUME"))
        for _ in range(_ROUNDS_MAX):
            self._go_round()
            if not self.active():
                break
        left = self.active()
        for job in left:
            tasks = self.model.of_record(job)
            assert _may_stay(job, left), f"{shown(job)}\nis stuck; the model has\n{tasks}"
        assert not works.engine.units, f"the engine keeps what is over: {works.engine.units}"

    def _go_round(self) -> None:
        engine = self.works.engine
        for job in self.active():
            self._let_go(job)
        self.schedule()
        self._check_reasons_told()
        for unit in engine.startable():
            engine.start(unit.key)
        for unit in engine.running():
            if not unit.is_suspended:
                engine.finish(unit.key)
        self.deliver()
        self.check()
        self.works.clock.pass_by(100.0)

    def _let_go(self, job: Job) -> None:
        control = self.works.worker.control
        number = job.array_task_id
        ref = JobRef(
            job.array_job_id or job.job_id, None if number == NO_TASK else TaskSet([number])
        )
        tasks = self.model.of(ref.job_id, None if number == NO_TASK else [number])

        def released(_: object) -> None:
            for each in map(self.current, tasks):
                each.hold(is_held=False)

        def resumed(_: object) -> None:
            for each in map(self.current, tasks):
                each.is_suspended = False

        if job.hold is not Hold.NONE:
            self.do((lambda: control.release(ref, ROOT), released))
        if job.state is JobState.SUSPENDED:
            self.do((lambda: control.resume(ref, ROOT), resumed))

    def node(self, name: str, state: str) -> Deed:
        """Return how an operator sets a node's state."""
        control = self.works.worker.control

        def effect(_: object) -> None:
            for job in self.works.worker.queue.table:
                if state == "DOWN" and job.allocation and name in job.allocation.nodes:
                    self.model.fail(*self.model.of_record(job))

        return lambda: control.update_node(name, ROOT, state, "a test"), effect

    def close(self) -> None:
        """Let go of everything."""
        self.works.close()


def _may_stay(job: Job, left: Sequence[Job]) -> bool:
    """Whether a job may be left when all others are gone: only a user can help it."""
    if job.state is not JobState.PENDING or job.allocation is not None:
        return False
    others = {
        name
        for each in left
        for name in (each.job_id, each.array_job_id)
        if each.job_id != job.job_id and name
    }
    conditions = job.dependency.conditions if job.dependency else ()
    return job.reason in STAYS or (
        job.reason == Reason.DEPENDENCY
        and any(each.kind == "singleton" or each.job_id in others for each in conditions)
    )
