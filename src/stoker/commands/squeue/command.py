"""squeue: what waits and runs, as a table in the asked format.

Inside the turn only what may change is copied (`views_of`); sorting and rendering happen while the
answer is read. Of a long queue not even that is done at once (`squeue.gradual`, `everyjob`): no
listing delays anybody.

Source: squeue(1), and the recorded behaviour of Slurm.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy

from stoker.commands.errors import describe
from stoker.commands.everyjob import LONG, every_view
from stoker.commands.formats import Layout, parse_long, parse_short
from stoker.commands.headings import UnknownCluster, clock_line, cluster_heading
from stoker.commands.jobjson import job_document
from stoker.commands.jobview import JobView
from stoker.commands.options import EarlyAnswer
from stoker.commands.records import rendered
from stoker.commands.scene import Scene
from stoker.commands.squeue import fields
from stoker.commands.squeue.filters import Test, test_of
from stoker.commands.squeue.gradual import Listing, gradually
from stoker.commands.squeue.request import (
    DEFAULT_FORMAT,
    LONG_FORMAT,
    START_FORMAT,
    Refusal,
    Request,
    read_request,
)
from stoker.commands.squeue.rows import UnknownKey, needs_starts, read_keys, rows
from stoker.commands.squeue.steps import list_steps
from stoker.commands.views import starts_of, views_of, with_last_allocations
from stoker.core.enums import ENDED
from stoker.core.errors import UnknownJob
from stoker.core.models import Job
from stoker.core.units import JobRef, is_time_style
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

_JOINED_MAX = 64
"""Rows that are rendered at once; more are rendered while they are read."""


def squeue(call: Call, controller: Controller) -> Answer:
    """List jobs or steps."""
    try:
        request = read_request(call)
        heading = cluster_heading("squeue", request.clusters, controller)
        if request.document:
            return Answer(out=_document(request, call, controller))
        if request.is_steps:
            return list_steps(request, Scene(call, controller), controller, heading)
        return _list_jobs(request, call, controller, heading)
    except (EarlyAnswer, Refusal, UnknownCluster) as early:
        return early.answer


def _list_jobs(request: Request, call: Call, controller: Controller, above: str) -> Answer:
    layout = _layout(request)
    errors = [f"squeue: error: Invalid job format specification: {x}" for x in layout.unknown]
    test, complaints = test_of(request, call, controller)
    errors += complaints
    scene = Scene(call, controller)
    if layout.fields & fields.TIMES and not is_time_style(scene.style):
        errors.append(f"squeue: error: invalid SLURM_TIME_FORMAT = '{scene.style}'")
    if request.has_date:
        above += clock_line(scene.now, scene.zone)
    keys = None
    try:
        keys = read_keys(request.sort)
    except UnknownKey as error:
        errors.append(f"squeue: error: {error}")
    listing = Listing(
        test=test,
        keys=keys,
        layout=layout,
        is_split=request.is_array_split,
        with_recent=bool(request.states & ENDED),
        with_starts=bool(layout.fields & fields.EXPECTING) or needs_starts(keys or (), ()),
        counts=_counts(request) if request.parameters else None,
    )

    def head(count: int) -> str:
        heading = layout.heading() if request.has_heading else ""
        if not request.parameters:
            return above + heading
        return f"{request.parameters}{above}{_loaded(request, count, scene)}{heading}"

    if _is_long(request, listing, controller):
        made: str | Iterator[str] = gradually(listing, scene, controller, head)
    else:
        made = _at_once(request, listing, scene, controller, head)
    return Answer(out=made, err=_lines(errors), code=int(keys is None))


def _layout(request: Request) -> Layout[JobView]:
    if request.long_format is not None:
        return parse_long(request.long_format, fields.BY_NAME)
    text = request.short_format
    if text is None:
        text = (
            LONG_FORMAT if request.is_long else START_FORMAT if request.is_start else DEFAULT_FORMAT
        )
    return parse_short(text, fields.BY_LETTER, fields.EVERY_LETTER)


def _loaded(request: Request, count: int, scene: Scene) -> str:
    """Return what ``-v`` says of the jobs that are looked at, and since when they are as they are.

    Of a job, or a user, that is asked for by name Slurm does not know since when.
    """
    is_one = len(request.refs or ()) == 1 or len(request.users or ()) == 1
    return f"last_update_time={0 if is_one else int(scene.now)} records={count}\n"


def _counts(request: Request) -> Test:
    """Return which of the jobs that are looked at Slurm would have got: one user's, or all."""
    users = request.users or ()
    if request.refs is not None or len(users) != 1:
        return lambda _: True
    return lambda job: job.owner.user_name in users


# Which jobs.


def _at_once(
    request: Request,
    listing: Listing,
    scene: Scene,
    controller: Controller,
    head: Callable[[int], str],
) -> str | Iterator[str]:
    """Return the list as one picture of the queue; more than a few rows are made as it is read."""
    candidates = _candidates(request, controller)
    above = head(sum(map(listing.counts or (lambda _: False), candidates)))
    if listing.keys is None:
        return above
    jobs = list(filter(listing.test, candidates))
    if listing.with_recent:
        jobs = with_last_allocations(controller, jobs)
    with_starts = listing.with_starts or needs_starts(listing.keys, jobs)
    starts = starts_of(jobs, scene, controller) if with_starts else {}
    views = views_of(jobs, scene, controller, starts)
    shown = rows(views, listing.keys, is_split=listing.is_split)
    text = itertools.chain([above], listing.layout.chunks(shown))
    return "".join(text) if _count_rows(listing, views) <= _JOINED_MAX else text


def _count_rows(listing: Listing, views: Iterable[JobView]) -> int:
    arrays = (view.job.array if listing.is_split else None for view in views)
    return sum(1 if array is None else len(array) for array in arrays)


def _candidates(request: Request, controller: Controller) -> Sequence[Job]:
    if request.refs is not None:
        return list(_by_refs(request, controller))
    if request.states & ENDED:
        return [*controller.active_jobs(), *controller.recent_jobs()]
    return list(controller.active_jobs())


def _is_long(request: Request, listing: Listing, controller: Controller) -> bool:
    """Whether the list is so long that others would wait."""
    lookout = controller.lookout
    return request.refs is None and lookout.is_crowded(LONG, with_recent=listing.with_recent)


def _by_refs(request: Request, controller: Controller) -> Iterable[Job]:
    """Return what the ids name; one id that is unknown is an error, among several it is not."""
    assert request.refs is not None
    found: dict[tuple[int, int], Job] = {}
    for ref in request.refs:
        try:
            jobs = controller.find(JobRef(ref.job_id))
        except UnknownJob as error:
            if len(request.refs) == 1:
                raise Refusal(f"slurm_load_jobs error: {describe(error)}") from None
            continue
        for job in jobs:
            if ref.tasks is None:
                found[job.job_id, job.array_task_id] = job
            else:
                found |= {
                    (part.job_id, part.array_task_id): part for part in _tasks(job, ref.tasks)
                }
    return found.values()


def _tasks(job: Job, tasks: Iterable[int]) -> Iterator[Job]:
    """Return what *job* is or holds of the named tasks."""
    for task in tasks:
        if job.array is not None and task in job.array:
            part = copy(job)
            part.array, part.array_task_id = None, task
            yield part
        elif job.array_task_id == task:
            yield job


def _document(request: Request, call: Call, controller: Controller) -> Iterator[str]:
    """Return every job that is known: Slurm's JSON knows no filters."""
    parts = every_view(Scene(call, controller), controller)
    return rendered(request.document, "jobs", (map(job_document, views) for views in parts))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
