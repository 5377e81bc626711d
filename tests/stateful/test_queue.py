"""A whole worker, driven in any order beside a dict: submit, change, run, fail, die, come back.

Rules do what users, the engine, time and bad luck do. After each, `QueueDriver.check` says what
always holds and what the model has to say. In the end everything is let go, and the queue drains.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from errno import EACCES, EAGAIN, ENOSPC
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stoker.core.models import NO_TASK, Job
from stoker.core.units import JobRef, TaskSet, parse_dependency
from support.fake_engine import FakeUnit
from support.postgres import PostgresServer
from support.queue_driver import Deed, QueueDriver
from support.queue_model import Phase, Task
from support.works import ALICE, NODES, ROOT, Killed, disk_full, records_at, submission

RAM = Path("/dev/shm")
NOBODYS_ID = 9999

ARRAYS = st.sampled_from([None, None, None, "0-2", "0-4%1", "1-5%2", "0-9"])
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
REFUSALS = st.sampled_from(
    [("exec", EACCES), ("fork", EAGAIN), ("journal", ENOSPC), ("stdout", EACCES)]
)
KINDS = ("afterany", "afterok", "afternotok", "after", "aftercorr", "singleton")
LUCK = st.sampled_from([False, False, True])
CALLS = ("launch", "acknowledge", "end", "withdraw", "suspend", "resume", "limit")


class QueueMachine(RuleBasedStateMachine):
    said: Mapping[str, Any] = {}
    """Settings of the daemon."""

    def __init__(self) -> None:
        super().__init__()
        # Thousands of lines about what was meant to go wrong would take longer than the test.
        logging.disable()
        self.directory = tempfile.TemporaryDirectory(dir=RAM if RAM.is_dir() else None)
        self.driver = QueueDriver(Path(self.directory.name), **self.said)
        self.works, self.engine = self.driver.works, self.driver.works.engine

    # What users ask for: each draws what it needs, and returns the deed.

    def _submission(self, data: st.DataObject) -> Deed:
        array = data.draw(ARRAYS, "array")
        said: dict[str, Any] = {"name": data.draw(st.sampled_from("abc"), "name")}
        if data.draw(LUCK, "is special"):
            said |= data.draw(SHAPES, "shape")
            said["requeue"] = data.draw(st.booleans(), "requeue")
            said["hold"] = data.draw(LUCK, "hold")
            said["begin_at"] = data.draw(st.sampled_from([0.0, self.driver.now + 100]), "begin")
            deadline = st.sampled_from([0.0, 0.0, self.driver.now + 5000])
            said["deadline_at"] = data.draw(deadline, "deadline")
        if data.draw(LUCK, "depends"):
            said["dependency"] = self._dependency(data, is_array=array is not None)
            said["kill_on_invalid_dependency"] = data.draw(st.booleans(), "kill")
        return self._submit(array, said)

    def _submit(self, array: str | None, said: dict[str, Any]) -> Deed:
        asked = submission(array=array, **said)

        def effect(job: Job) -> None:
            ids = self.driver.ids
            assert job.job_id > max(ids, default=0), f"id {job.job_id} is given after {ids}"
            ids.append(job.job_id)
            for number in asked.array.tasks if asked.array else [NO_TASK]:
                task = Task(
                    job.job_id,
                    number,
                    asked.spec.name,
                    may_requeue=asked.spec.requeue is not False,
                    dies_if_invalid=bool(asked.spec.kill_on_invalid_dependency),
                    is_held=asked.hold,
                    begin_at=asked.begin_at,
                    deadline_at=asked.spec.deadline_at,
                    time_limit_s=job.time_limit_s,
                    limit=asked.array.limit if asked.array else 0,
                    dependency=asked.dependency,
                )
                self.driver.model.tasks[task.name] = task

        return lambda: self.works.worker.control.submit(asked), effect

    def _dependency(self, data: st.DataObject, *, is_array: bool) -> str:
        words = []
        for _ in range(data.draw(st.sampled_from([1, 1, 2]), "conditions")):
            kind = data.draw(st.sampled_from(KINDS), "kind")
            if kind == "singleton" and not is_array:
                words.append(kind)
                continue
            if kind in ("singleton", "aftercorr") and not is_array:
                kind = "afterany"
            if kind == "singleton":
                kind = "aftercorr"
            on = data.draw(st.sampled_from([*self.driver.ids[-5:], NOBODYS_ID]), "on")
            word = f"{kind}:{on}"
            tasks = [each.task for each in self.driver.model.of(on) if each.task != NO_TASK]
            if tasks and kind != "aftercorr" and data.draw(st.booleans(), "one task"):
                word += f"_{data.draw(st.sampled_from(tasks), 'task')}"
            if kind == "after" and data.draw(st.booleans(), "delayed"):
                word += "+1"
            words.append(word)
        return data.draw(st.sampled_from(",?"), "and/or").join(words)

    def _ref(self, data: st.DataObject) -> tuple[JobRef, list[Task]]:
        """Draw a job, mostly one that has not ended, or some tasks of one."""
        model, ids = self.driver.model, self.driver.ids
        active = [
            job_id
            for job_id in ids
            if any(each.phase is not Phase.ENDED for each in model.of(job_id))
        ]
        job_id = data.draw(st.sampled_from([*active[-8:], *ids[-2:]]), "job")
        numbers = [each.task for each in model.of(job_id)]
        if NO_TASK in numbers or data.draw(st.booleans(), "whole"):
            return JobRef(job_id), model.of(job_id)
        some = data.draw(st.sets(st.sampled_from(numbers), min_size=1, max_size=2), "tasks")
        return JobRef(job_id, TaskSet(some)), model.of(job_id, sorted(some))

    def _to_each(self, tasks: list[Task], change: Callable[[Task], None]) -> Callable[[Any], None]:
        def effect(_: object) -> None:
            for task in map(self.driver.current, tasks):
                change(task)

        return effect

    def _cancel(self, data: st.DataObject) -> Deed:
        ref, tasks = self._ref(data)
        effect = self._to_each(tasks, lambda each: self.driver.model.cancel(each, self.driver.now))
        return lambda: self.works.worker.control.cancel(ref, ALICE), effect

    def _hold(self, data: st.DataObject) -> Deed:
        ref, tasks = self._ref(data)
        effect = self._to_each(tasks, lambda each: each.hold(is_held=True))
        return lambda: self.works.worker.control.hold(ref, ALICE), effect

    def _release(self, data: st.DataObject) -> Deed:
        ref, tasks = self._ref(data)
        effect = self._to_each(tasks, lambda each: each.hold(is_held=False))
        return lambda: self.works.worker.control.release(ref, ALICE), effect

    def _requeue(self, data: st.DataObject) -> Deed:
        ref, tasks = self._ref(data)
        hold = data.draw(st.booleans(), "hold")
        self.driver.was_requeued = True

        def effect(_: object) -> None:
            named = [self.driver.current(each) for each in tasks]
            for task in [each for each in named if each.phase is not Phase.ENDED] or named:
                if task.may_requeue:
                    self.driver.model.requeue(task, hold=hold)

        return lambda: self.works.worker.control.requeue(ref, ALICE, hold=hold), effect

    def _suspend(self, data: st.DataObject) -> Deed:
        ref, tasks = self._ref(data)
        effect = self._to_each(tasks, lambda each: each.suspend(is_suspended=True))
        return lambda: self.works.worker.control.suspend(ref, ROOT), effect

    def _resume(self, data: st.DataObject) -> Deed:
        ref, tasks = self._ref(data)
        effect = self._to_each(tasks, lambda each: each.suspend(is_suspended=False))
        return lambda: self.works.worker.control.resume(ref, ROOT), effect

    def _update(self, data: st.DataObject) -> Deed:
        ref, tasks = self._ref(data)
        values: dict[str, Callable[[], Any]] = {
            "name": lambda: data.draw(st.sampled_from("abc"), "name"),
            "time_limit_s": lambda: data.draw(st.sampled_from([None, 60.0, 7200.0]), "limit"),
            "priority": lambda: data.draw(st.sampled_from([1, 100, 2**32]), "priority"),
            "partition": lambda: data.draw(
                st.sampled_from(["debug", "small", "nowhere"]), "partition"
            ),
            "array_limit": lambda: data.draw(st.sampled_from([0, 1, 3]), "array limit"),
            "begin_at": lambda: self.driver.now + data.draw(st.sampled_from([-1, 100]), "in"),
            "dependency": lambda: parse_dependency(
                self._dependency(data, is_array=tasks[0].task != NO_TASK)
            ),
        }
        field = data.draw(st.sampled_from(sorted(values)), "field")
        value = values[field]()
        effect = self._to_each(tasks, lambda each: each.update(field, value))
        return lambda: self.works.worker.control.update(ref, ROOT, {field: value}), effect

    @property
    def changes(self) -> list[Callable[[st.DataObject], Deed]]:
        return [
            self._cancel,
            self._hold,
            self._release,
            self._requeue,
            self._requeue,
            self._suspend,
            self._resume,
            self._update,
            self._update,
        ]

    # Users.

    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        self.driver.do(self._submission(data))

    @rule(count=st.integers(2, 12))
    def submit_many(self, count: int) -> None:
        self.driver.do(*[self._submit(None, {"name": "a"})] * count)

    @precondition(lambda self: self.driver.ids)
    @rule(data=st.data())
    def change(self, data: st.DataObject) -> None:
        self.driver.do(data.draw(st.sampled_from(self.changes), "what")(data))

    @precondition(lambda self: self.driver.ids)
    @rule(data=st.data(), count=st.integers(2, 3))
    def do_together(self, data: st.DataObject, count: int) -> None:
        """Several calls share one turn."""
        kinds = [self._submission, *self.changes]
        self.driver.do(*[data.draw(st.sampled_from(kinds), "what")(data) for _ in range(count)])

    @rule(name=st.sampled_from(NODES), state=st.sampled_from(["DRAIN", "DOWN", "RESUME"]))
    def set_node(self, name: str, state: str) -> None:
        self.driver.do(self.driver.node(name, state))

    # The engine.

    @rule()
    def schedule(self) -> None:
        self.driver.schedule()

    def _startable(self) -> list[FakeUnit]:
        if not self.engine.startable():
            self.driver.schedule()
        return self.engine.startable()

    @rule(count=st.integers(1, 8), is_heard=st.booleans())
    def start(self, count: int, is_heard: bool) -> None:
        for unit in self._startable()[:count]:
            self.engine.start(unit.key)
        self.driver.deliver(None if is_heard else 0)

    @rule(pick=st.integers(0, 9), count=st.integers(1, 4), end=ENDS, is_heard=st.booleans())
    def end(self, pick: int, count: int, end: dict[str, Any], is_heard: bool) -> None:
        running = self.engine.running()
        for unit in running[pick % (len(running) or 1) :][:count]:
            self.engine.finish(unit.key, **end)
        self.driver.deliver(None if is_heard else 0)

    @rule(count=st.integers(1, 6))
    def run_quickly(self, count: int) -> None:
        """Jobs that take no time teach the daemon to hand others over in advance."""
        for _ in range(count):
            for unit in self._startable()[:1]:
                self.engine.start(unit.key)
                self.engine.finish(unit.key)
        self.driver.deliver()

    @rule(count=st.integers(1, 3))
    def deliver(self, count: int) -> None:
        self.driver.deliver(count)

    @rule(data=st.data(), pick=st.integers(0, 9))
    def trouble(self, data: st.DataObject, pick: int) -> None:
        """A unit cannot be started, or is lost; the shepherd is slow; the connection breaks."""
        kind = data.draw(st.sampled_from(["refuse", "lose", "slow", "reconnect"]), "trouble")
        if kind == "slow":
            self.engine.is_prompt = not self.engine.is_prompt
            self.engine.read()
        elif kind == "reconnect":
            self.driver.reconnect(pick % 3)
        elif kind == "refuse" and (units := self._startable()):
            self.engine.refuse(units[pick % len(units)].key, *data.draw(REFUSALS, "how"))
            self.driver.deliver()
        elif kind == "lose" and (
            units := [each for each in self.engine.units.values() if each.end is None]
        ):
            self.engine.lose(units[pick % len(units)].key)

    # Time, bad luck, death.

    @rule(seconds=st.sampled_from([0.02, 1.0, 61.0, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.works.clock.pass_by(seconds)

    @rule(data=st.data(), count=st.integers(0, 2))
    def bad_luck(self, data: st.DataObject, count: int) -> None:
        """The daemon dies now, in a transaction to come, or about to ask; or the disk is full."""
        kind = data.draw(st.sampled_from(["dies", "commit", "engine", "disk"]), "bad luck")
        if kind == "dies":
            self.driver.restart(count)
        elif kind == "commit":
            is_after = data.draw(st.booleans(), "after")
            self.works.database.fail(Killed, **{"after" if is_after else "before": count + 1})
        elif kind == "engine":
            when = data.draw(st.sampled_from(["before", "after"]), "when")
            self.driver.dies_at = (data.draw(st.sampled_from(CALLS), "call"), when)
        else:
            self.works.database.fail(disk_full, before=count + 1)

    # What must hold, and in the end.

    @invariant()
    def holds(self) -> None:
        self.driver.check()

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.driver.drain()
        finally:
            self.driver.close()
            self.directory.cleanup()
            logging.disable(logging.NOTSET)


class OrderMachine(QueueMachine):
    """Who is old or small goes first, and how old counts only up to a time."""

    said = {  # noqa: RUF012 - as the class above has it
        "priority_type": "multifactor",
        "priority_weight_age": 1000,
        "priority_weight_job_size": 500,
        "priority_favor_small": True,
        "priority_max_age": "0:90",
    }

    @rule()
    def work_out_use(self) -> None:
        self.driver.work_out_use()


class ServerMachine(QueueMachine):
    """The records are on a server: of what was recorded there nothing may depend on its order."""

    server: ClassVar[PostgresServer]

    @property
    def said(self) -> Mapping[str, Any]:
        return {"repository": records_at(self.server.new_url())}


@pytest.fixture(scope="module")
def records_server(postgres: PostgresServer) -> None:
    """Let the machine have the server."""
    ServerMachine.server = postgres


def case_of(machine: type[QueueMachine], examples: int) -> Any:
    """Return the machine's test; half a minute, and the same one each time.

    The profile "long" goes where nobody has been.
    """
    case = machine.TestCase
    case.settings = settings(suppress_health_check=list(HealthCheck))
    case.pytestmark = [pytest.mark.timeout(0)]
    if os.environ.get("HYPOTHESIS_PROFILE") != "long":
        case.settings = settings(
            case.settings, max_examples=examples, stateful_step_count=50, derandomize=True
        )
        case.pytestmark = [pytest.mark.timeout(600)]
    return case


TestQueue = case_of(QueueMachine, 120)
TestOrder = case_of(OrderMachine, 40)
TestServer = case_of(ServerMachine, 8)
TestServer.pytestmark.append(pytest.mark.usefixtures("records_server"))
