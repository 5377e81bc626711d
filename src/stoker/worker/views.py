"""Jobs, attempts, steps and nodes as typed requests show them. Pure: records in, views out."""

from __future__ import annotations

import os.path
from collections.abc import Sequence

from stoker.core.enums import Hold, JobState
from stoker.core.messages import AttemptView, JobDetail, JobView, NodeView, StepView
from stoker.core.models import BATCH, NO_TASK, Allocation, Job, Step
from stoker.core.units import PatternFields, expand_pattern, format_dependency
from stoker.scheduling.snapshot import Shape
from stoker.worker.controller import NodeStatus
from stoker.worker.history import Record
from stoker.worker.launching import pattern_fields

_HOLDERS = {Hold.NONE: "", Hold.USER: "user", Hold.ADMIN: "admin", Hold.SPECIAL: "user"}


def job_view(job: Job, part: Allocation | Shape, reason: str, now: float) -> JobView:
    """Return a job as a list shows it.

    Args:
        job: The record.
        part: What it holds or held last; of a job that never ran what it asks for.
        reason: Why it waits, or what ended it.
        now: Until when a job that runs has run, in epoch seconds.
    """
    if isinstance(part, Allocation):
        cpus, memory_mib = part.cpus, part.memory_mib
        nodes = () if job.state is JobState.PENDING else part.nodes
    else:
        cpus, memory_mib, nodes = _cpus_wanted(part), _memory_wanted_mib(part), ()
    return JobView(
        id=job.display_id,
        job_id=job.job_id,
        array_job_id=job.array_job_id or None,
        array_task_id=None if job.array_task_id == NO_TASK else job.array_task_id,
        tasks=1 if job.array is None else len(job.array),
        name=job.name,
        user=job.owner.user_name,
        partition=job.partition,
        state=job.state,
        reason=reason,
        cpus=cpus,
        memory_mib=memory_mib,
        nodes=nodes,
        time_limit_s=job.time_limit_s,
        submit_at=job.submit_at,
        start_at=job.start_at or None,
        end_at=job.end_at or None,
        elapsed_s=_elapsed_s(job, now),
        exit_code=f"{job.exit_code}:{job.exit_signal}",
        message=job.message,
    )


def job_detail(record: Record, view: JobView, expected_start_at: float | None) -> JobDetail:
    """Return all there is to know of a job."""
    job, spec = record.job, record.job.spec
    stdin, stdout, stderr = _paths(job, record.attempts)
    return JobDetail(
        job=view,
        command=spec.command,
        argv=spec.argv,
        work_dir=spec.work_dir,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        comment=spec.comment,
        dependency="" if job.dependency is None else format_dependency(job.dependency),
        priority=job.priority,
        restarts=job.restarts,
        may_requeue=job.requeue and not job.spec.interactive,
        held_by=_HOLDERS[job.hold],
        begin_at=job.begin_at or None,
        eligible_at=job.eligible_at or None,
        expected_start_at=expected_start_at,
        submit_line=spec.submit_line,
        attempts=tuple(map(_attempt_view, record.attempts)),
        steps=tuple(map(_step_view, record.steps)),
    )


def node_view(status: NodeStatus) -> NodeView:
    """Return a node and what of it is in use."""
    return NodeView(
        name=status.node.name,
        state=status.state,
        cpus=status.node.cpus,
        allocated_cpus=status.allocated_cpus,
        memory_mib=status.node.memory_mib,
        allocated_memory_mib=status.allocated_memory_mib,
        free_memory_mib=status.free_memory_mib,
        load=status.load,
        reason=status.reason,
    )


def _cpus_wanted(shape: Shape) -> int:
    return max(shape.tasks * shape.cpus_per_task, shape.nodes_min * shape.min_cpus_per_node)


def _memory_wanted_mib(shape: Shape) -> int:
    if shape.memory_per_node_mib is not None:
        return shape.memory_per_node_mib * shape.nodes_min
    return (shape.memory_per_cpu_mib or 0) * _cpus_wanted(shape)


def _elapsed_s(job: Job, now: float) -> float:
    if not job.start_at or job.state is JobState.PENDING:
        return 0.0
    until = job.end_at or (job.suspended_at if job.state is JobState.SUSPENDED else now)
    return max(0.0, until - job.start_at - job.suspended_s)


def _paths(job: Job, attempts: Sequence[Allocation]) -> tuple[str, str, str]:
    """Return where the job reads and writes.

    ``%N`` of a job that never ran stays as it is, and so do the patterns of tasks that wait
    together: each has files of its own.
    """
    node = attempts[-1].nodes[0] if attempts else "%N"
    fields = None if job.array is not None else pattern_fields(job, node, step=BATCH)
    stdin, stdout, stderr = (
        _path(job.spec.work_dir, pattern, fields)
        for pattern in (job.spec.stdin, job.spec.stdout, job.spec.stderr)
    )
    return stdin, stdout, stderr or stdout


def _path(work_dir: str, pattern: str, fields: PatternFields | None) -> str:
    if not pattern:
        return ""
    name = pattern if fields is None else expand_pattern(pattern, fields)
    return os.path.join(work_dir, name)  # noqa: PTH118 - not a path of ours


def _attempt_view(allocation: Allocation) -> AttemptView:
    usage = allocation.usage
    return AttemptView(
        attempt=allocation.attempt,
        state=allocation.state,
        cores={share.node: share.cpus for share in allocation.shares},
        memory_mib=allocation.memory_mib,
        reserved_at=allocation.reserved_at,
        start_at=allocation.allocated_at or None,
        end_at=allocation.released_at or None,
        pid=allocation.pid or None,
        end_state=allocation.end_state,
        exit_code=f"{allocation.exit_code}:{allocation.exit_signal}",
        user_s=usage.user_s if usage else 0.0,
        system_s=usage.system_s if usage else 0.0,
        max_rss_kib=usage.max_rss_kib if usage else 0,
    )


def _step_view(step: Step) -> StepView:
    return StepView(
        id=f"{step.job_id}.{step.step_id}",
        name=step.name,
        state=step.state,
        tasks=step.ntasks,
        cpus=step.cpus,
        start_at=step.start_at,
        end_at=step.end_at or None,
        exit_code=f"{step.exit_code}:{step.exit_signal}",
    )
