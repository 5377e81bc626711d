"""Accounting: from a job's record to the lines that sacct and seff speak of. Pure.

Each run of a job (an attempt, or the wait for the next one) is a line, each step of a run another,
the batch script among them. What a line says is decided here, in figures; `commands.sacct_fields`
puts it into words, `commands.endings` says how runs and steps end. Usage is the steps'; of a run
there is only the sum of the CPU times. There is no ``extern`` step, as on a cluster without
PrologFlags=Contain.

Source: sacct(1); the rest as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy

import msgspec

from stoker.commands.endings import (
    End,
    derived_end,
    end_of_batch,
    end_of_job,
    end_of_past_run,
    end_of_step,
)
from stoker.core.enums import JobState, Reason
from stoker.core.models import BATCH, NO_TASK, Allocation, Job, NodeShare, Step, Usage
from stoker.core.units import elapsed_between
from stoker.scheduling.snapshot import Shape
from stoker.worker.controller import Controller
from stoker.worker.history import Record

_NOTICED_S = 5.0
"""Within so many seconds slurmctld tells slurmdbd of what waits."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """What a job asks for in all, with defaults applied."""

    cpus: int
    nodes: int
    memory_mib: int
    gres: Mapping[str, int] = {}


class Holding(msgspec.Struct, frozen=True, gc=False):
    """What is or was held; nothing, if there are no nodes."""

    nodes: tuple[str, ...] = ()
    cpus: int = 0
    memory_mib: int = 0
    gres: Mapping[str, int] = {}


class Span(msgspec.Struct, frozen=True, gc=False):
    """Times in epoch seconds, 0 where there is none (yet); elapsed without what was suspended."""

    submit_at: float
    eligible_at: float
    start_at: float
    end_at: float
    suspended_s: float = 0.0
    elapsed_s: int = 0


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A run of a job, or a step of it: then ``step_id`` is not empty."""

    job: Job
    request: Request
    step_id: str = ""
    name: str
    end: End
    span: Span
    held: Holding = Holding()
    ntasks: int = 0
    derived: tuple[int, int] = (0, 0)
    user_s: float = 0.0
    system_s: float = 0.0
    usage: Usage | None = None
    reason: str = Reason.NONE
    submit_line: str = ""

    @property
    def is_step(self) -> bool:
        """Whether it is a step's line."""
        return bool(self.step_id)

    @property
    def has_run(self) -> bool:
        """Whether it holds or held anything."""
        return bool(self.held.nodes)

    @property
    def cpus(self) -> int:
        """Return the CPUs that are held, or asked for as long as none are."""
        return self.held.cpus if self.has_run else self.request.cpus

    def within(self, start_at: float, end_at: float) -> Line:
        """Return the line with its times cut to a window; what has not ended ends with it."""
        span = self.span
        if not span.start_at:
            return self
        start = max(span.start_at, start_at)
        end = min(span.end_at or end_at, end_at)
        elapsed = elapsed_between(start, end, span.suspended_s)
        cut = msgspec.structs.replace(span, start_at=start, end_at=end, elapsed_s=elapsed)
        return msgspec.structs.replace(self, span=cut)


class Run(msgspec.Struct, frozen=True, gc=False):
    """A run's line and those of its steps, the batch script first; when its record was made."""

    line: Line
    made_at: float
    steps: tuple[Line, ...] = ()


def requests_of(controller: Controller) -> Callable[[Job], Request]:
    """Return what says of a job what it asks for, on this machine's nodes."""
    node_memory = max((each.node.memory_mib for each in controller.nodes()), default=0)
    return lambda job: request_of(job, controller.shape(job), node_memory)


def request_of(job: Job, shape: Shape, node_memory_mib: int) -> Request:
    """Return what a job of that shape asks for in all; ``--mem=0`` is all of a node."""
    nodes = shape.nodes_min
    cpus = max(shape.tasks * shape.cpus_per_task, nodes * shape.min_cpus_per_node, job.spec.cpus)
    if shape.memory_per_node_mib is not None:
        memory = nodes * (shape.memory_per_node_mib or node_memory_mib)
    else:
        memory = cpus * (shape.memory_per_cpu_mib or 0)
    return Request(cpus, nodes, memory, {name: nodes * count for name, count in shape.gres})


def runs_of(
    record: Record, request: Request, now: float, reason_of: Callable[[Job], str]
) -> Iterator[Run]:
    """Return the runs of a record in order; the last one is how the job stands now.

    *reason_of* says why a job waits.
    """
    record = _snapshot(record)
    job = record.job
    submit_at = job.submit_at
    for attempt in record.attempts:
        if attempt.attempt < job.restarts and attempt.end_state is not JobState.PENDING:
            yield _past_run(record, request, attempt, submit_at)
            submit_at = attempt.released_at
    current = _current_attempt(record)
    if current is None:
        reason = reason_of(job) if job.state is JobState.PENDING else Reason.NONE
        yield _run_without_resources(job, request, submit_at, reason)
    else:
        yield _current_run(record, request, current, submit_at, now)


def order_of(run: Run) -> tuple[float, int, int, int]:
    """Return the key by which sacct sorts: when the record was made, then array and task, then id.

    That is when a job was submitted or requeued. A task of an array gets its record as it starts,
    and of those that wait Slurm takes notice a few seconds later.
    """
    job = run.line.job
    task = job.array_task_id if job.array is None else 1 << 32
    return run.made_at, job.array_job_id, task, job.job_id


