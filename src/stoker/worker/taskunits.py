"""From a step to what the engine runs for each of its tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from stoker.core.hardware import Detected
from stoker.core.models import Allocation, Job, NodeShare, Step
from stoker.core.units import expand_pattern
from stoker.engines.base import Recipe, Unit, UnitKey, Warn
from stoker.worker.admission import Admission
from stoker.worker.attempts import attempt_of
from stoker.worker.environment import TASK_PID, step_variables
from stoker.worker.launching import cores_of, memory_check_s, pattern_fields, warnings_of
from stoker.worker.requests import StepRequest

_BEHIND_S: Final = 10.0
"""How far behind the end of a job the limit of a step is that is only to be warned of it."""


class TaskUnits:
    """Describes the tasks of steps to the engine."""

    def __init__(self, admission: Admission, detected: Detected, home: Path) -> None:
        """Tasks find their way back to the Stoker at *home*."""
        self._admission = admission
        self._machine = admission.machine
        self._detected = detected
        self._home = home

    @property
    def are_shared(self) -> bool:
        """Whether they are run for many users, whose files are theirs to look at."""
        return self._admission.settings.shared

    def of_step(
        self, job: Job, step: Step, request: StepRequest, environment_key: str
    ) -> list[Unit]:
        """Return the units of all tasks, by number."""
        recipe = self._recipe(job, step, request, environment_key)
        units = [self._of_task(job, step, request, recipe, task) for task in range(step.ntasks)]
        return list(_sharing(units))

    def _recipe(self, job: Job, step: Step, request: StepRequest, environment_key: str) -> Recipe:
        """Return what all tasks of a step have in common."""
        limit_s, warnings = time_of(job, step)
        return Recipe(
            leads=False,
            argv=request.argv,
            executable=None,
            search_path=True,
            search_cwd=True,
            environment_key=environment_key,
            cwd=request.work_dir,
            umask=request.umask,
            open_mode="append" if request.open_mode.startswith("a") else "truncate",
            nice=0,
            rlimits=request.rlimits,
            time_limit_s=limit_s,
            kill_wait_s=self._admission.settings.kill_wait_s,
            warnings=warnings,
            memory_mib=attempt_of(job).memory_mib or None,
            memory_check_s=memory_check_s(self._admission.settings, job.spec),
            notices={},
            pid_variable=TASK_PID,
        )

    def _of_task(
        self, job: Job, step: Step, request: StepRequest, recipe: Recipe, task: int
    ) -> Unit:
        allocation = attempt_of(job)
        key = UnitKey(step.job_id, step.attempt, f"{step.step_id}.{task}")
        if request.programs:
            recipe = msgspec.structs.replace(recipe, argv=request.programs[task])
        return Unit(
            key=str(key),
            user_id=job.owner.user_id,
            group=key.group,
            token=allocation.token,
            recipe=recipe,
            environment=self._variables(job, allocation, step, request, task),
            stdin=_stream(request, request.stdin, 0, job, step, task),
            stdout=_stream(request, request.stdout, 1, job, step, task),
            stderr=(
                None
                if request.stderr is None
                else _stream(request, request.stderr, 2, job, step, task)
            ),
            cpus=self._cores(allocation, step, step.node_of(task)),
        )

    def _variables(
        self, job: Job, allocation: Allocation, step: Step, request: StepRequest, task: int
    ) -> Mapping[str, str | None]:
        return step_variables(
            job,
            allocation,
            self._admission.shape(job),
            step,
            task,
            machine=self._machine,
            cluster_name=self._admission.settings.cluster_name,
            host=self._detected.host,
            home=str(self._home),
            umask=request.umask,
            cpus_per_task=request.cpus_per_task if request.cpus_per_task > 1 else None,
            name=request.name if request.is_named else None,
        )

    def _cores(self, allocation: Allocation, step: Step, node: str) -> Sequence[int] | None:
        shares: list[NodeShare] = [
            msgspec.structs.replace(share, cpus=step.cores_on(node) or share.cpus)
            for share in allocation.shares
            if share.node == node
        ]
        return cores_of(shares, self._machine, self._detected)


def time_of(job: Job, step: Step) -> tuple[float | None, Sequence[Warn]]:
    """Return after how long a step is to end by itself, and what it is sent before.

    The job's own limit is kept by its leader, or by the scheduler, and may change; a limit that is
    not shorter ends nothing before it. Of a job without a leader the steps are warned of its end,
    and so have a limit just behind it.
    """
    own, jobs = step.time_limit_s, job.time_limit_s
    if jobs is None or (own is not None and own < jobs):
        return own, ()
    warnings = warnings_of(job) if job.spec.interactive else ()
    if not warnings:
        return None, ()
    elapsed_s = step.start_at - job.start_at - job.suspended_s if job.start_at else 0.0
    return jobs - elapsed_s + _BEHIND_S, [
        msgspec.structs.replace(each, before_end_s=each.before_end_s + _BEHIND_S)
        for each in warnings
    ]


def _sharing(units: Sequence[Unit]) -> Iterator[Unit]:
    """Yield the units; who opens a file of an earlier one adds to it."""
    opened: set[str] = set()
    for unit in units:
        paths = {path for path in (unit.stdout, unit.stderr) if isinstance(path, str)}
        yield _appending(unit) if opened & paths else unit
        opened |= paths


def _appending(unit: Unit) -> Unit:
    recipe = msgspec.structs.replace(unit.recipe, open_mode="append")
    return msgspec.structs.replace(unit, recipe=recipe)


def _stream(
    request: StepRequest, pattern: str, descriptor: int, job: Job, step: Step, task: int
) -> str | Mapping[str, int]:
    if not pattern:
        is_served = request.lone_tasks[descriptor] in (None, task)
        return {"fd": descriptor} if is_served else os.devnull
    node = step.node_of(task)
    fields = pattern_fields(job, node, step=step.step_id, task=task)
    return expand_pattern(pattern, fields)
