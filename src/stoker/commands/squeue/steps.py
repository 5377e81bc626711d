"""squeue --steps: the steps of running jobs, the batch script among them.

Source: squeue(1) "--steps"; headings and values as recorded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from stoker.commands.formats import (
    Field,
    Layout,
    figure_whole_on_the_right,
    parse_long,
    parse_short,
    whole_on_the_right,
)
from stoker.commands.headings import clock_line
from stoker.commands.scene import Scene
from stoker.commands.squeue.request import STEP_FORMAT, Request
from stoker.commands.stepview import StepView, step_views
from stoker.core.enums import HOLDING
from stoker.core.errors import UnknownJob
from stoker.core.models import Job
from stoker.core.units import JobRef, format_elapsed
from stoker.worker.call import Answer
from stoker.worker.controller import Controller

StepField = Field[StepView]

_ID: Final = Field[StepView]("STEPID", lambda view: view.display_id)
_NAME: Final = Field[StepView]("NAME", lambda view: view.name)
_NODES: Final = Field[StepView]("NODELIST", lambda view: view.node_list, whole_on_the_right)
_PARTITION: Final = Field[StepView]("PARTITION", lambda view: view.job.partition)
_START: Final = Field[StepView]("START_TIME", lambda view: view.scene.time(view.start_at))
_STATE: Final = Field[StepView]("STATE", lambda view: view.state)
_TASKS: Final = Field[StepView]("TASKS", lambda view: str(view.tasks))
_TIME: Final = Field[StepView](
    "TIME", lambda view: format_elapsed(view.elapsed_s), figure_whole_on_the_right
)
_TIME_LIMIT: Final = Field[StepView](
    "TIME_LIMIT", lambda view: format_elapsed(view.time_limit_s), figure_whole_on_the_right
)
_TRES_PER_JOB: Final = Field[StepView]("TRES_PER_JOB", lambda _: None)
_USER: Final = Field[StepView]("USER", lambda view: view.job.owner.user_name)
_USER_ID: Final = Field[StepView]("UID", lambda view: str(view.job.owner.user_id))

BY_LETTER: Mapping[str, StepField] = MappingProxyType(
    {
        "A": _TASKS,
        "b": _TRES_PER_JOB,
        "i": _ID,
        "j": _NAME,
        "l": _TIME_LIMIT,
        "M": _TIME,
        "N": _NODES,
        "P": _PARTITION,
        "S": _START,
        "u": _USER,
        "U": _USER_ID,
    }
)
EVERY_LETTER: Final = "%b|%i|%j|%l|%u|%A|%M|%N|%P|%S|%U|"

BY_NAME: Mapping[str, StepField] = MappingProxyType(
    {
        "arrayjobid": Field("ARRAY_JOB_ID", lambda view: str(view.array_id)),
        "arraytaskid": Field("ARRAY_TASK_ID", lambda view: view.task_text),
        "cluster": Field("CLUSTER", lambda view: view.scene.cluster),
        "container": Field("CONTAINER", lambda _: None),
        "jobid": Field("JOBID", lambda view: str(view.job.job_id)),
        "network": Field("NETWORK", lambda _: None),
        "nodes": _NODES,
        "numcpus": Field("CPUS", lambda view: str(view.cpus)),
        "numtasks": _TASKS,
        "partition": _PARTITION,
        "resvports": Field("RESERVED_PORTS", lambda _: None),
        "starttime": _START,
        "stepid": _ID,
        "stepname": _NAME,
        "stepstate": _STATE,
        "timelimit": _TIME_LIMIT,
        "timeused": _TIME,
        "tres-per-job": _TRES_PER_JOB,
        "userid": _USER_ID,
        "username": _USER,
    }
)


def list_steps(request: Request, scene: Scene, controller: Controller, above: str) -> Answer:
    """List the steps that are running now."""
    layout = _layout(request)
    errors = [
        f"squeue: error: Invalid job step format specification: {word}\n" for word in layout.unknown
    ]
    if request.has_date:
        above += clock_line(scene.now, scene.zone)
    views = _views(request, scene, controller)
    if request.parameters:
        above = f"{request.parameters}{above}"
        above += f"last_update_time={int(scene.now)} records={len(views)}\n"
    if request.has_heading:
        above += layout.heading()
    rows = itertools.chain([above], layout.chunks(views))
    return Answer(out="".join(rows), err="".join(errors))


def _layout(request: Request) -> Layout[StepView]:
    if request.long_format is not None:
        return parse_long(request.long_format, BY_NAME)
    text = request.short_format
    return parse_short(STEP_FORMAT if text is None else text, BY_LETTER, EVERY_LETTER)


def _views(request: Request, scene: Scene, controller: Controller) -> list[StepView]:
    found = []
    for job in _jobs(request, controller):
        steps = step_views(job, scene, controller)
        found += [view for view in steps if _is_asked_for(view, request.step_refs)]
    found.sort(key=lambda view: (view.job.partition, view.order))
    return found


def _jobs(request: Request, controller: Controller) -> Iterator[Job]:
    names = request.words.get("partition")
    for job in _candidates(request.refs, controller):
        is_his = request.users is None or bool(
            {job.owner.user_name, str(job.owner.user_id)} & {*request.users}
        )
        if job.state in HOLDING and is_his and (names is None or job.partition in names):
            yield job


def _candidates(refs: Sequence[JobRef] | None, controller: Controller) -> Iterable[Job]:
    if refs is None:
        return controller.active_jobs()
    found: dict[int, Job] = {}
    for ref in refs:
        try:
            jobs = controller.find(JobRef(ref.job_id))
        except UnknownJob:
            continue
        found |= {
            job.job_id: job for job in jobs if ref.tasks is None or job.array_task_id in ref.tasks
        }
    return found.values()


def _is_asked_for(view: StepView, refs: Sequence[JobRef] | None) -> bool:
    if refs is None:
        return True
    return any(
        ref.job_id in (view.job.job_id, view.job.array_job_id)
        and (ref.tasks is None or view.job.array_task_id in ref.tasks)
        and ref.step in ("", view.step_id)
        for ref in refs
    )
