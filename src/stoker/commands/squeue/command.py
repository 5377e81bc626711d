"""squeue: what waits and runs, as a table in the asked format.

Inside the turn only what may change is copied (`views_of`); sorting and rendering happen while the
answer is read. Of a long queue not even that is done at once (`squeue.gradual`): no listing delays
anybody.

Source: squeue(1), and the recorded behaviour of Slurm.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy

from stoker.commands.errors import describe
from stoker.commands.formats import Layout, parse_long, parse_short
from stoker.commands.headings import UnknownCluster, clock_line, cluster_heading
from stoker.commands.jobjson import job_document
from stoker.commands.jobview import JobView, Scene, is_special, views_of, with_last_allocations
from stoker.commands.options import EarlyAnswer
from stoker.commands.records import rendered
from stoker.commands.squeue import fields
from stoker.commands.squeue.gradual import LONG, gradually
from stoker.commands.squeue.request import (
    DEFAULT_FORMAT,
    LONG_FORMAT,
    START_FORMAT,
    Refusal,
    Request,
    read_request,
)
from stoker.commands.squeue.rows import Key, UnknownKey, needs_starts, read_keys, rows
from stoker.commands.squeue.steps import list_steps
from stoker.core.enums import ENDED, JobState
from stoker.core.errors import UnknownJob
from stoker.core.models import Job
from stoker.core.units import JobRef, NotationError, expand_hosts, is_time_style
from stoker.worker.call import Answer, Call
from stoker.worker.controller import Controller

_JOINED_MAX = 64
"""Rows that are rendered at once; more are rendered while they are read."""
_ID_DIGITS = 10
"""No user's id has more."""

Test = Callable[[Job], bool]


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
    tests, complaints = _tests(request, call, controller)
    errors += complaints
    scene = Scene(call, controller)
    if layout.fields & fields.TIMES and not is_time_style(scene.style):
        errors.append(f"squeue: error: invalid SLURM_TIME_FORMAT = '{scene.style}'")
    if request.has_date:
        above += clock_line(scene.now, scene.zone)
    candidates = _candidates(request, controller)
    if request.parameters:
        above = f"{request.parameters}{above}{_loaded(request, candidates, scene)}"
    if request.has_heading:
        above += layout.heading()
    try:
        keys = read_keys(request.sort)
    except UnknownKey as error:
        return Answer(out=above, err=_lines([*errors, f"squeue: error: {error}"]), code=1)
    if _is_long(request, candidates, layout, keys):
        made = gradually(controller, _all_of(tests), keys, layout, scene)
        return Answer(out=itertools.chain([above], made), err=_lines(errors))
    jobs = _passing(request, candidates, tests, controller)
    with_starts = bool(layout.fields & fields.EXPECTING) or needs_starts(keys, jobs)
    views = views_of(jobs, scene, controller, with_starts=with_starts)
    shown = rows(views, keys, is_split=request.is_array_split)
    text = itertools.chain([above], layout.chunks(shown))
    return Answer(out="".join(text) if len(views) <= _JOINED_MAX else text, err=_lines(errors))


def _layout(request: Request) -> Layout[JobView]:
    if request.long_format is not None:
        return parse_long(request.long_format, fields.BY_NAME)
    text = request.short_format
    if text is None:
        text = (
            LONG_FORMAT if request.is_long else START_FORMAT if request.is_start else DEFAULT_FORMAT
        )
    return parse_short(text, fields.BY_LETTER, fields.EVERY_LETTER)


def _loaded(request: Request, candidates: Sequence[Job], scene: Scene) -> str:
    """Return what ``-v`` says of the jobs that are looked at, and since when they are as they are.

    Of a job, or a user, that is asked for by name Slurm does not know since when.
    """
    users = request.users or ()
    is_one = len(request.refs or ()) == 1 or len(users) == 1
    if request.refs is None and len(users) == 1:
        names = {job.owner.user_name for job in candidates} & {*users}
        candidates = [job for job in candidates if job.owner.user_name in names]
    at = 0 if is_one else int(scene.now)
    return f"last_update_time={at} records={len(candidates)}\n"


