"""Steps: what srun runs inside an allocation, task by task, and how it ended.

A step's tasks are units of the job's group, so that whatever ends the job ends them. A step keeps
CPUs of the allocation from other steps, unless it overlaps; what it keeps is read off the records
of the open steps. The batch script is no step here: it is the attempt's own process.

Not thread-safe: all of it happens in turns.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count

import msgspec

from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec
from stoker.core.models import Allocation, Job, Step, TaskEnd, Usage
from stoker.core.repository import Repository
from stoker.engines.base import Ended, Engine, EngineEvent, Failed, Unit, UnitKey
from stoker.worker.controller import StepRequest
from stoker.worker.outcomes import usage_of
from stoker.worker.queue import Turn
from stoker.worker.taskunits import TaskUnits

_FINAL_SIGNAL = 15
_FATAL_OFFSET = 128


class StepKeeper:
    """The open steps of running jobs."""

    def __init__(self, repository: Repository, engine: Engine, units: TaskUnits) -> None:
        """Keep steps in *repository*; run their tasks, as *units* describes them, on *engine*."""
        self._repository = repository
        self._engine = engine
        self._units = units
        self._steps: dict[int, dict[str, Step]] = {}
        self._descriptors: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._handles = count(1)

    def load(self, jobs: Sequence[Job]) -> None:
        """Take in the steps of the present attempts of *jobs* from the record."""
        self._steps.clear()
        attempts = {job.job_id: job.allocation.attempt for job in jobs if job.allocation}
        for step in self._repository.steps(list(attempts)):
            if step.attempt == attempts[step.job_id]:
                self._steps.setdefault(step.job_id, {})[step.step_id] = step

    # Descriptors of callers.

    def attach(self, job_id: int, descriptors: Sequence[int]) -> int:
        """Keep a caller's descriptors until a step takes them, or the job ends; give a handle."""
        handle = next(self._handles)
        self._descriptors[handle] = (job_id, tuple(descriptors))
        return handle

    def _drop_descriptors(self, job_id: int) -> None:
        for handle, (owner, descriptors) in list(self._descriptors.items()):
            if owner == job_id:
                del self._descriptors[handle]
                _close(descriptors)

    # Looking.

    def steps(self, job: Job) -> Sequence[Step]:
        """Return the steps of the job's present attempt, by number."""
        return sorted(self._steps.get(job.job_id, {}).values(), key=lambda step: int(step.step_id))

    def step(self, job_id: int, step_id: str) -> Step | None:
        """Return a step of a job's present attempt."""
        return self._steps.get(job_id, {}).get(step_id)

    def ended_count(self, job_id: int) -> int:
        """Return how many steps of the job's present attempt have ended."""
        return sum(1 for step in self._steps.get(job_id, {}).values() if step.end_at)

    # Starting.

    def create(self, turn: Turn, job: Job, request: StepRequest) -> Step | None:
        """Begin a step; None if its CPUs are busy with other steps.

        Raises:
            InvalidSpec: It can never fit into the allocation.
        """
        allocation = _allocation(job)
        placed = self._place(job, allocation, request)
        if placed is None:
            return None
        per_node, cpus = placed
        number = max((int(each) for each in self._steps.get(job.job_id, {})), default=-1) + 1
        step = Step(
            job_id=job.job_id,
            attempt=allocation.attempt,
            step_id=str(number),
            name=request.name,
            state=JobState.RUNNING,
            start_at=turn.now,
            ntasks=request.ntasks,
            cpus=cpus,
            nodes=tuple(per_node),
            tasks_per_node=tuple(per_node.values()),
        )
        self._steps.setdefault(job.job_id, {})[step.step_id] = step
        turn.touch_step(step)
        self._launch(turn, job, step, request)
        return step

    def _launch(self, turn: Turn, job: Job, step: Step, request: StepRequest) -> None:
        environment = b"\0".join(
            entry.encode("utf-8", "surrogateescape") for entry in request.environment
        )
        digest = turn.keep_content(environment)
        units = self._units.of_step(job, step, request, digest)
        _, descriptors = self._descriptors.pop(request.descriptors, (0, ()))
        turn.afterwards(lambda: self._send(units, descriptors))

    def _send(self, units: Sequence[Unit], descriptors: tuple[int, ...]) -> None:
        try:
            self._engine.launch(units, {unit.key: descriptors for unit in units if descriptors})
        finally:
            _close(descriptors)

    def _place(
        self, job: Job, allocation: Allocation, request: StepRequest
    ) -> tuple[Mapping[str, int], int] | None:
        """Return the tasks by node and the CPUs that the step keeps; None if they are busy."""
        wanted = request.ntasks * request.cpus_per_task
        if wanted > allocation.cpus and not request.overlap:
            raise InvalidSpec(
                "More processors requested than permitted", "ESLURM_TOO_MANY_REQUESTED_CPUS"
            )
        if request.nodes is not None and request.nodes > len(allocation.shares):
            raise InvalidSpec(
                f"Only allocated {len(allocation.shares)} nodes asked for {request.nodes}",
                "ESLURM_INVALID_NODE_COUNT",
            )
        kept = wanted if request.exact else allocation.cpus
        free = allocation.cpus - sum(
            step.cpus for step in self._steps.get(job.job_id, {}).values() if not step.end_at
        )
        if request.overlap:
            kept = 0
        elif kept > free:
            return None
        return _spread(allocation, request), kept

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
        if len(step.ends) == step.ntasks:
            self._end(turn, job, step, turn.now if not isinstance(event, Ended) else event.at)

    def _end(self, turn: Turn, job: Job, step: Step, at: float) -> None:
        last = step.ends[-1]
        step.end_at = max(at, step.start_at)
        step.exit_code, step.exit_signal = last.code, last.signal
        worst = max(step.ends, key=_severity)
        if worst.signal:
            step.state = JobState.CANCELLED
        else:
            step.state = JobState.FAILED if worst.code else JobState.COMPLETED
        _derive(job, worst)
        turn.touch(job)
        turn.tell(job)

    def end_all(self, turn: Turn, job: Job, at: float) -> None:
        """End the steps that a job leaves behind, and forget its steps: they are on record."""
        for step in self._steps.pop(job.job_id, {}).values():
            if not step.end_at:
                step.end_at = max(at, step.start_at)
                step.state = JobState.CANCELLED
                step.exit_signal = _FINAL_SIGNAL
                turn.touch_step(step)
        self._drop_descriptors(job.job_id)

    def signal(self, turn: Turn, step: Step, number: int) -> None:
        """Send a signal to every task of a step."""
        for task in range(step.ntasks):
            key = str(UnitKey(step.job_id, step.attempt, f"{step.step_id}.{task}"))
            turn.afterwards(lambda key=key: self._engine.signal_unit(key, number))  # type: ignore[misc]


