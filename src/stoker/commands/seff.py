"""seff: how well an ended job used what it held.

Source: seff of Slurm's contribs, as sites install it: its lines, in its order.
"""

from __future__ import annotations

from collections.abc import Iterator

from stoker.commands.accounting import Run, requests_of, runs_of
from stoker.commands.options import EarlyAnswer, Option, parse
from stoker.core.enums import JobState
from stoker.core.errors import UnknownJob
from stoker.core.units import JobRef, NotationError, format_duration, parse_job_ref
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller
from stoker.worker.history import HistoryQuery

OPTIONS = (
    Option("help", "h", help="show this help"),
    Option("debug", "d", "none", "say more", "meaningless"),
    Option("verbose", "v", "none", "say more", "meaningless"),
)

_NOT_FOUND = Answer(err="Job not found.\n", code=2)
_UNITS = ("MB", "GB", "TB")


def seff(call: Call, controller: Controller) -> Answer:
    """Answer seff."""
    try:
        asked = parse("seff", OPTIONS, call.argv)
        ref = parse_job_ref(asked.operands[0])
    except EarlyAnswer as early:
        return early.answer
    except IndexError:
        return Answer(err="Usage: seff [Options] <Jobid>\n", code=1)
    except NotationError:
        return _NOT_FOUND
    run = _last_run(ref, controller)
    if run is None:
        return _NOT_FOUND
    return Answer(out="".join(f"{line}\n" for line in _lines(run, controller)))


def _last_run(ref: JobRef, controller: Controller) -> Run | None:
    """Return the last run of the first job that *ref* names."""
    try:
        records = controller.history(HistoryQuery(refs=(ref,)))
    except UnknownJob:
        return None
    request_of = requests_of(controller)
    for record in records:
        *_, last = runs_of(record, request_of(record.job), controller.now(), controller.reason)
        return last
    return None


def _lines(run: Run, controller: Controller) -> Iterator[str]:
    line = run.line
    job, owner = line.job, line.job.owner
    yield f"Job ID: {job.job_id}"
    if job.array_job_id:
        yield f"Array Job ID: {job.display_id}"
    yield f"Cluster: {controller.cluster_name}"
    yield f"User/Group: {owner.user_name}/{owner.group_name}"
    yield f"State: {line.end.state}{_exit(run)}"
    if not line.has_run:
        yield f"Efficiency not available for jobs in the {line.end.state} state."
        return
    nodes = len(line.held.nodes)
    if line.cpus == 1:
        yield "Cores: 1"
    else:
        yield f"Nodes: {nodes}"
        yield f"Cores per node: {line.cpus // nodes}"
    yield from _efficiency(run)
    if line.end.state is JobState.RUNNING:
        yield "WARNING: Efficiency statistics may be misleading for RUNNING jobs."


def _exit(run: Run) -> str:
    end = run.line.end
    if not end.has_ended:
        return ""
    return f" (exit code {end.signal or end.code})"


def _efficiency(run: Run) -> Iterator[str]:
    line = run.line
    used_s = line.user_s + line.system_s
    held_s = line.span.elapsed_s * line.cpus
    yield f"CPU Utilized: {format_duration(used_s)}"
    yield (f"CPU Efficiency: {_share(used_s, held_s)} of {format_duration(held_s)} core-walltime")
    yield f"Job Wall-clock time: {format_duration(line.span.elapsed_s)}"
    memory = _memory_mib(run)
    yield f"Memory Utilized: {_size(memory)}"
    yield (
        f"Memory Efficiency: {_share(memory, line.held.memory_mib)} of "
        f"{_size(line.held.memory_mib)}"
    )


def _memory_mib(run: Run) -> float:
    """Return the peak of the hungriest step: each task may have been as large as the largest."""
    peaks = [step.usage.max_rss_kib * step.ntasks / 1024 for step in run.steps if step.usage]
    return max(peaks, default=0.0)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.2f}%"


def _size(mib: float) -> str:
    unit = 0
    while mib >= 1024 and unit < len(_UNITS) - 1:
        mib, unit = mib / 1024, unit + 1
    return f"{mib:.2f} {_UNITS[unit]}"