# Which jobs.


def _passing(
    request: Request, candidates: Iterable[Job], tests: Iterable[Test], controller: Controller
) -> Sequence[Job]:
    """Return the jobs that pass all filters."""
    jobs = list(filter(_all_of(tests), candidates))
    if request.states & ENDED:
        jobs = with_last_allocations(controller, jobs)
    return jobs


def _all_of(tests: Iterable[Test]) -> Test:
    together = tuple(tests)
    return lambda job: all(test(job) for test in together)


def _candidates(request: Request, controller: Controller) -> Sequence[Job]:
    if request.refs is not None:
        return list(_by_refs(request, controller))
    if request.states & ENDED:
        return [*controller.active_jobs(), *controller.recent_jobs()]
    return list(controller.active_jobs())


def _is_long(
    request: Request, candidates: Sequence[Job], layout: Layout[JobView], keys: Sequence[Key]
) -> bool:
    """Whether the list is so long that others would wait, and can be made gradually."""
    is_plain = request.refs is None and not request.is_array_split and not request.states & ENDED
    return (
        len(candidates) > LONG
        and is_plain
        and not layout.fields & fields.EXPECTING
        and not needs_starts(keys, ())
    )


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


def _test_of_states(states: frozenset[JobState]) -> Test:
    """Return a test for those that are shown in one of these states."""
    if (JobState.SPECIAL_EXIT in states) == (JobState.PENDING in states):
        return lambda job: job.state in states
    if JobState.PENDING in states:
        return lambda job: job.state in states and not is_special(job)
    return lambda job: job.state in states or is_special(job)


def _tests(request: Request, call: Call, controller: Controller) -> tuple[list[Test], list[str]]:
    tests: list[Test] = [_test_of_states(request.states)]
    complaints: list[str] = []
    if request.users is not None:
        complaints = _unknown_users(request.users, call, controller)
        names = frozenset(request.users)
        ids = frozenset(int(name) for name in names if name.isdecimal() and len(name) <= _ID_DIGITS)
        tests.append(lambda job: job.owner.user_name in names or job.owner.user_id in ids)
    if request.nodes is not None:
        nodes = _known_nodes(request.nodes, controller)
        tests.append(
            lambda job: job.allocation is not None and bool(nodes & {*job.allocation.nodes})
        )
    for option, words in request.words.items():
        tests.append(_word_test(option, words))
    return tests, complaints


def _word_test(option: str, words: frozenset[str]) -> Test:
    match option:
        case "name":
            return lambda job: job.spec.name in words
        case "partition":
            return lambda job: job.partition in words
        case "account":
            return lambda job: job.spec.account in words
        case "reservation":
            return lambda job: job.spec.reservation in words
        case "licenses":
            return lambda job: any(
                word.split(":")[0] in words for word in job.spec.licenses.split(",")
            )
    assert option == "qos", option
    return lambda job: (job.spec.qos or "normal") in words


def _unknown_users(names: Iterable[str], call: Call, controller: Controller) -> list[str]:
    """Complain about names that no user has."""
    return [
        f"squeue: error: Invalid user: {name}\n"
        for name in names
        if not name.isdecimal()
        and name != call.owner.user_name
        and controller.user_id(name) is None
    ]


def _known_nodes(text: str, controller: Controller) -> frozenset[str]:
    known = {status.node.name for status in controller.nodes()}
    try:
        names = expand_hosts(text)
    except NotationError:
        names = [text]
    for name in names:
        if name not in known:
            raise Refusal(f"squeue: error: Invalid node name {name}")
    return frozenset(names)


def _document(request: Request, call: Call, controller: Controller) -> Iterator[str]:
    """Return every job that is known: Slurm's JSON knows no filters."""
    jobs = sorted(
        [*controller.active_jobs(), *controller.recent_jobs()], key=lambda job: job.job_id
    )
    told = with_last_allocations(controller, jobs)
    views = views_of(told, Scene(call, controller), controller, with_starts=True)
    return rendered(request.document, "jobs", map(job_document, views))


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
