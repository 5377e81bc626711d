"""Steps: what srun runs inside an allocation, task by task, and how it ended.

A step's tasks are units of the job's group, so that whatever ends the job ends them. A step keeps
CPUs of the allocation from other steps, unless it overlaps; what it keeps is read off the records
of the open steps. The batch script is no step here: it is the attempt's own process.

Not thread-safe: all of it happens in turns.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Final

from stoker.core.enums import JobState
from stoker.core.models import Job, Owner, Step, TaskEnd, Usage
from stoker.core.repository import Repository
from stoker.engines.base import (
    Ended,
    Engine,
    EngineEvent,
    Failed,
    Lost,
    Started,
    Unit,
    UnitKey,
    Withdrawn,
)
from stoker.worker.attempts import attempt_of
from stoker.worker.call import Attach
from stoker.worker.handed import Handed
from stoker.worker.outcomes import usage_of
from stoker.worker.queue import Turn
from stoker.worker.requests import StepRequest
from stoker.worker.stepoutputs import outputs_of
from stoker.worker.stepplaces import place_tasks
from stoker.worker.taskunits import TaskUnits, time_of

_ENDED_BY: Final = 15
"""The signal of tasks that ended, or never began, because their job did."""
_OWN_LIMIT: Final = "limit"
"""Why the engine ends the tasks of a step whose own time is over."""
_TOO_LARGE: Final = "memory"
"""Why the engine ends tasks whose job holds too much: root does, in Slurm's accounting."""
_ROOT: Final = 0
_TERMINALS: Final = ("/dev/pts/", "/dev/tty", "/dev/console")
_LOST_BY: Final = 9
"""The signal of tasks of which nobody knows the end."""


class _Book:
    """The steps of one job's present attempt: numbered from 0, by key, and those that are open."""

    __slots__ = ("by_key", "open", "steps")

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.open: dict[str, Step] = {}
        self.by_key: dict[str, Step] = {}

    def enter(self, step: Step) -> None:
        self.steps[step.step_id] = step
        if not step.end_at:
            self.open[step.step_id] = step
        if step.key:
            self.by_key[step.key] = step


_EMPTY: Final = _Book()


