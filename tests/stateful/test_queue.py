"""A whole worker, driven in any order beside a dict: submit, change, run, fail, die, come back.

Rules do what users, the engine, time and bad luck do. After each, `queue_checks` says what always
holds, and the model (`queue_model`) what must be so now. In the end everything is let go, and the
queue has to drain.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from errno import EACCES, EAGAIN
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stoker.core.database import StoreFull
from stoker.core.enums import Hold, JobState, Reason
from stoker.core.errors import Infeasible, UserError
from stoker.core.models import NO_TASK, Allocation, Job
from stoker.core.repository import HistoryFilter
from stoker.core.units import JobRef, TaskSet
from stoker.engines.base import Ended, EngineEvent, Failed, Unit, Withdrawn, parse_key
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
from support.works import ALICE, NODES, ROOT, Killed, Works, disk_full, submission

RAM = Path("/dev/shm")
DAY_S = 86_400.0
STAYS = frozenset(
    {
        Reason.DEPENDENCY_NEVER_SATISFIED,
        Reason.PARTITION_TIME_LIMIT,
        Reason.PARTITION_NODE_LIMIT,
        Reason.PARTITION_CONFIG,
    }
)
"""Reasons that only a user can do something about."""

ARRAYS = st.sampled_from([None, None, None, "0-2", "0-4%1", "1-5%2", "0-3"])
SHAPES = st.sampled_from(
    [
        {},
        {},
        {},
        {"ntasks": 2},
        {"cpus_per_task": 3},
        {"min_nodes": 2, "max_nodes": 2, "ntasks": 2},
        {"exclusive": True},
        {"mem_per_node_mib": 3000},
        {"partition": "small"},
        {"partition": "small", "min_nodes": 2},
        {"time_limit_s": 60.0},
        {"time_limit_s": 7200.0, "partition": "small"},
    ]
)
ENDS = st.sampled_from(
    [
        {},
        {},
        {},
        {"code": 3},
        {"signal": 9},
        {"signal": 15, "why": "timeout"},
        {"signal": 9, "oom": True},
        {"status_known": False},
    ]
)
REFUSALS = st.sampled_from([("exec", EACCES), ("fork", EAGAIN), ("journal", 28), ("stdout", 2)])
KINDS = ("afterany", "afterok", "afternotok", "after", "aftercorr", "singleton")

Act = Callable[[], Any]


class QueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None)
        self.works = Works(Path(self.directory.name))
        self.model = QueueModel(self.works.settings.requeue_max)
        self.handed_in: list[tuple[str, Name]] = []
        self.broken: list[AssertionError] = []
        self.untaken: list[EngineEvent] = []
        self.before: dict[int, Job] = {}
        self.requeued = False
        self.dies_at = ("", "")
        self.ids: list[int] = []
        self.is_backed_off_until = 0.0
        self.snapshot: tuple[int, list[Job], list[Allocation]] = (-1, [], [])
        self._watch_engine()

    # What the engine sees.

    def _watch_engine(self) -> None:
        engine = self.works.engine
        engine.on_launch = lambda *seen: self._see(self._check_launch, *seen)
        engine.on_acknowledge = lambda *seen: self._see(self._check_acknowledged, *seen)
        engine.on_call = lambda name: self._die_if_due(name, "before")
        engine.on_done = lambda name: self._die_if_due(name, "after")

    def _die_if_due(self, name: str, when: str) -> None:
        if self.dies_at == (name, when):
            self.dies_at = ("", "")
            raise Killed

    def _see(self, check: Callable[..., None], *seen: object) -> None:
        """Check something now, and fail later: what an action raises, the daemon only logs."""
        try:
            check(*seen)
        except AssertionError as error:
            self.broken.append(error)

    def _check_launch(self, unit: Unit, known: FakeUnit | None) -> None:
        """What the engine is told to run is on record, waits there, and was not told before."""
        key = parse_key(unit.key)
        job = self.works.job(key.job_id)
        assert job.allocation is not None, f"{unit.key} is launched, but not reserved on record"
        assert job.allocation.token == unit.token
        assert job.allocation.attempt == key.attempt == job.restarts
        assert job.state is JobState.PENDING
        assert known is None, f"{unit.key} is launched, but the engine knows it: {known}"
        assert unit.key not in self.works.engine.starts, f"{unit.key} has run, and is launched"
        (task,) = self._of(job)
        self.handed_in.append((unit.key, task.name))

    def _check_acknowledged(self, unit: FakeUnit) -> None:
        """What the engine may forget is on record."""
        key = parse_key(unit.key)
        for attempt in self.works.worker.repository.attempts([key.job_id]):
            # One that was taken back may have been reserved anew, with a token of its own.
            assert attempt.token != unit.unit.token or not attempt.is_active, (
                f"{unit} is acknowledged, and the record says {attempt}"
            )

    # What is done, and what becomes of it.

    def _do(self, *acts: tuple[Act, Callable[[Any], None]]) -> None:
        """Do things in one turn; each goes with what it does to the model if it is not refused."""
        model, ids = deepcopy(self.model), list(self.ids)
        commits = self.works.database.commits

        def undo() -> None:
            if self.works.database.commits == commits:
                self.model, self.ids = model, ids

        try:
            with self.works.worker.queue.turn():
                for act, effect in acts:
                    with suppress(UserError, Infeasible):
                        effect(act())
                        self.model.note_met(self.now)
        except StoreFull:
            undo()
        except Killed:
            undo()
            self._explain_ends()
            self._reborn(0)
        self._settle()

    def _hear(self, tell: Callable[[], Sequence[EngineEvent]], events: list[EngineEvent]) -> None:
        """Let the daemon hear of events."""
        commits = self.works.database.commits
        self.untaken += events
        try:
            tell()
        except StoreFull:
            pass
        except Killed:
            if self.works.database.commits > commits:
                self._take_untaken()
            self._reborn(0)
        self._settle()

    def _run_scheduler(self) -> None:
        try:
            self.works.schedule()
        except StoreFull:
            pass
        except Killed:
            self._reborn(0)
        self._settle()

    def _settle(self) -> None:
        """Tell the model what the daemon has taken and what it has handed in."""
        if not self.works.worker.reports.is_behind:
            self._take_untaken()
        self._note_handed_in()

    def _note_handed_in(self) -> None:
        for error in self.broken:
            raise error
        for key, name in self.handed_in:
            trouble = self.model.sent(self.model.tasks[name], key, self.now)
            assert trouble is None, f"{key} is launched, but {trouble}"
        self.handed_in.clear()

    def _take_untaken(self) -> None:
        for event in self.untaken:
            self._note_refusal(event)
            self.model.take(event, self.now)
            self._explain_ends()
            self.model.note_met(self.now)
        self.untaken.clear()

    def _note_refusal(self, event: EngineEvent) -> None:
        if isinstance(event, Failed) and event.step in ("fork", "journal"):
            self.is_backed_off_until = self.now + 2.0

    def _explain_ends(self) -> None:
        """See whether waiting tasks have ended by themselves, and whether they might."""
        progress = True
        while progress:
            progress = False
            self.model.note_met(self.now)
            for job in self._records():
                for task in self._of(job):
                    self.model.explain_ending(task, job.ending, self.now)
                    if job.state.has_ended:
                        progress |= self.model.explain_end(task, job.state, self.now)

    def _records(self) -> list[Job]:
        """Return every job on record; it is read again when something was recorded."""
        database, repository = self.works.database, self.works.worker.repository
        if self.snapshot[0] != database.commits:
            jobs = repository.history(HistoryFilter())
            attempts = repository.attempts([job.job_id for job in jobs])
            self.snapshot = database.commits, jobs, attempts
        return self.snapshot[1]

    def _active(self) -> list[Job]:
        return [job for job in self._records() if not job.end_at]

    def _reborn(self, read: int) -> None:
        """The daemon dies, and the next one comes; maybe more than one."""
        self._note_handed_in()
        works = self.works
        self.works.database.mend()
        works.kill(read=read)
        while True:
            evidence = works.engine.survey()
            events = [*evidence.running.values(), *evidence.events]
            # What was told and not recorded is told again; the rest was forgotten by nobody.
            self.untaken = list(events)
            commits = works.database.commits
            try:
                works.begin()
                break
            except Killed:
                if works.database.commits > commits:
                    self._take_untaken()
                works.database.mend()
                works.kill(read=0)
        self._take_untaken()
        self.is_backed_off_until = 0.0
        known = {*evidence.queued, *evidence.running, *(each.key for each in evidence.events)}
        for task in list(self.model.tasks.values()):
            if not task.is_busy or task.key in known:
                continue
            if task.phase is Phase.SENT:
                self.model.never_ran(task, self.now)
            else:
                self.model.lost(task, self.now)
        self._explain_ends()

    @property
    def now(self) -> float:
        return self.works.clock.now_s

    # Users.

    def _submission(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        array = data.draw(ARRAYS, "array")
        shape = data.draw(SHAPES, "shape")
        dependency = self._dependency(data, array is not None)
        said: dict[str, Any] = {
            "name": data.draw(st.sampled_from("abc"), "name"),
            "requeue": data.draw(st.sampled_from([True, True, False]), "requeue"),
            "kill_on_invalid_dependency": data.draw(st.booleans(), "kill") if dependency else None,
            "hold": data.draw(st.sampled_from([False, False, True]), "hold"),
            "begin_at": data.draw(st.sampled_from([0.0, 0.0, self.now + 100]), "begin"),
            "deadline_at": data.draw(st.sampled_from([0.0, 0.0, 0.0, self.now + 5000]), "deadline"),
        }
        asked = submission(**said, **shape, array=array, dependency=dependency)

        def effect(job: Job) -> None:
            assert job.job_id not in self.ids, f"id {job.job_id} is given twice"
            assert job.job_id > max(self.ids, default=0)
            self.ids.append(job.job_id)
            tasks = list(asked.array.tasks) if asked.array else [NO_TASK]
            for task in tasks:
                self.model.tasks[job.job_id, task] = Task(
                    job.job_id,
                    task,
                    said["name"],
                    may_requeue=said["requeue"],
                    dies_if_invalid=bool(said["kill_on_invalid_dependency"]),
                    is_held=said["hold"],
                    begin_at=said["begin_at"],
                    deadline_at=said["deadline_at"],
                    time_limit_s=job.time_limit_s,
                    limit=asked.array.limit if asked.array else 0,
                    dependency=asked.dependency,
                )

        return lambda: self.works.worker.control.submit(asked), effect

    def _dependency(self, data: st.DataObject, is_array: bool) -> str | None:
        if not data.draw(st.sampled_from([False, False, True]), "depends"):
            return None
        words = []
        for _ in range(data.draw(st.sampled_from([1, 1, 2]), "conditions")):
            kind = data.draw(st.sampled_from(KINDS), "kind")
            if kind == "singleton" and is_array:
                kind = "afterany"
            if kind == "aftercorr" and not is_array:
                kind = "afterok"
            word = kind
            if kind != "singleton":
                on = data.draw(st.sampled_from([*self.ids[-5:], 9999]), "on")
                word += f":{on}"
                tasks = [each.task for each in self.model.of(on) if each.task != NO_TASK]
                if tasks and kind != "aftercorr" and data.draw(st.booleans(), "one task"):
                    word += f"_{data.draw(st.sampled_from(tasks), 'task')}"
                if kind == "after":
                    word += data.draw(st.sampled_from(["", "+1"]), "delay")
            words.append(word)
        return data.draw(st.sampled_from(",?"), "and/or").join(words)

    def _ref(self, data: st.DataObject) -> tuple[JobRef, list[Task]]:
        job_id = data.draw(st.sampled_from(self.ids[-8:]), "job")
        numbers = [each.task for each in self.model.of(job_id)]
        if NO_TASK in numbers or data.draw(st.booleans(), "whole"):
            return JobRef(job_id), self.model.of(job_id)
        some = data.draw(st.sets(st.sampled_from(numbers), min_size=1, max_size=2), "tasks")
        return JobRef(job_id, TaskSet(some)), self.model.of(job_id, sorted(some))

    def _cancel(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        ref, tasks = self._ref(data)

        def effect(_: object) -> None:
            for task in tasks:
                self.model.cancel(self._now(task), self.now)

        return lambda: self.works.worker.control.cancel(ref, ALICE), effect

    def _hold(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        ref, tasks = self._ref(data)

        def effect(_: object) -> None:
            for task in map(self._now, tasks):
                task.is_held = task.is_held or task.phase is not Phase.ENDED

        return lambda: self.works.worker.control.hold(ref, ALICE), effect

    def _release(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        ref, tasks = self._ref(data)

        def effect(_: object) -> None:
            for task in map(self._now, tasks):
                task.is_held = task.is_held and task.phase is Phase.ENDED

        return lambda: self.works.worker.control.release(ref, ALICE), effect

    def _requeue(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        ref, tasks = self._ref(data)
        hold = data.draw(st.booleans(), "hold")
        self.requeued = True

        def effect(_: object) -> None:
            named = [self._now(each) for each in tasks]
            active = [each for each in named if each.phase is not Phase.ENDED]
            for task in active or named:
                if not task.may_requeue:
                    continue
                self.model.requeue(task, hold=hold)

        return lambda: self.works.worker.control.requeue(ref, ALICE, hold=hold), effect

    def _suspend(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        ref, tasks = self._ref(data)
        is_suspended = data.draw(st.booleans(), "suspend")
        control = self.works.worker.control
        act = control.suspend if is_suspended else control.resume

        def effect(_: object) -> None:
            for task in map(self._now, tasks):
                if task.phase is Phase.RUNNING:
                    task.is_suspended = is_suspended

        return lambda: act(ref, ROOT), effect

    def _update(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        ref, tasks = self._ref(data)
        field = data.draw(
            st.sampled_from(["name", "time_limit_s", "priority", "partition", "array_limit"]),
            "field",
        )
        values: dict[str, Any] = {
            "name": st.sampled_from("abc"),
            "time_limit_s": st.sampled_from([None, 60.0, 7200.0]),
            "priority": st.sampled_from([1, 100, 2**32]),
            "partition": st.sampled_from(["debug", "small", "nowhere"]),
            "array_limit": st.sampled_from([0, 1, 3]),
        }
        value = data.draw(values[field], "value")

        def effect(_: object) -> None:
            for task in map(self._now, tasks):
                if task.phase is Phase.ENDED:
                    continue
                if field == "name":
                    task.label = value
                if field == "array_limit":
                    task.limit = value
                if field == "time_limit_s":
                    task.time_limit_s = value

        return lambda: self.works.worker.control.update(ref, ALICE, {field: value}), effect

    def _now(self, task: Task) -> Task:
        """Return the task as the model has it now: a turn that failed made older ones stale."""
        return self.model.tasks[task.name]

    def _node(self, data: st.DataObject) -> tuple[Act, Callable[[Any], None]]:
        name = data.draw(st.sampled_from(NODES), "node")
        state = data.draw(st.sampled_from(["DRAIN", "DOWN", "RESUME", "RESUME"]), "state")
        control = self.works.worker.control
        return lambda: control.update_node(name, ROOT, state, "a test"), lambda _: None

    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        self._do(self._submission(data))

    @rule(data=st.data(), count=st.integers(2, 4))
    def submit_many(self, data: st.DataObject, count: int) -> None:
        asked = submission(name="a")

        def effect(job: Job) -> None:
            self.ids.append(job.job_id)
            self.model.tasks[job.job_id, NO_TASK] = Task(job.job_id, NO_TASK, "a")

        self._do(*[(lambda: self.works.worker.control.submit(asked), effect)] * count)

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self._do(self._cancel(data))

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def hold_or_release(self, data: st.DataObject) -> None:
        self._do(data.draw(st.sampled_from([self._hold, self._release]), "what")(data))

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def requeue(self, data: st.DataObject) -> None:
        self._do(self._requeue(data))

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def suspend_or_resume(self, data: st.DataObject) -> None:
        self._do(self._suspend(data))

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        self._do(self._update(data))

    @rule(data=st.data())
    def set_node(self, data: st.DataObject) -> None:
        self._do(self._node(data))

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), count=st.integers(2, 3))
    def do_together(self, data: st.DataObject, count: int) -> None:
        """Several calls share one turn."""
        kinds = [
            self._submission,
            self._cancel,
            self._hold,
            self._release,
            self._requeue,
            self._suspend,
            self._update,
        ]
        # Each is drawn first: what one does to the model, the next does not know yet.
        self._do(*[data.draw(st.sampled_from(kinds), "what")(data) for _ in range(count)])

    # The engine.

    @rule()
    def schedule(self) -> None:
        self._run_scheduler()

    @rule(pick=st.integers(0, 9), is_heard=st.booleans())
    def start(self, pick: int, is_heard: bool) -> None:
        units = self.works.engine.startable()
        if units:
            self.works.engine.start(units[pick % len(units)].key)
        self._deliver_if(is_heard)

    @rule(pick=st.integers(0, 9), end=ENDS, is_heard=st.booleans())
    def end(self, pick: int, end: dict[str, Any], is_heard: bool) -> None:
        units = self.works.engine.running()
        if units:
            self.works.engine.finish(units[pick % len(units)].key, **end)
        self._deliver_if(is_heard)

    @rule()
    def run_one_quickly(self) -> None:
        """Jobs that take no time teach the daemon to hand others over in advance."""
        for unit in self.works.engine.startable()[:1]:
            self.works.engine.start(unit.key)
            self.works.engine.finish(unit.key)
        self._deliver_if(is_heard=True)

    @rule(pick=st.integers(0, 9), how=REFUSALS)
    def refuse(self, pick: int, how: tuple[str, int]) -> None:
        units = self.works.engine.startable()
        if units:
            self.works.engine.refuse(units[pick % len(units)].key, *how)
        self._deliver_if(is_heard=True)

    @rule(pick=st.integers(0, 9))
    def lose(self, pick: int) -> None:
        units = [each for each in self.works.engine.units.values() if each.end is None]
        if units:
            self.works.engine.lose(units[pick % len(units)].key)

    @rule(count=st.integers(1, 3))
    def deliver(self, count: int) -> None:
        events = self.works.engine.outbox[:count]
        self._hear(lambda: self.works.engine.deliver(count), events)

    def _deliver_if(self, is_heard: bool) -> None:
        if is_heard:
            events = list(self.works.engine.outbox)
            self._hear(self.works.engine.deliver, events)

    @rule(is_prompt=st.booleans())
    def read(self, is_prompt: bool) -> None:
        """Let the shepherd be slow, or fast."""
        self.works.engine.is_prompt = is_prompt
        self.works.engine.read()

    @rule(count=st.integers(0, 2))
    def reconnect(self, count: int) -> None:
        told = self.works.engine.reconnect_events(count)
        self._hear(lambda: self.works.engine.tell(told), told)

    # Time, bad luck, death.

    @rule(seconds=st.sampled_from([0.02, 1.0, 61.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.works.clock.pass_by(seconds)

    @rule(read=st.integers(0, 2))
    def restart(self, read: int) -> None:
        self._reborn(read)
        self._settle()

    @rule(after=st.booleans(), count=st.integers(1, 2))
    def die_in_a_transaction(self, after: bool, count: int) -> None:
        self.works.database.fail(Killed, **{"after" if after else "before": count})

    @rule(
        name=st.sampled_from(["launch", "acknowledge", "end", "withdraw", "suspend", "resume"]),
        when=st.sampled_from(["before", "after"]),
    )
    def die_at_the_engine(self, name: str, when: str) -> None:
        self.dies_at = (name, when)

    @rule(count=st.integers(1, 3))
    def fill_the_disk(self, count: int) -> None:
        self.works.database.fail(disk_full, before=count)

    # What must hold.

    @invariant()
    def holds(self) -> None:
        works = self.works
        jobs = {job.job_id: job for job in self._records()}
        attempts = self.snapshot[2]
        assert jobs.keys() >= set(self.ids), "an id was given out, and is not on record"
        check_memory(works, self._active())
        check_jobs(jobs.values(), attempts)
        check_room(works, attempts)
        check_engine(works, attempts)
        for job_id, before in self.before.items():
            if job_id in jobs:
                check_change(before, jobs[job_id], was_requeued=self.requeued)
            else:
                # A task that was about to start is again what it was: one of its array's rest.
                assert before.state is JobState.PENDING, f"{shown(before)}\nis gone"
                assert before.array_task_id != NO_TASK, f"{shown(before)}\nis gone"
        self.before, self.requeued = jobs, False
        self._explain_ends()
        self._check_against_model(list(jobs.values()))

    def _check_against_model(self, jobs: Sequence[Job]) -> None:
        found = {task.name: job for job in jobs for task in self.model.of_record(job)}
        assert found.keys() == self.model.tasks.keys(), "a task is lost, or there is one too many"
        assert len(found) == sum(len(self.model.of_record(job)) for job in jobs)
        for name, task in self.model.tasks.items():
            job = found[name]
            assert job.state is task.expected_state(), f"{task}\nis on record as\n{shown(job)}"
            assert job.restarts == task.restarts, f"{task}\nis on record as\n{shown(job)}"
            assert (job.hold is not Hold.NONE) == task.is_held, (
                f"{task}\nis on record as\n{shown(job)}"
            )
            assert (job.allocation is not None) == task.is_busy, (
                f"{task}\nis on record as\n{shown(job)}"
            )

    @invariant()
    def has_its_reasons(self) -> None:
        """What the record gives as a reason is so."""
        for job in self._active():
            if job.state is not JobState.PENDING or job.allocation is not None:
                continue
            tasks = self.model.of_record(job)
            if job.reason == Reason.DEPENDENCY:
                assert any(self._still_waits(job, each) for each in tasks), (
                    f"{shown(job)}\nsays Dependency, but nothing keeps\n{tasks}"
                )
            if job.reason == Reason.DEPENDENCY_NEVER_SATISFIED:
                assert any(self.model.is_hopeless(each, self.now) for each in tasks), (
                    f"{shown(job)}\nsays never, but there is hope for\n{tasks}"
                )
            if any(each.is_held for each in tasks):
                assert "held" in job.reason.lower(), f"{shown(job)}\nis held, and says {job.reason}"

    def _still_waits(self, job: Job, task: Task) -> bool:
        dependency = task.dependency
        assert dependency is not None
        if any(each.kind == "after" and each.delay_min for each in dependency.conditions):
            return True
        if any(each.kind == "singleton" for each in dependency.conditions):
            return any(
                each.label == task.label and each.name != task.name
                for each in self.model.tasks.values()
                if each.phase is not Phase.ENDED
            )
        return self.model.waits_for_others(task, self.now)

    # In the end.

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._drain()
        finally:
            self.works.close()
            self.directory.cleanup()

    def _drain(self) -> None:
        """Let everything go, and see that the queue drains."""
        self.works.database.mend()
        self.dies_at = ("", "")
        self.works.engine.is_prompt = True
        self.works.engine.read()
        self.works.clock.pass_by(10.0)
        control = self.works.worker.control
        for name in NODES:
            self._do((lambda name=name: control.update_node(name, ROOT, "RESUME", ""), _nothing))
        for job in self._active():
            self._let_go(job)
        for _ in range(60):
            self._run_scheduler()
            self._check_reasons()
            for unit in self.works.engine.startable():
                self.works.engine.start(unit.key)
            for unit in self.works.engine.running():
                if not unit.is_suspended:
                    self.works.engine.finish(unit.key)
            self._deliver_if(is_heard=True)
            self.holds()
            self.has_its_reasons()
            self.works.clock.pass_by(100.0)
            if not self.works.worker.queue.table.jobs:
                break
        left = self._active()
        for job in left:
            assert self._may_stay(job, left), (
                f"{shown(job)}\nis stuck; the model has\n{self._of(job)}"
            )
        assert not self.works.engine.units, "the engine keeps what is over"

    def _let_go(self, job: Job) -> None:
        control = self.works.worker.control
        ref = JobRef(job.array_job_id or job.job_id)
        tasks = self.model.of(ref.job_id)

        def released(_: object) -> None:
            for each in map(self._now, tasks):
                each.is_held = each.is_held and each.phase is Phase.ENDED

        def resumed(_: object) -> None:
            for each in map(self._now, tasks):
                each.is_suspended = False

        if job.hold is not Hold.NONE:
            self._do((lambda: control.release(ref, ROOT), released))
        if job.state is JobState.SUSPENDED:
            number = job.array_task_id
            one = ref if number == NO_TASK else JobRef(ref.job_id, TaskSet([number]))
            tasks = self.model.of(ref.job_id, None if number == NO_TASK else [number])
            self._do((lambda: control.resume(one, ROOT), resumed))

    def _of(self, job: Job) -> list[Task]:
        return self.model.of_record(job)

    def _check_reasons(self) -> None:
        """Whoever waits after a turn of the scheduler can say why."""
        scheduler = self.works.worker.scheduler
        if self.now < self.is_backed_off_until or self.works.worker.queue.is_stale:
            return
        for job in self.works.worker.queue.table:
            if job.state is JobState.PENDING and job.allocation is None:
                assert scheduler.reason(job) not in ("", Reason.NONE), (
                    f"{shown(job)}\nsays no reason"
                )

    def _may_stay(self, job: Job, left: Sequence[Job]) -> bool:
        if job.state is not JobState.PENDING or job.allocation is not None:
            return False
        if job.reason in STAYS:
            return True
        others = {
            name
            for each in left
            for name in (each.job_id, each.array_job_id)
            if each.job_id != job.job_id and name
        }
        conditions = job.dependency.conditions if job.dependency else ()
        return job.reason == Reason.DEPENDENCY and any(
            each.kind == "singleton" or each.job_id in others for each in conditions
        )


def _nothing(_: object) -> None:
    pass


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
)
TestQueue.pytestmark = [pytest.mark.timeout(600)]
_ = (DAY_S, Ended, Withdrawn)
