"""Listing a long queue: rows are read off a few at a time, and then sorted.

A short list is one picture of the queue, a long one is not: each row shows its job, and each array
all of its records, as they stand when they are read off. So no submission and no turn waits for a
listing, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import msgspec

from stoker.commands.formats import Layout
from stoker.commands.jobview import JobView
from stoker.commands.merging import Row, descending, headed, merged
from stoker.commands.scene import Scene
from stoker.commands.squeue.filters import Test
from stoker.commands.squeue.rows import Key, combined, latest_first
from stoker.commands.squeue.sortkeys import SORT_KEYS
from stoker.commands.views import Starts, starts_foreseen, views_of, with_last_allocations
from stoker.core.models import Job
from stoker.worker.controller import Controller


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """What is listed, and how.

    ``keys`` None lists nothing. ``counts`` says which of the jobs that are looked at are told by
    number above the rows, None that nobody is.
    """

    test: Test
    keys: Sequence[Key] | None
    layout: Layout[JobView]
    is_split: bool
    with_recent: bool
    with_starts: bool
    counts: Test | None


def gradually(
    listing: Listing, scene: Scene, controller: Controller, head: Callable[[int], str]
) -> Iterator[str]:
    """Return what stands above the rows, and the rows, many to a piece.

    Pieces are empty as long as rows are read off.
    """
    reader = _Reader(listing, scene, controller)
    pieces = merged(reader.parts())
    if listing.counts is None:
        return chain([head(0)], pieces)
    return headed(pieces, lambda _: head(reader.count))


class _Reader:
    """Reads rows off jobs, and counts those."""

    def __init__(self, listing: Listing, scene: Scene, controller: Controller) -> None:
        self.count = 0
        self._listing = listing
        self._scene = scene
        self._controller = controller
        self._starts: Starts = {}

    def parts(self) -> Iterator[Sequence[Row]]:
        """Yield rows, some at a time."""
        listing, scene, controller = self._listing, self._scene, self._controller
        if listing.with_starts:
            self._starts = yield from starts_foreseen(scene, controller)
        yield from controller.lookout.look_through(self._read, with_recent=listing.with_recent)

    def _read(self, jobs: Sequence[Job]) -> Sequence[Row]:
        listing = self._listing
        if listing.counts is not None:
            self.count += sum(map(listing.counts, jobs))
        if listing.keys is None:
            return ()
        jobs = list(filter(listing.test, jobs))
        if listing.with_recent:
            jobs = with_last_allocations(self._controller, jobs)
        views = views_of(jobs, self._scene, self._controller, self._starts)
        if not listing.is_split:
            views = combined(views)
        return sorted((_order_of(view, listing.keys), self._text(view)) for view in views)

    def _text(self, view: JobView) -> str | Iterator[str]:
        """Return a view's row, or one for each task, which are made when they are read."""
        row, tasks = self._listing.layout.row, view.job.array
        if not self._listing.is_split or tasks is None:
            return row(view)
        return map(row, map(view.task, tasks))


def _order_of(view: JobView, keys: Sequence[Key]) -> tuple[Any, ...]:
    """Return what sorts as `rows` does; no two views have the same."""
    values = (SORT_KEYS[key.letter](view) for key in keys)
    downs = zip(values, keys, strict=True)
    return (
        *(descending(value) if key.is_down else value for value, key in downs),
        latest_first(view),
    )