class StepKeeper:
    """The steps of running jobs."""

    def __init__(self, repository: Repository, engine: Engine, units: TaskUnits) -> None:
        """Keep steps in *repository*; run their tasks, as *units* describes them, on *engine*."""
        self._repository = repository
        self._engine = engine
        self._units = units
        self._books: dict[int, _Book] = {}
        self._descriptors: dict[int, tuple[Attach, Handed]] = {}
        self._handles = count(1)

    def load(self, jobs: Sequence[Job]) -> None:
        """Take in the steps of the present attempts of *jobs* from the record."""
        self._books.clear()
        attempts = {job.job_id: job.allocation.attempt for job in jobs if job.allocation}
        for step in self._repository.steps(list(attempts)):
            if step.attempt == attempts[step.job_id]:
                self._books.setdefault(step.job_id, _Book()).enter(step)

    # Descriptors of callers.

    def attach(self, request: Attach, descriptors: Handed) -> int:
        """Keep a caller's descriptors until a step takes them, or the job ends; give a handle."""
        handle = next(self._handles)
        self._descriptors[handle] = (request, descriptors)
        return handle

    def is_terminal(self, handle: int) -> bool:
        """Return whether a caller's standard output is a terminal.

        Of another user's descriptor only the name is looked at: to ask it may take its time.
        """
        if handle not in self._descriptors:
            return False
        number = self._descriptors[handle][1][1]
        if not self._units.are_shared:
            return os.isatty(number)
        return os.readlink(f"/proc/self/fd/{number}").startswith(_TERMINALS)  # noqa: PTH115

    def detach(self, handles: Sequence[int]) -> None:
        """Close descriptors that no step will take."""
        for handle in handles:
            if handle in self._descriptors:
                self._descriptors.pop(handle)[1].let_go()

    def _drop_descriptors(self, job_id: int) -> None:
        kept = self._descriptors.items()
        self.detach([handle for handle, (request, _) in kept if request.job_id == job_id])

    # Looking.

    def steps(self, job: Job) -> Sequence[Step]:
        """Return the steps of the job's present attempt, by number."""
        return sorted(self._book(job.job_id).steps.values(), key=lambda step: int(step.step_id))

    def step(self, job_id: int, step_id: str) -> Step | None:
        """Return a step of a job's present attempt."""
        return self._book(job_id).steps.get(step_id)

    def open_steps(self, job_id: int) -> Sequence[Step]:
        """Return the steps of the job's present attempt that have not ended."""
        return list(self._book(job_id).open.values())

    def ended_count(self, job_id: int) -> int:
        """Return how many steps of the job's present attempt have ended."""
        book = self._book(job_id)
        return len(book.steps) - len(book.open)

    def known(self, job: Job, key: str) -> Step | None:
        """Return the step that was asked for under this key, also if it has ended."""
        if not key:
            return None
        if job.state.has_ended:
            recorded = reversed(self._repository.steps([job.job_id]))
            return next((step for step in recorded if step.key == key), None)
        return self._book(job.job_id).by_key.get(key)

    def open_units(self) -> Iterator[str]:
        """Yield the keys of all tasks that have not ended."""
        for book in self._books.values():
            for step in book.open.values():
                ended = {end.task for end in step.ends}
                for task in range(step.ntasks):
                    if task not in ended:
                        yield _unit_key(step, task)

    def _book(self, job_id: int) -> _Book:
        return self._books.get(job_id, _EMPTY)

    # Starting.

    def create(self, turn: Turn, job: Job, request: StepRequest) -> Step | None:
        """Begin a step; None if its CPUs are busy with other steps.

        Raises:
            InvalidSpec: It can never fit into the allocation.
        """
        allocation = attempt_of(job)
        places = place_tasks(allocation.shares, request, self.open_steps(job.job_id))
        if places is None:
            return None
        book = self._books.setdefault(job.job_id, _Book())
        step = Step(
            job_id=job.job_id,
            attempt=allocation.attempt,
            step_id=str(len(book.steps)),
            name=request.name,
            state=JobState.RUNNING,
            start_at=turn.now,
            ntasks=request.ntasks,
            cpus=sum(map(len, places.cores)),
            nodes=places.nodes,
            tasks_per_node=places.tasks_per_node,
            key=request.key,
            time_limit_s=request.time_limit_s,
            cores=places.cores,
            layout=places.layout,
            overlaps=request.overlap,
            memory_mib=request.memory_mib,
            submit_line=request.submit_line,
        )
        self._launch(turn, job, step, request)
        book.enter(step)
        turn.touch_step(step)
        return step

    def _launch(self, turn: Turn, job: Job, step: Step, request: StepRequest) -> None:
        environment = b"\0".join(
            entry.encode("utf-8", "surrogateescape") for entry in request.environment
        )
        digest = turn.keep_content(environment)
        units = self._units.of_step(job, step, request, digest)
        descriptors = self._descriptors_of(units, request.descriptors)
        step.outputs = outputs_of(units, descriptors, may_look=not self._units.are_shared)
        turn.afterwards(lambda: self._send(units, descriptors, request.descriptors))

    def _descriptors_of(
        self, units: Sequence[Unit], handles: Sequence[int]
    ) -> dict[str, tuple[int, ...]]:
        """Return, by unit key, what becomes 0, 1 and 2 of each task."""
        found: dict[str, tuple[int, ...]] = {}
        for request, numbers in filter(None, map(self._descriptors.get, handles)):
            for task in range(*request.tasks):
                found[units[task].key] = request.of_task(task, numbers)
        return found

    def _send(
        self,
        units: Sequence[Unit],
        descriptors: Mapping[str, Sequence[int]],
        handles: Sequence[int],
    ) -> None:
        try:
            self._engine.launch(units, descriptors)
        finally:
            self.detach(handles)

    # Ending.

    def take(self, turn: Turn, job: Job, key: UnitKey, event: EngineEvent) -> None:
        """Record what became of a task."""
        step_id, _, task = key.step.partition(".")
        step = self.step(job.job_id, step_id)
        if step is None or step.end_at or any(end.task == int(task) for end in step.ends):
            return
        end = _task_end(int(task), event)
        if end is None:
            return
        step.ends = (*step.ends, end)
        if isinstance(event, Ended):
            step.usage = _sum(step.usage, usage_of(event.usage))
        turn.touch_step(step)
        turn.tell(job.job_id)
        if len(step.ends) == step.ntasks:
            self._end(turn, job, step, turn.now if not isinstance(event, Ended) else event.at)

    def _end(self, turn: Turn, job: Job, step: Step, at: float) -> None:
        del self._books[job.job_id].open[step.step_id]
        step.end_at = max(at, step.start_at)
        # A signal says it all; of exit codes the last counts here, and the worst for the job.
        telling = next((end for end in step.ends if end.signal), step.ends[-1])
        step.exit_code, step.exit_signal = telling.code, telling.signal
        if any(end.why == _TOO_LARGE for end in step.ends):
            step.ended_by = _ROOT
        if any(end.why == _OWN_LIMIT for end in step.ends):
            step.state = JobState.TIMEOUT
        elif telling.signal:
            step.state = JobState.CANCELLED
        else:
            step.state = JobState.FAILED if telling.code else JobState.COMPLETED
        worst = max(step.ends, key=_rank)
        job.derived_code, job.derived_signal = max(
            _rank(worst), (job.derived_code, job.derived_signal)
        )
        turn.touch(job)

    def end_all(self, turn: Turn, job: Job, at: float) -> None:
        """End the steps that a job leaves behind, and forget its steps: they are on record."""
        book = self._books.pop(job.job_id, None)
        for step in book.open.values() if book is not None else ():
            step.end_at = max(at, step.start_at)
            step.state = JobState.CANCELLED
            step.exit_signal = _ENDED_BY
            turn.touch_step(step)
        if self._descriptors:
            self._drop_descriptors(job.job_id)

    def signal(self, turn: Turn, step: Step, number: int) -> None:
        """Send a signal to every task of a step."""
        if number == signal.SIGTERM:
            self._note_ending(turn, step)
        for key in _unit_keys(step):
            turn.afterwards(partial(self._engine.signal_unit, key, number))

    def cancel(self, turn: Turn, step: Step, by: Owner) -> None:
        """Kill every task of a step, on behalf of somebody."""
        step.ended_by = by.user_id
        self._note_ending(turn, step)
        self.signal(turn, step, signal.SIGKILL)

    def _note_ending(self, turn: Turn, step: Step) -> None:
        """Have it known, to its srun as well, that a step was told to end."""
        step.is_ending = True
        turn.touch_step(step)
        turn.tell(step.job_id)

    def limit(self, turn: Turn, job: Job, step: Step, time_limit_s: float | None) -> None:
        """Change a step's time limit, counted from its start."""
        step.time_limit_s = time_limit_s
        turn.touch_step(step)
        self._keep_time(turn, job, step)

    def heed_limit(self, turn: Turn, job: Job) -> None:
        """Have steps end, and be warned, by the time limit that their job has now."""
        for step in self.open_steps(job.job_id):
            self._keep_time(turn, job, step)

    def _keep_time(self, turn: Turn, job: Job, step: Step) -> None:
        limit_s, _ = time_of(job, step)
        for key in _unit_keys(step):
            turn.afterwards(partial(self._engine.limit_unit, key, limit_s))


def _rank(end: TaskEnd) -> tuple[int, int]:
    """Order ends as Slurm does, by their wait status: a signal counts less than any exit code."""
    return end.code, end.signal


def _task_end(task: int, event: EngineEvent) -> TaskEnd | None:
    match event:
        case Ended(status_known=True):
            return TaskEnd(task, event.exit_code, event.signal, why=event.why or "")
        case Ended() | Lost():
            return TaskEnd(task, 0, _LOST_BY, message="its end was not seen")
        case Failed():
            return TaskEnd(task, event.errno, failed=True, message=event.step)
        case Withdrawn():
            return TaskEnd(task, 0, _ENDED_BY)
        case Started():
            return None


def _unit_key(step: Step, task: int) -> str:
    return str(UnitKey(step.job_id, step.attempt, f"{step.step_id}.{task}"))


def _unit_keys(step: Step) -> Iterator[str]:
    return (_unit_key(step, task) for task in range(step.ntasks))


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    pairs = {
        field: (getattr(one, field), getattr(other, field)) for field in Usage.__struct_fields__
    }
    return Usage(
        **{
            field: max(pair) if field.startswith("max_") else sum(pair)
            for field, pair in pairs.items()
        }
    )
