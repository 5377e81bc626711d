"""What srun tells with ``-v``: its allocation, where its tasks start, and how each of them ended.

Source: recorded behaviour of srun -v.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from stoker.commands.taskends import ranges, tasks_named
from stoker.core.models import Job, Step, TaskEnd
from stoker.core.units import compress_hosts


def allocation_note(job: Job) -> str:
    """Return the nodes of a job that srun made, and how many CPUs it has on each."""
    assert job.allocation is not None, f"job {job.job_id} does not run"
    shares = job.allocation.shares
    runs = itertools.groupby(len(share.cpus) for share in shares)
    counts = ",".join(f"{count}(x{len([*run])})" for count, run in runs)
    names = compress_hosts(job.allocation.nodes)
    return f"srun: jobid {job.job_id}: nodes({len(shares)}):`{names}', cpu counts: {counts}\n"


def launch_notes(step: Step) -> str:
    """Return on which node which tasks start."""
    return "".join(f"srun: {line}\n" for line in _launch_lines(step))


def _launch_lines(step: Step) -> Iterator[str]:
    yield "launch/slurm: launch_p_step_launch: CpuBindType=(null type)"
    # A plane may leave nodes without a task.
    tasks_of = {
        node: tasks for number, node in enumerate(step.nodes) if (tasks := step.tasks_on(number))
    }
    for node, tasks in tasks_of.items():
        listed = f"{tasks[0]}" if len(tasks) == 1 else f"[{ranges(tasks)}]"
        yield f"launching {_name(step)} on host {node}, {len(tasks)} tasks: {listed}"
    for node, tasks in tasks_of.items():
        yield f"launch/slurm: _task_start: Node {node}, {len(tasks)} tasks started"


def end_notes(step: Step, ends: Sequence[TaskEnd]) -> str:
    """Return for each node with which status its tasks ended; the bad ones are told elsewhere."""
    return "".join(f"srun: launch/slurm: _task_finish: {line}\n" for line in _end_lines(step, ends))


def _end_lines(step: Step, ends: Iterable[TaskEnd]) -> Iterator[str]:
    found: dict[tuple[str, int], list[int]] = {}
    for end in ends:
        status = end.signal or end.code << 8
        found.setdefault((step.node_of(end.task), status), []).append(end.task)
    for (node, status), tasks in found.items():
        many = "task" if len(tasks) == 1 else "tasks"
        yield (
            f"Received task exit notification for {len(tasks)} {many} of {_name(step)} "
            f"(status=0x{status:04x})."
        )
        if not status:
            yield f"{node}: {tasks_named(tasks)}: Completed"


def _name(step: Step) -> str:
    return f"StepId={step.job_id}.{step.step_id}"