def _snapshot(record: Record) -> Record:
    """Return a record that no turn changes any more: lines are read off after it."""
    if record.job.state.has_ended:
        return record
    job = copy(record.job)
    job.array = job.array.copy() if job.array is not None else None
    return msgspec.structs.replace(record, job=job)


def _current_attempt(record: Record) -> Allocation | None:
    """Return what the job runs on, or ran on last; a mere reservation does not count."""
    if record.job.state is JobState.PENDING:
        return None
    for attempt in record.attempts:
        if attempt.attempt == record.job.restarts and attempt.end_state is not JobState.PENDING:
            return attempt
    return None


def _run_without_resources(job: Job, request: Request, submit_at: float, reason: str) -> Run:
    """Return the run of a job that waits, or ended while it did."""
    eligible_at = job.eligible_at or (job.begin_at if not job.hold else 0.0)
    start_at = job.start_at
    if job.end_at and not eligible_at:
        start_at = job.end_at
    span = Span(submit_at, eligible_at, start_at, job.end_at)
    line = Line(
        job=job,
        request=request,
        name=job.name,
        end=end_of_job(job),
        span=span,
        reason=reason,
        submit_line=job.spec.submit_line,
    )
    return Run(line, _made_at(job, span, span.end_at))


def _past_run(record: Record, request: Request, attempt: Allocation, submit_at: float) -> Run:
    start_at = attempt.allocated_at or attempt.released_at
    span = Span(
        submit_at,
        submit_at,
        start_at,
        attempt.released_at,
        elapsed_s=elapsed_between(start_at, attempt.released_at),
    )
    return _run(record, request, attempt, span, end_of_past_run(attempt), attempt.released_at)


def _current_run(
    record: Record, request: Request, attempt: Allocation, submit_at: float, now: float
) -> Run:
    job = record.job
    start_at = job.start_at or job.end_at
    suspended_s = job.suspended_s + (now - job.suspended_at if job.suspended_at else 0.0)
    span = Span(
        submit_at,
        job.eligible_at or submit_at,
        start_at,
        job.end_at,
        suspended_s,
        elapsed_between(start_at, job.end_at or now, suspended_s),
    )
    return _run(record, request, attempt, span, end_of_job(job), now)


def _run(
    record: Record, request: Request, attempt: Allocation, span: Span, end: End, now: float
) -> Run:
    job = record.job
    numbered = [step for step in record.steps if step.attempt == attempt.attempt]
    steps = [_step_line(job, request, attempt, step, now) for step in numbered]
    if not job.spec.interactive:
        steps.insert(0, _batch_line(job, request, attempt, span, end))
    line = Line(
        job=job,
        request=request,
        name=job.name,
        end=end,
        span=span,
        held=_holding(attempt.shares),
        derived=derived_end(numbered),
        user_s=sum(step.user_s for step in steps),
        system_s=sum(step.system_s for step in steps),
        submit_line=job.spec.submit_line,
    )
    return Run(line, _made_at(job, span, attempt.reserved_at), tuple(steps))


def _made_at(job: Job, span: Span, left_at: float) -> float:
    """Return when the record of a run was made; *left_at* is when a task left its array."""
    if job.array is not None:
        return span.submit_at + _NOTICED_S
    return left_at or span.submit_at if job.array_task_id != NO_TASK else span.submit_at


def _batch_line(job: Job, request: Request, attempt: Allocation, span: Span, run: End) -> Line:
    """Return the line of the batch script, which runs on the first node."""
    usage = attempt.usage
    return Line(
        job=job,
        request=request,
        step_id=BATCH,
        name=BATCH,
        end=end_of_batch(attempt, run),
        span=msgspec.structs.replace(span, submit_at=span.start_at, eligible_at=span.start_at),
        held=_holding(attempt.shares[:1]),
        ntasks=1,
        user_s=usage.user_s if usage else 0.0,
        system_s=usage.system_s if usage else 0.0,
        usage=usage,
    )


def _step_line(job: Job, request: Request, attempt: Allocation, step: Step, now: float) -> Line:
    usage = step.usage
    shares = [share for share in attempt.shares if share.node in step.nodes] or attempt.shares
    held = _holding(shares)
    span = Span(
        step.start_at,
        step.start_at,
        step.start_at,
        step.end_at,
        elapsed_s=elapsed_between(step.start_at, step.end_at or now),
    )
    memory = held.memory_mib * step.cpus // held.cpus if held.cpus else held.memory_mib
    return Line(
        job=job,
        request=request,
        step_id=step.step_id,
        name=step.name,
        end=end_of_step(step, job.state),
        span=span,
        held=Holding(held.nodes, step.cpus, memory, held.gres),
        ntasks=step.ntasks,
        user_s=usage.user_s if usage else 0.0,
        system_s=usage.system_s if usage else 0.0,
        usage=usage,
        submit_line=step.submit_line,
    )


def _holding(shares: Sequence[NodeShare]) -> Holding:
    gres: dict[str, int] = {}
    for share in shares:
        for name, indices in share.gres.items():
            gres[name] = gres.get(name, 0) + len(indices)
    return Holding(
        tuple(share.node for share in shares),
        sum(len(share.cpus) for share in shares),
        sum(share.memory_mib for share in shares),
        gres,
    )
