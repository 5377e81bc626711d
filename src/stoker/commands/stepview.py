"""What a step shows: the values that squeue and scontrol print of the script and of each srun.

The batch script has no record of its own: it is read off the job.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from stoker.commands.scene import Scene
from stoker.core.enums import HOLDING, JobState
from stoker.core.models import BATCH, NO_TASK, Job, Step
from stoker.core.units import JobRef, compress_hosts, elapsed_between
from stoker.worker.controller import Controller


class StepView(msgspec.Struct, frozen=True):
    """One running step of one job; without a ``step`` it is the batch script."""

    job: Job
    scene: Scene
    step: Step | None
    memory_per_cpu_mib: int

    @property
    def step_id(self) -> str:
        """Return ``batch`` or the step's number."""
        return self.step.step_id if self.step else BATCH

    @property
    def order(self) -> tuple[int, int, int]:
        """Return what steps are sorted by: job, task, number; the script comes last."""
        number = int(self.step_id) if self.step_id.isdecimal() else 1 << 32
        return (self.array_id, self.job.array_task_id, number)

    @property
    def array_id(self) -> int:
        """Return the array's id, or the job's own."""
        return self.job.array_job_id or self.job.job_id

    @property
    def task_text(self) -> str:
        """Return the number of the array's task, or N/A."""
        return "N/A" if self.job.array_task_id == NO_TASK else str(self.job.array_task_id)

    @property
    def display_id(self) -> str:
        """Return the id as Slurm shows it: ``13.0``, ``8_1.batch``."""
        return f"{self.job.display_id}.{self.step_id}"

    @property
    def name(self) -> str:
        """Return the step's name."""
        return self.step.name if self.step else BATCH

    @property
    def state(self) -> str:
        """Return the step's state."""
        return self.step.state.value if self.step else JobState.RUNNING.value

    @property
    def start_at(self) -> float:
        """Return when the step started."""
        return self.step.start_at if self.step else self.job.start_at

    @property
    def elapsed_s(self) -> int:
        """Return for how long the step has run; its job's time in suspension does not count."""
        job = self.job
        until = job.suspended_at if job.state is JobState.SUSPENDED else self.scene.now
        return elapsed_between(self.start_at, until, job.suspended_s)

    @property
    def time_limit_s(self) -> float | None:
        """Return the step's own limit; None if there is none."""
        return self.step.time_limit_s if self.step else None

    @property
    def tasks(self) -> int:
        """Return the number of tasks."""
        return self.step.ntasks if self.step else 1

    @property
    def cpus(self) -> int:
        """Return the CPUs that the step keeps from others: the script keeps none."""
        return self.step.cpus if self.step else 0

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the nodes that the step runs on."""
        if self.step:
            return self.step.nodes
        return self.job.allocation.nodes[:1] if self.job.allocation else ()

    @property
    def node_list(self) -> str:
        """Return the nodes as a host list."""
        return compress_hosts(self.nodes)


def step_views(job: Job, scene: Scene, controller: Controller) -> list[StepView]:
    """Return the running steps of a job, the script first."""
    if job.state not in HOLDING:
        return []
    allocation = job.allocation
    per_cpu = allocation.memory_mib // max(1, allocation.cpus) if allocation else 0
    script = [] if job.spec.interactive else [None]
    numbered = [step for step in controller.steps.of(job) if not step.state.has_ended]
    return [StepView(job, scene, step, per_cpu) for step in [*script, *numbered]]


def steps_of(refs: Iterable[JobRef], scene: Scene, controller: Controller) -> list[StepView]:
    """Return the running steps that *refs* name; without a step, all of the job.

    Raises:
        UnknownJob: There is no such job.
    """
    found = []
    for ref in refs:
        for job in controller.find(JobRef(ref.job_id, ref.tasks)):
            views = step_views(job, scene, controller)
            found += [view for view in views if ref.step in ("", view.step_id)]
    return found
