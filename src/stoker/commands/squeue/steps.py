"""squeue --steps: the steps of running jobs, the batch script among them.

Source: squeue(1) "--steps"; headings and values as recorded.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from types import MappingProxyType
from typing import Final

from stoker.commands.columns import in_chunks
from stoker.commands.everyjob import LONG
from stoker.commands.formats import (
    ROWS_PER_CHUNK,
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
    heading = layout.heading() if request.has_heading else ""

    def head(count: int) -> str:
        if not request.parameters:
            return above + heading
        loaded = f"last_update_time={int(scene.now)} records={count}\n"
        return f"{request.parameters}{above}{loaded}{heading}"

    if request.refs is None and controller.lookout.is_crowded(LONG):
        return Answer(out=_gradually(request, layout, scene, controller, head), err="".join(errors))
    views = _views(request, _candidates(request.refs, controller), scene, controller)
    views.sort(key=_order_of)
    text = itertools.chain([head(len(views))], layout.chunks(views))
    return Answer(out="".join(text), err="".join(errors))


def _gradually(
    request: Request,
    layout: Layout[StepView],
    scene: Scene,
    controller: Controller,
    head: Callable[[int], str],
) -> Iterator[str]:
    """Return the steps among many jobs, which are looked through a few at a time."""

    def read(jobs: Iterable[Job]) -> list[tuple[tuple[str, tuple[int, int, int]], str]]:
        views = _views(request, jobs, scene, controller)
        return [(_order_of(view), layout.row(view)) for view in views]

    found = []
    for some in controller.lookout.look_through(read):
        found += some
        yield ""
    # Not many steps run, however many jobs wait.
    found.sort(key=itemgetter(0))
    yield head(len(found))
    yield from in_chunks((row for _, row in found), ROWS_PER_CHUNK)


def _layout(request: Request) -> Layout[StepView]:
    if request.long_format is not None:
        return parse_long(request.long_format, BY_NAME)
    text = request.short_format
    return parse_short(STEP_FORMAT if text is None else text, BY_LETTER, EVERY_LETTER)


def _views(
    request: Request, candidates: Iterable[Job], scene: Scene, controller: Controller
) -> list[StepView]:
    return [
        view
        for job in _running(request, candidates)
        for view in step_views(job, scene, controller)
        if _is_asked_for(view, request.step_refs)
    ]


def _order_of(view: StepView) -> tuple[str, tuple[int, int, int]]:
    return view.job.partition, view.order


def _running(request: Request, candidates: Iterable[Job]) -> Iterator[Job]:
    names = request.words.get("partition")
    users = None if request.users is None else {*request.users}
    for job in candidates:
        if job.state not in HOLDING or (names is not None and job.partition not in names):
            continue
        if users is None or not users.isdisjoint((job.owner.user_name, str(job.owner.user_id))):
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
