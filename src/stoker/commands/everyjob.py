"""All jobs that are known, by id: a few are one picture, many are read off a few at a time.

Of many each is shown as it stands when it is read off, and an array with all its records; what has
to wait for its place among the ids is kept for so long, and nothing else.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from stoker.commands.jobview import JobView
from stoker.commands.scene import Scene
from stoker.commands.views import (
    Starts,
    starts_foreseen,
    starts_of,
    views_of,
    with_last_allocations,
)
from stoker.core.enums import JobState
from stoker.core.models import Job
from stoker.worker.controller import Controller

LONG: Final = 1000
"""A list of more jobs than this is made gradually."""


def every_view(scene: Scene, controller: Controller) -> Iterable[Sequence[JobView]]:
    """Return views of all that wait, run, or ended a short while ago, by id, some at a time.

    As long as nothing can be shown yet, parts are empty.
    """
    if controller.lookout.is_crowded(LONG, with_recent=True):
        return _gradually(scene, controller)
    jobs = [*controller.active_jobs(), *controller.recent_jobs()]
    return [known_views(sorted(jobs, key=lambda job: job.job_id), scene, controller)]


def known_views(jobs: Sequence[Job], scene: Scene, controller: Controller) -> list[JobView]:
    """Return views of these jobs: what they hold or held, and when they will start."""
    return _views(scene, controller, starts_of(jobs, scene, controller), jobs)


def named_views(
    jobs: Sequence[Job], scene: Scene, controller: Controller
) -> Iterable[Sequence[JobView]]:
    """Return the same in one part; where many jobs wait, after empty ones.

    To look ahead takes long in a mixed queue, whoever's start is to be told.
    """
    waiting = [job.job_id for job in jobs if job.state is JobState.PENDING]
    if waiting and controller.lookout.is_crowded(LONG):
        return _with_starts(_views(scene, controller, {}, jobs), waiting, scene, controller)
    return [known_views(jobs, scene, controller)]


def _with_starts(
    views: Sequence[JobView], waiting: Sequence[int], scene: Scene, controller: Controller
) -> Iterator[Sequence[JobView]]:
    starts = yield from starts_foreseen(scene, controller, waiting)
    for view in views:
        view.expected_at = starts.get(view.job.job_id)
    yield views


def _views(
    scene: Scene, controller: Controller, starts: Starts, jobs: Sequence[Job]
) -> list[JobView]:
    return views_of(with_last_allocations(controller, jobs), scene, controller, starts)


def _gradually(scene: Scene, controller: Controller) -> Iterator[Sequence[JobView]]:
    starts = yield from starts_foreseen(scene, controller)
    read = partial(_views, scene, controller, starts)
    yield from _in_order(controller.lookout.look_through(read, with_recent=True))


def _in_order(parts: Iterable[Sequence[JobView]]) -> Iterator[Sequence[JobView]]:
    """Put the records of arrays that came with the first of them in their places."""
    held: list[tuple[int, JobView]] = []
    for views in parts:
        # Whatever comes from here on is not below the first of these.
        until = views[0].job.job_id if views else 0
        yield list(_taken(held, until))
        for view in views:
            heapq.heappush(held, (view.job.job_id, view))
    while held:
        yield [heapq.heappop(held)[1]]


def _taken(held: list[tuple[int, JobView]], until: int) -> Iterator[JobView]:
    while held and held[0][0] < until:
        yield heapq.heappop(held)[1]
