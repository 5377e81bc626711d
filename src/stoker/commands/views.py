"""Views of many jobs: what a listing takes from them inside a turn, and when they will start."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping
from copy import copy
from types import MappingProxyType
from typing import Final, TypeAlias

from stoker.commands.jobview import JobView
from stoker.commands.scene import Scene
from stoker.core.enums import JobState, Reason
from stoker.core.models import Allocation, Job
from stoker.core.units import compress_hosts
from stoker.worker.controller import Controller

Starts: TypeAlias = Mapping[int, float]
"""When waiting jobs are expected to start, by id."""

FORESEEN_S: Final = 86_400
"""How far ahead starts are told, as Slurm's ``bf_window`` does: a day."""

_NO_STARTS: Final[Starts] = MappingProxyType({})


def views_of(
    jobs: Iterable[Job], scene: Scene, controller: Controller, starts: Starts = _NO_STARTS
) -> list[JobView]:
    """Return a view of each job, in order; *starts* say when waiting ones will start.

    This is all of a listing that must happen inside a turn.
    """
    reason = controller.reason
    return [
        JobView(_copy(job), scene, _in_full(reason(job), job, scene), starts.get(job.job_id))
        for job in jobs
    ]


def starts_of(jobs: Iterable[Job], scene: Scene, controller: Controller) -> Starts:
    """Return when those of the jobs that wait will start, as far ahead as Slurm looks."""
    waiting = [job.job_id for job in jobs if job.state is JobState.PENDING]
    return _foreseen(controller.expected_starts(waiting), scene.now) if waiting else _NO_STARTS


def starts_foreseen(
    scene: Scene, controller: Controller, wanted: Collection[int] | None = None
) -> Generator[tuple[()], None, Starts]:
    """Return when jobs that wait will start, all or the *wanted*; its steps yield nothing."""
    found: dict[int, float] = {}
    missing = None if wanted is None else set(wanted)
    for starts in controller.lookout.foresee():
        for job_id, at in _foreseen(starts, scene.now).items():
            found.setdefault(job_id, at)
        if missing is not None:
            missing -= starts.keys()
        if missing == set():
            break
        yield ()
    return found


def _in_full(reason: str, job: Job, scene: Scene) -> str:
    """Return a reason; of one that is about nodes, with those that take no jobs."""
    if reason != Reason.REQ_NODE_NOT_AVAIL:
        return reason
    shape = scene.shape_of(job)
    wanted = shape.required or shape.nodes or scene.node_names
    names = [name for name in scene.unavailable if name in wanted]
    return f"{reason}, UnavailableNodes:{compress_hosts(names)}" if names else reason


def _foreseen(starts: Mapping[int, float], now: float) -> dict[int, float]:
    return {job_id: at for job_id, at in starts.items() if at <= now + FORESEEN_S}


def with_last_allocations(controller: Controller, jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs; ended ones that no longer know what they held are told again."""
    jobs = list(jobs)
    bare = [job for job in jobs if job.state.has_ended and job.allocation is None]
    found = controller.last_allocations(bare) if bare else {}
    return [_with_allocation(job, found.get(job.job_id)) for job in jobs]


def _with_allocation(job: Job, allocation: Allocation | None) -> Job:
    if allocation is None or job.allocation is not None:
        return job
    told = copy(job)
    told.allocation = allocation
    return told


def _copy(job: Job) -> Job:
    made = copy(job)
    if made.allocation is not None:
        made.allocation = copy(made.allocation)
    if made.array is not None:
        made.array = made.array.copy()
    return made
