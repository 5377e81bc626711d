"""Jobs over HTTP: all of them, one of them, and ending or signalling one.

Source: openapi v0.0.38; the wording as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from signal import SIGKILL
from typing import Final

from stoker.commands.errors import strerror
from stoker.commands.everyjob import every_view, named_views
from stoker.commands.jobjson import job_document
from stoker.commands.jobview import JobView
from stoker.commands.records import rendered
from stoker.commands.rest.cluster import check_update_time
from stoker.commands.rest.replies import (
    Refusal,
    Reply,
    controller_reply,
    failed_action,
    found_by,
)
from stoker.commands.rest.requests import Request
from stoker.commands.scene import Scene
from stoker.core.enums import JobState
from stoker.core.errors import NotAllowed, StokerError, UnknownJob
from stoker.core.units import JobRef, NotationError, parse_signal

_ID_MAX: Final = (1 << 63) - 1


def every(request: Request) -> Reply:
    """List the jobs that wait, run, or ended a short while ago."""
    check_update_time(request, "jobs")
    return _listed(every_view(Scene(request.call, request.controller), request.controller))


def one(request: Request, word: str) -> Reply:
    """Show the job of that id; of an array its tasks as well."""
    job_id = job_id_of(word, "_handle_job_get")
    try:
        jobs = request.controller.find(JobRef(job_id))
    except UnknownJob:
        unknown = found_by(
            "slurm_load_job",
            f"Unable to find JobId={job_id}",
            2017,
            strerror("ESLURM_INVALID_JOB_ID"),
        )
        return controller_reply({"jobs": []}, [unknown], 500)
    return _listed(named_views(jobs, Scene(request.call, request.controller), request.controller))


def _listed(parts: Iterable[Sequence[JobView]]) -> Reply:
    return Reply(200, rendered("json", "jobs", (map(job_document, views) for views in parts)))


def cancel(request: Request, word: str) -> Reply:
    """End a job, or send it the signal that the query names."""
    job_id = job_id_of(word, "_handle_job_delete")
    number = _signal(request.query.get("signal"))
    try:
        _end_or_signal(request, JobRef(job_id), number)
    except StokerError as error:
        description = f"unable to kill JobId={job_id} with signal {number}: {{}}"
        return controller_reply({}, [failed_action("slurm_kill_job", description, error)], 500)
    return controller_reply({})


def _end_or_signal(request: Request, ref: JobRef, number: int) -> None:
    controller, by = request.controller, request.call.owner
    jobs = controller.find(ref)
    if all(job.state.has_ended for job in jobs):
        raise NotAllowed("the job is over", "ESLURM_TRANSITION_STATE_NO_UPDATE")
    if number == SIGKILL:
        controller.cancel(ref, by)
    elif all(job.state is JobState.PENDING for job in jobs):
        raise NotAllowed("the job waits", "ESLURM_TRANSITION_STATE_NO_UPDATE")
    else:
        controller.signal(ref, by, number, "all")


def _signal(text: str | None) -> int:
    if text is None:
        return SIGKILL
    try:
        return parse_signal(text)
    except NotationError:
        problem = found_by("HTTP request: signal", "invalid signal: 0", 9000)
        raise Refusal(controller_reply({}, [problem], 400)) from None


def job_id_of(word: str, source: str) -> int:
    """Return the number of a job in a path.

    Raises:
        Refusal: It is none; an array's tasks have no path of their own.
    """
    if word.isdecimal() and word.isascii():
        return min(int(word[:20]), _ID_MAX)
    problem = found_by(source, f"Unable to find JobId={word}", 9002)
    raise Refusal(controller_reply({}, [problem], 400))
