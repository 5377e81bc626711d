"""scontrol listpids: the processes of running jobs, and which of them are tasks.

The script's come first, then those of the steps, the latest first; of each the tasks themselves
come before what they have started.

Source: scontrol(1) "listpids"; the wording as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from stoker.commands.scontrol.words import Line, failure
from stoker.core.enums import HOLDING
from stoker.core.errors import UnknownJob
from stoker.core.models import BATCH, Job
from stoker.core.units import JobRef, NotationError, parse_job_ref
from stoker.worker.call import Answer
from stoker.worker.stepdesk import TaskSample

_HEADING = f"{'PID':<8} {'JOBID':<8} {'STEPID':<8} {'LOCALID':<7} GLOBALID"


def list_processes(line: Line, words: Sequence[str]) -> Answer:
    """List the processes of all running jobs, of one, or of a step, maybe on one node alone."""
    node = words[1] if len(words) > 1 else ""
    if not words or words[0].startswith("*"):
        jobs = [job for job in line.controller.active_jobs() if job.state in HOLDING]
        if not jobs:
            return _nothing("No job steps exist on this node.")
        return _listed(chain.from_iterable(_rows(line, job, "", node) for job in jobs))
    try:
        ref = parse_job_ref(words[0])
        found = line.controller.find(JobRef(ref.job_id, ref.tasks))
    except NotationError:
        return failure(f'"{words[0]}" does not look like a jobid')
    except UnknownJob:
        found = ()
    running = [job for job in found if job.state in HOLDING]
    rows = [row for job in running for row in _rows(line, job, ref.step, node)]
    if rows:
        return _listed(rows)
    return _nothing(_nothing_of(line, words[0], ref, node))


def _nothing(why: str) -> Answer:
    return Answer(out=f"{_HEADING}\n", err=f"{why}\n", code=1)


def _nothing_of(line: Line, word: str, ref: JobRef, node: str) -> str:
    """Return what is said of a job, or a step, that has no processes; where none has, so."""
    where = f"on node {node or '(null)'}."
    if ref.step:
        return f"StepId={word} does not exist {where}"
    if any(job.state in HOLDING for job in line.controller.active_jobs()):
        return f"There are no steps for job {word} {where}"
    return f"JobId={word} does not exist {where}"


def _listed(rows: Iterable[str]) -> Answer:
    return Answer(out="".join(f"{row}\n" for row in (_HEADING, *rows)))


def _rows(line: Line, job: Job, step_id: str, node: str) -> Iterator[str]:
    """Yield the rows of a job's processes, or of one step's."""
    samples = line.controller.steps.samples(job)
    if step_id in ("", BATCH):
        yield from _rows_of_script(job, samples.get(BATCH, ()), node)
    for step in reversed(line.controller.steps.of(job)):
        if step.end_at or step_id not in ("", step.step_id):
            continue
        own: list[str] = []
        others: list[str] = []
        for sample in samples.get(step.step_id, ()):
            if not 0 <= sample.task < step.ntasks or node not in ("", step.node_of(sample.task)):
                continue
            local = step.tasks_on(step.node_id_of(sample.task)).index(sample.task)
            task, *rest = sample.pids
            own.append(_row(task, job, step.step_id, str(local), str(sample.task)))
            others += [_row(pid, job, step.step_id) for pid in rest]
        yield from (*own, *others)


def _rows_of_script(job: Job, samples: Iterable[TaskSample], node: str) -> Iterator[str]:
    """Yield the rows of a batch job's script, and of what it has started outside of steps."""
    held = job.allocation
    if held is None or not held.pid or node not in ("", held.nodes[0]):
        return
    yield _row(held.pid, job, BATCH, "0", "0")
    for pid in sorted(pid for sample in samples for pid in sample.pids if pid != held.pid):
        yield _row(pid, job, BATCH)


def _row(pid: int, job: Job, step_id: str, local: str = "-", task: str = "-") -> str:
    return f"{pid:<8} {job.job_id:<8} {step_id:<8} {local:<7} {task:<8}"
