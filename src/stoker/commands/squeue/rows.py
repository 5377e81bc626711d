"""From records to the rows of squeue: tasks put together, sorted, or shown one by one.

Tasks of an array that wait by themselves (they were held, changed or requeued) are shown with the
rest of their array, unless each task is to have a line. Before it sorts by what was asked for,
squeue sorts by start, the latest first, and jobs that nobody can tell a start of by id, the
youngest first: that is how jobs stand that the keys do not tell apart.

Source: squeue(1) "--sort" and "--array"; the order of equals as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from stoker.commands.jobview import JobView
from stoker.commands.squeue.sortkeys import SORT_KEYS
from stoker.core.enums import JobState
from stoker.core.models import NO_TASK, Job

_FORESEEN_MAX: Final = 1000
"""Waiting jobs beyond which nobody looks ahead only to order equals: a long listing stays cheap."""


class UnknownKey(Exception):
    """A letter by which nothing can be sorted."""

    def __init__(self, letter: str) -> None:
        super().__init__(f"Invalid sort specification: {letter}")
        self.letter = letter


class Key(NamedTuple):
    """A letter of the format, and whether it sorts downwards."""

    letter: str
    is_down: bool


def read_keys(text: str) -> list[Key]:
    """Read ``P,t,-p``: letters, each with a sign before it or none.

    Raises:
        UnknownKey: The last of the letters that sort by nothing.
    """
    keys: list[Key] = []
    for at, letter in enumerate(text):
        if letter in ",+-":
            continue
        keys.append(Key(letter, text[:at].endswith("-")))
    for key in reversed(keys):
        if key.letter not in SORT_KEYS:
            raise UnknownKey(key.letter)
    return keys


def needs_starts(keys: Iterable[Key], jobs: Sequence[Job]) -> bool:
    """Whether the order depends on when waiting jobs are expected to start."""
    if any(key.letter in "SeY" for key in keys):
        return True
    waiting = [job.priority for job in jobs if job.state is JobState.PENDING]
    return len(waiting) <= _FORESEEN_MAX and len(set(waiting)) < len(waiting)


def rows(views: list[JobView], keys: Sequence[Key], *, is_split: bool) -> Iterator[JobView]:
    """Return what is shown, in order; with *is_split* each waiting task of an array by itself."""
    if not is_split:
        views = combined(views)
    views.sort(key=latest_first)
    for key in reversed(keys):
        views.sort(key=SORT_KEYS[key.letter], reverse=key.is_down)
    for view in views:
        if is_split and view.job.array is not None:
            yield from map(view.task, view.job.array)
        else:
            yield view


def latest_first(view: JobView) -> tuple[int, int]:
    """Return the order in which views stand that the keys do not tell apart."""
    start = int(view.start_at)
    return -start, view.job.job_id if start else -view.job.job_id


def combined(views: Sequence[JobView]) -> list[JobView]:
    """Return the views with waiting tasks taken into the rest of their array."""
    rests = {
        _kind(view.job): view
        for view in views
        if view.job.array is not None and view.job.state is JobState.PENDING
    }
    if not rests:
        return list(views)
    kept = []
    for view in views:
        job = view.job
        is_lone_task = job.array_task_id != NO_TASK and job.state is JobState.PENDING
        rest = rests.get(_kind(job)) if is_lone_task else None
        if rest is None:
            kept.append(view)
        else:
            _take_in(rest, view)
    return kept


def _kind(job: Job) -> tuple[int, str, str]:
    return job.array_job_id, job.name, job.partition


def _take_in(rest: JobView, task: JobView) -> None:
    """Let the view of an array's rest, which nobody else has, stand for one more task.

    How many may run at a time is no longer told, as recorded.
    """
    assert rest.job.array is not None
    rest.job.array_limit = 0
    rest.job.array.add(task.job.array_task_id)
    if task.reason not in rest.reason:
        rest.reason = f"{rest.reason},{task.reason}"