def worst_code(step: Step) -> int:
    """Return srun's exit code: the highest of all tasks, where a signal counts 128 and more."""
    return max((_severity(end) for end in step.ends), default=0)


def _severity(end: TaskEnd) -> int:
    return _FATAL_OFFSET + end.signal if end.signal else end.code


def _derive(job: Job, worst: TaskEnd) -> None:
    """Keep the highest exit code of all steps."""
    if (worst.code, worst.signal) > (job.derived_code, job.derived_signal):
        job.derived_code, job.derived_signal = worst.code, worst.signal


def _spread(allocation: Allocation, request: StepRequest) -> Mapping[str, int]:
    """Return tasks by node: one for each node first, then filled up in the nodes' order."""
    shares = allocation.shares[: request.nodes or len(allocation.shares)]
    shares = shares[: max(1, request.ntasks)]
    per_node = {share.node: 1 for share in shares}
    room = {share.node: len(share.cpus) // request.cpus_per_task for share in shares}
    left = request.ntasks - len(per_node)
    for node in per_node:
        more = min(left, max(0, room[node] - 1))
        per_node[node] += more
        left -= more
    per_node[next(iter(per_node))] += left
    return per_node


def _task_end(task: int, event: EngineEvent) -> TaskEnd | None:
    if isinstance(event, Ended):
        return TaskEnd(task, event.exit_code, event.signal)
    if isinstance(event, Failed):
        return TaskEnd(task, event.errno, failed=True, message=event.step)
    return None


def _sum(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    totals = {
        field: getattr(one, field) + getattr(other, field)
        for field in msgspec.structs.asdict(one)
        if field != "max_rss_kib"
    }
    return Usage(**totals, max_rss_kib=max(one.max_rss_kib, other.max_rss_kib))


def _allocation(job: Job) -> Allocation:
    assert job.allocation is not None, f"job {job.job_id} runs without an allocation"
    return job.allocation


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        with suppress(OSError):
            os.close(descriptor)
