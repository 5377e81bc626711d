"""What a queue must do, told in the plainest way: a dict of tasks, and what events make of them.

The model does not schedule. It is told what the daemon handed to the engine, says whether that was
allowed, and predicts everything else: states, attempts, holds, ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from errno import EAGAIN
from typing import Any

from stoker.core.enums import JobState
from stoker.core.models import NO_TASK, Job
from stoker.core.units import Condition, Dependency, TaskSet
from stoker.engines.base import Ended, EngineEvent, Failed, Lost, Started, Withdrawn

Name = tuple[int, int]
"""A job's id and ``NO_TASK``, or an array's id and one of its tasks."""


REQUEUES = frozenset({JobState.REQUEUED, JobState.REQUEUE_HOLD})


class Phase(Enum):
    """Waiting; handed to the engine; known to run; over."""

    WAITING = "waiting"
    SENT = "sent"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(repr=False)
class Task:
    """A job or a task of an array."""

    job_id: int
    task: int
    label: str
    may_requeue: bool = True
    dies_if_invalid: bool = False
    is_held: bool = False
    begin_at: float = 0.0
    deadline_at: float = 0.0
    time_limit_s: float | None = None
    limit: int = 0
    dependency: Dependency | None = None
    met: set[Condition] = field(default_factory=set)
    phase: Phase = Phase.WAITING
    key: str = ""
    wish: JobState | None = None
    is_suspended: bool = False
    restarts: int = 0
    start_at: float = 0.0
    end_at: float = 0.0
    state: JobState = JobState.PENDING

    def __repr__(self) -> str:
        plain = Task(0, NO_TASK, "")
        return f"task {self.name}: " + ", ".join(
            f"{key}={value!r}" for key, value in vars(self).items() if value != vars(plain)[key]
        )

    @property
    def name(self) -> Name:
        return self.job_id, self.task

    @property
    def is_busy(self) -> bool:
        """Whether the engine is to know it."""
        return self.phase in (Phase.SENT, Phase.RUNNING)

    @property
    def latest_start_at(self) -> float:
        """When it must start to end before its deadline, if it has one."""
        return self.deadline_at - (self.time_limit_s or 0.0)

    def hold(self, *, is_held: bool) -> None:
        if self.phase is not Phase.ENDED:
            self.is_held = is_held

    def suspend(self, *, is_suspended: bool) -> None:
        if self.phase is Phase.RUNNING and self.wish is None:
            self.is_suspended = is_suspended

    def update(self, field: str, value: Any) -> None:
        if self.phase is Phase.ENDED:
            return
        setattr(self, {"name": "label", "array_limit": "limit"}.get(field, field), value)
        if field == "dependency":
            self.met = set()

    def expected_state(self) -> JobState:
        """Return the state that the record has to show."""
        if self.phase is not Phase.RUNNING:
            return self.state
        if self.wish is not None:
            return JobState.COMPLETING
        return JobState.SUSPENDED if self.is_suspended else JobState.RUNNING


class QueueModel:
    """The tasks by name; *requeue_max* as in the settings."""

    def __init__(self, requeue_max: int) -> None:
        self.tasks: dict[Name, Task] = {}
        self._requeue_max = requeue_max

    # Looking.

    def of(self, job_id: int, tasks: Collection[int] | TaskSet | None = None) -> list[Task]:
        """Return what a reference names."""
        return [
            each
            for each in self.tasks.values()
            if each.job_id == job_id and (tasks is None or each.task in tasks)
        ]

    def of_record(self, job: Job) -> list[Task]:
        """Return the tasks that a record stands for."""
        if job.array is not None:
            return [self.tasks[job.array_job_id, task] for task in job.array]
        if job.array_task_id != NO_TASK:
            return [self.tasks[job.array_job_id, job.array_task_id]]
        return [self.tasks[job.job_id, NO_TASK]]

    def of_key(self, key: str) -> Task | None:
        """Return the task that a unit runs, or is to run."""
        return next(
            (each for each in self.tasks.values() if each.is_busy and each.key == key), None
        )

    # What happens.

    def cancel(self, task: Task, now: float) -> None:
        if task.phase is Phase.WAITING:
            self._end(task, JobState.CANCELLED, now)
        elif task.is_busy and (task.wish is None or task.wish in REQUEUES):
            task.wish = JobState.CANCELLED

    def requeue(self, task: Task, *, hold: bool) -> None:
        if task.phase is Phase.ENDED:
            self._run_again(task, hold=hold)
        elif task.is_busy and (task.wish is None or task.wish in REQUEUES):
            task.wish = JobState.REQUEUE_HOLD if hold else JobState.REQUEUED

    def fail(self, task: Task) -> None:
        """The node on which it runs, or is to run, was taken down."""
        if task.wish is None:
            task.wish = JobState.REQUEUED if task.may_requeue else JobState.NODE_FAIL

    def sent(self, task: Task, key: str, now: float) -> str | None:
        """The daemon handed it to the engine; return what forbids that."""
        trouble = self._obstacle(task, now)
        task.phase, task.key = Phase.SENT, key
        return trouble

    def take(self, event: EngineEvent, now: float) -> None:
        """The daemon has taken an event."""
        task = self.of_key(event.key)
        if task is None:
            return
        match event:
            case Started():
                if task.phase is Phase.SENT:
                    task.phase, task.start_at = Phase.RUNNING, event.at
            case Ended():
                self._ended(task, event)
            case Failed():
                if _will_pass(event) or task.wish is not None:
                    self.never_ran(task, now)
                else:
                    self._end(task, JobState.FAILED, event.at)
            case Withdrawn():
                self.never_ran(task, now)
            case Lost():
                self.lost(task, now)

    def never_ran(self, task: Task, now: float) -> None:
        """The engine gave it back, or has never heard of it."""
        if task.wish is None:
            task.phase = Phase.WAITING
        else:
            self._do_wish(task, now)

    def lost(self, task: Task, now: float) -> None:
        """It may have run, and nobody knows how it ended."""
        if task.wish is not None:
            self._do_wish(task, now)
        elif task.may_requeue:
            self._run_again(task, hold=task.restarts >= self._requeue_max)
        else:
            self._end(task, JobState.FAILED, now)

    def _ended(self, task: Task, event: Ended) -> None:
        if task.wish in REQUEUES:
            self._do_wish(task, event.at)
        elif event.oom:
            self._end(task, JobState.OUT_OF_MEMORY, event.at)
        elif task.wish is not None:
            self._do_wish(task, event.at)
        elif event.why == "timeout":
            self._end(task, JobState.TIMEOUT, event.at)
        elif event.exit_code or event.signal or not event.status_known:
            self._end(task, JobState.FAILED, event.at)
        else:
            self._end(task, JobState.COMPLETED, event.at)

    def _do_wish(self, task: Task, now: float) -> None:
        assert task.wish is not None
        if task.wish in REQUEUES:
            self._run_again(task, hold=task.wish is JobState.REQUEUE_HOLD)
        else:
            self._end(task, task.wish, now)

    def _run_again(self, task: Task, *, hold: bool) -> None:
        task.phase, task.state, task.wish = Phase.WAITING, JobState.PENDING, None
        task.start_at = task.end_at = 0.0
        task.is_suspended = False
        task.is_held = task.is_held or hold
        task.restarts += 1

    def _end(self, task: Task, state: JobState, at: float) -> None:
        task.phase, task.state, task.wish = Phase.ENDED, state, None
        task.end_at = max(at, 1.0)
        task.is_suspended = False

    def explain_end(self, task: Task, state: JobState, now: float) -> bool:
        """Whether a waiting task may have ended by itself; if so, it has."""
        is_late = task.deadline_at and task.latest_start_at <= now and state is JobState.DEADLINE
        is_invalid = (
            state is JobState.CANCELLED and task.dies_if_invalid and self.is_hopeless(task, now)
        )
        if task.phase is Phase.WAITING and (is_late or is_invalid):
            self._end(task, state, now)
            return True
        return False

    def explain_ending(self, task: Task, ending: JobState | None, now: float) -> None:
        """The record says that a running task is to end; note it if its deadline is the reason."""
        is_late = 0 < task.deadline_at <= now
        if task.is_busy and task.wish is None and ending is JobState.DEADLINE and is_late:
            task.wish = ending

    # What forbids a start.

    def _obstacle(self, task: Task, now: float) -> str | None:
        if task.phase is not Phase.WAITING:
            return f"it is {task.phase.value}"
        if task.is_held:
            return "it is held"
        if task.begin_at > now:
            return "its time has not come"
        if task.deadline_at and task.latest_start_at <= now:
            return "it cannot end before its deadline"
        if task.limit and task.limit <= sum(each.is_busy for each in self.of(task.job_id)):
            return f"its array has {task.limit} running already"
        if not self.is_let_go(task):
            return f"its dependency {task.dependency} is not met"
        return None

    def is_let_go(self, task: Task) -> bool:
        """Whether the dependency is met, or was at a time."""
        if task.dependency is None:
            return True
        found = [each in task.met for each in task.dependency.conditions]
        return any(found) if task.dependency.any_of else all(found)

    def note_met(self, now: float) -> None:
        """Remember which conditions hold: what was met once stays met."""
        for task in self.tasks.values():
            if task.phase is Phase.WAITING and task.dependency is not None:
                task.met |= {
                    each for each in task.dependency.conditions if self._holds(task, each, now)
                }

    def is_hopeless(self, task: Task, now: float) -> bool:
        """Whether the dependency can only be met if somebody requeues a job."""
        if task.dependency is None:
            return False
        found = [
            each not in task.met and self._fails(task, each, now)
            for each in task.dependency.conditions
        ]
        return all(found) if task.dependency.any_of else any(found)

    def still_waits(self, task: Task, now: float) -> bool:
        """Whether the dependency is not met just now, or may be said not to be for a while."""
        if task.dependency is None:
            return False
        found = [self._must_hold(task, each, now) for each in task.dependency.conditions]
        return not (any(found) if task.dependency.any_of else all(found))

    def _must_hold(self, task: Task, condition: Condition, now: float) -> bool:
        if condition.kind == "singleton":
            return all(
                each.phase is Phase.ENDED or each.name == task.name
                for each in self._namesakes(task)
            )
        return condition.delay_min == 0 and self._holds(task, condition, now)

    def _awaited(self, task: Task, condition: Condition) -> list[Task]:
        tasks = None if condition.task is None else [condition.task]
        found = self.of(condition.job_id, tasks)
        if condition.kind == "aftercorr":
            return [each for each in found if each.task in (NO_TASK, task.task)]
        return found

    def _holds(self, task: Task, condition: Condition, now: float) -> bool:
        if condition.kind == "singleton":
            return not any(each.is_busy for each in self._namesakes(task) if each.name != task.name)
        others = self._awaited(task, condition)
        if condition.kind == "after":
            return all(_has_begun(each, now - 60.0 * condition.delay_min) for each in others)
        return all(each.phase is Phase.ENDED for each in others) and not _spoilt(
            condition.kind, others
        )

    def _fails(self, task: Task, condition: Condition, now: float) -> bool:
        others = self._awaited(task, condition)
        return all(each.phase is Phase.ENDED for each in others) and _spoilt(condition.kind, others)

    def _namesakes(self, task: Task) -> Iterator[Task]:
        return (each for each in self.tasks.values() if each.label == task.label)


def _has_begun(task: Task, by: float) -> bool:
    if task.phase is Phase.ENDED:
        return (task.start_at or task.end_at) <= by
    return task.phase is Phase.RUNNING and task.start_at <= by


def _spoilt(kind: str, ended: Sequence[Task]) -> bool:
    if kind in ("afterok", "aftercorr"):
        return any(each.state is not JobState.COMPLETED for each in ended)
    if kind == "afternotok" and ended:
        return all(each.state is JobState.COMPLETED for each in ended)
    return False


def _will_pass(event: Failed) -> bool:
    return event.step in ("journal", "spool", "fork") or (
        event.step == "spawn" and event.errno == EAGAIN
    )
