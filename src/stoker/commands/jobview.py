"""What a job shows: the values that squeue and scontrol print, derived from its record.

A view holds copies of whatever a turn may change, so that it can be rendered after the turn, and a
listing of a hundred thousand jobs delays nobody: making a view is cheap, reading it off is not.

Source: squeue(1), scontrol(1), and the recorded behaviour of Slurm.
"""

from __future__ import annotations

from copy import copy

from stoker.commands.foreseen import Room, nodes_foreseen
from stoker.commands.gpus import told_gres
from stoker.commands.scene import Scene
from stoker.core.enums import Hold, JobState, Reason
from stoker.core.models import NO_TASK, Allocation, Job
from stoker.core.units import (
    Condition,
    PatternFields,
    as_shown,
    compress_hosts,
    elapsed_between,
    format_memory,
    show_dependency,
    shown_pattern,
)
from stoker.scheduling.snapshot import Shape

_WAITING_FAILURES = frozenset(
    {
        JobState.PENDING,
        JobState.TIMEOUT,
        JobState.OUT_OF_MEMORY,
        JobState.DEADLINE,
        JobState.FAILED,
    }
)
"""States in which NODELIST(REASON) is the reason."""


class JobView:
    """One job, one task of an array, or what of an array has not started."""

    __slots__ = ("_shape", "expected_at", "job", "reason", "scene")

    def __init__(
        self, job: Job, scene: Scene, reason: str, expected_at: float | None = None
    ) -> None:
        """Show *job*, which nobody changes any more; *expected_at* is when it is to start."""
        self.job = job
        self.scene = scene
        self.reason = reason
        self.expected_at = expected_at
        self._shape: Shape | None = None

    def task(self, task: int) -> JobView:
        """Return the view of one waiting task of this array."""
        job = copy(self.job)
        job.array, job.array_task_id = None, task
        return JobView(job, self.scene, self.reason, self.expected_at)

    # Identity.

    @property
    def array_id(self) -> int:
        """Return the array's id, or the job's own."""
        return self.job.array_job_id or self.job.job_id

    @property
    def display_id(self) -> str:
        """Return the id as Slurm shows it; the last task that waits is shown as what it is."""
        job = self.job
        if job.array is not None and len(job.array) == 1:
            return f"{job.array_job_id}_{job.array.first}"
        return job.display_id

    @property
    def is_array_part(self) -> bool:
        """Whether the job is a task of an array, or its rest."""
        return self.job.array is not None or self.job.array_task_id != NO_TASK

    @property
    def tasks_text(self) -> str | None:
        """Return the task's number, or the waiting tasks with their limit; None outside arrays."""
        job = self.job
        if job.array is not None and len(job.array) == 1:
            return str(job.array.first)
        if job.array is not None:
            limit = f"%{job.array_limit}" if job.array_limit else ""
            return f"{job.array.format(self.scene.tasks_width_max)}{limit}"
        return None if job.array_task_id == NO_TASK else str(job.array_task_id)

    # States and reasons.

    @property
    def state(self) -> JobState:
        """Return the job's state."""
        return JobState.SPECIAL_EXIT if is_special(self.job) else self.job.state

    @property
    def priority(self) -> int:
        """Return the priority; a held job has none, nor has a suspended one."""
        has_none = self.job.hold is not Hold.NONE or self.job.state is JobState.SUSPENDED
        return 0 if has_none else self.job.priority

    @property
    def reason_word(self) -> str:
        """Return the reason as scontrol prints it, in one word."""
        return self.reason.replace(" ", "_")

    @property
    def nodes_or_reason(self) -> str:
        """Return where the job is, or in parentheses why it is nowhere."""
        if self.job.state in _WAITING_FAILURES:
            return f"({self.reason})"
        return self.node_list

    @property
    def dependency(self) -> str | None:
        """Return the open conditions with what is known of each; None if there are none."""
        never = self.reason == Reason.DEPENDENCY_NEVER_SATISFIED

        def word_of(condition: Condition) -> str:
            can_fail = condition.kind in ("afterok", "afternotok", "aftercorr")
            return "failed" if never and can_fail else "unfulfilled"

        return show_dependency(self.job.dependency, word_of) or None

    # Sizes.

    @property
    def shape(self) -> Shape:
        """Return what the job asks for."""
        if self._shape is None:
            self._shape = self.scene.shape_of(self.job)
        return self._shape

    @property
    def allocation(self) -> Allocation | None:
        """Return what the job holds or held."""
        return None if self.job.state is JobState.PENDING else self.job.allocation

    @property
    def node_list(self) -> str:
        """Return the nodes of the allocation as a host list; "" if there is none."""
        allocation = self.allocation
        return compress_hosts(allocation.nodes) if allocation else ""

    @property
    def batch_host(self) -> str | None:
        """Return the node on which the script runs or ran."""
        allocation = self.allocation
        return allocation.shares[0].node if allocation and allocation.shares else None

    @property
    def tasks(self) -> int:
        """Return the number of tasks."""
        return self.shape.tasks

    @property
    def cpus(self) -> int:
        """Return the CPUs that the job holds, or asks for."""
        allocation = self.allocation
        if allocation:
            return allocation.cpus
        shape, spec = self.shape, self.job.spec
        if not (spec.submit_line or spec.ntasks or spec.ntasks_per_node):
            # Nobody has counted a task for each node: recorded of slurmrestd.
            return shape.cpus_per_task
        return max(shape.tasks * shape.cpus_per_task, shape.nodes_min * shape.min_cpus_per_node)

    @property
    def node_count(self) -> int:
        """Return the nodes that the job holds, or on how many it will probably run."""
        allocation = self.allocation
        if allocation:
            return len(allocation.shares)
        scene, shape, job = self.scene, self.shape, self.job
        there = len(scene.node_names if shape.nodes is None else shape.nodes)
        room = Room(there, scene.node_cpus_max, scene.node_memory_mib)
        is_tried = job.hold is Hold.NONE
        return nodes_foreseen(shape, room, tasks=job.spec.ntasks or 0, is_tried=is_tried)

    @property
    def min_cpus(self) -> int:
        """Return the CPUs that each node must have."""
        shape = self.shape
        return max(shape.min_cpus_per_node, shape.cpus_per_task * (shape.tasks_per_node or 1))

    @property
    def min_memory_mib(self) -> int:
        """Return the memory asked for, per node or per CPU."""
        shape = self.shape
        if shape.memory_per_node_mib is not None:
            return shape.memory_per_node_mib
        return shape.memory_per_cpu_mib or 0

    @property
    def memory_mib(self) -> int:
        """Return the memory over all nodes that the job holds, or asks for."""
        allocation = self.allocation
        if allocation:
            return allocation.memory_mib
        shape = self.shape
        if shape.memory_per_node_mib is not None:
            # None at all is all that a node has.
            return (shape.memory_per_node_mib or self.scene.node_memory_mib) * shape.nodes_min
        return (shape.memory_per_cpu_mib or 0) * self.cpus

    @property
    def tres(self) -> str:
        """Return the trackable resources: ``cpu=2,mem=2G,node=1,billing=2``."""
        memory = format_memory(self.memory_mib)
        nodes = self.node_count if self.allocation else self.shape.nodes_min
        return f"cpu={self.cpus},mem={memory},node={nodes},billing={self.cpus}"

    @property
    def tres_per_node(self) -> str | None:
        """Return the generic resources of each node: ``gres:gpu:1``."""
        spec = self.job.spec
        if spec.tres_asked:
            return spec.tres_asked.get("TresPerNode")
        return told_gres(spec.gres) if spec.gres else None

    @property
    def qos(self) -> str:
        """Return the quality of service it runs under; "": there is none of that name."""
        return self.scene.qos_of(self.job)

    @property
    def oversubscribe(self) -> str:
        """Return whether the nodes may be shared: OK, NO or YES."""
        spec = self.job.spec
        return "NO" if spec.exclusive else "YES" if spec.oversubscribe else "OK"

    # Times.

    @property
    def elapsed_s(self) -> int:
        """Return for how long the job has run; time in suspension does not count."""
        job = self.job
        if job.state is JobState.PENDING or not job.start_at:
            return 0
        if job.state.has_ended:
            until = job.end_at
        elif job.state is JobState.SUSPENDED:
            until = job.suspended_at
        else:
            until = self.scene.now
        return elapsed_between(job.start_at, until, job.suspended_s)

    @property
    def left_s(self) -> float | None:
        """Return what is left of the time limit; None if there is none."""
        is_waiting = self.job.state is JobState.PENDING
        limit = self.limit_s if is_waiting else self.job.time_limit_s
        return None if limit is None else limit - self.elapsed_s

    @property
    def limit_s(self) -> float | None:
        """Return the time limit as Slurm shows it, in whole minutes; None if there is none."""
        return as_shown(self.job.time_limit_s)

    @property
    def start_at(self) -> float:
        """Return when the job started or, as far as can be told, will start; 0 if it cannot.

        What ended without having run began, as Slurm shows it, when it ended.
        """
        job = self.job
        if job.state is not JobState.PENDING:
            return job.start_at or (job.end_at if job.state.has_ended else 0.0)
        if self.expected_at is not None:
            return self.expected_at
        return job.begin_at if job.begin_at > self.scene.now else 0.0

    @property
    def end_at(self) -> float | None:
        """Return when the job ended or will have to end: 0 if unknown, None if it need not."""
        job = self.job
        if job.state.has_ended:
            return job.end_at
        start = self.start_at
        if not start:
            return 0.0
        return None if job.time_limit_s is None else start + job.time_limit_s + job.suspended_s

    @property
    def eligible_at(self) -> float:
        """Return since when, or from when on, the job may start; 0 if something keeps it back."""
        job = self.job
        if job.state is JobState.PENDING and job.begin_at > self.scene.now:
            return job.begin_at
        if self.reason == Reason.JOB_ARRAY_TASK_LIMIT or job.hold is not Hold.NONE:
            return 0.0
        if job.eligible_at:
            return job.eligible_at
        return 0.0 if self._is_kept_back else job.submit_at

    @property
    def accrue_at(self) -> float:
        """Return since when waiting counts for its priority; 0: it does not, or it never waited."""
        job = self.job
        if job.state is JobState.PENDING:
            if self._is_kept_back:
                return 0.0
            return job.eligible_at or max(job.submit_at, job.begin_at)
        if job.spec.interactive and int(job.start_at) == int(job.submit_at):
            return 0.0
        return job.eligible_at or job.submit_at

    @property
    def _is_kept_back(self) -> bool:
        """Whether a waiting job is held, or waits for other jobs."""
        job = self.job
        return job.state is JobState.PENDING and (
            job.hold is not Hold.NONE or job.dependency is not None
        )

    # Files.

    def path(self, pattern: str) -> str:
        """Return a file name with its letters filled in; "" stays as it is."""
        if not pattern:
            return ""
        job = self.job
        fields = PatternFields(
            job_id=job.job_id,
            array_job_id=job.array_job_id,
            array_task_id=None if job.array_task_id == NO_TASK else job.array_task_id,
            job_name=job.name,
            user_name=job.owner.user_name,
            node=self.batch_host or "",
        )
        path = shown_pattern(pattern, fields)
        return path if path.startswith("/") else f"{job.spec.work_dir.rstrip('/')}/{path}"

    @property
    def stdout(self) -> str:
        """Return where standard output goes."""
        default = "slurm-%A_%a.out" if self.is_array_part else "slurm-%j.out"
        return self.path(self.job.spec.stdout or default)

    @property
    def stderr(self) -> str:
        """Return where standard error goes: to its own file, or where standard output goes."""
        return self.path(self.job.spec.stderr) or self.stdout


def is_special(job: Job) -> bool:
    """Whether a job waits in the state SPECIAL_EXIT, which Slurm shows instead of PENDING."""
    return job.state is JobState.PENDING and job.hold is Hold.SPECIAL
