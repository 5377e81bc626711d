"""Listing a long queue: rows are read off a few at a time, and then sorted.

A short list is one picture of the queue, a long one is not: each row shows its job, and each array
all of its records, as they stand when they are read off. So no submission and no turn waits for a
listing, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from stoker.commands.formats import Layout
from stoker.commands.jobview import JobView, Scene, views_of
from stoker.commands.merging import Row, merged
from stoker.commands.squeue import fields
from stoker.commands.squeue.rows import Key, combined, latest_first
from stoker.core.models import Job
from stoker.worker.controller import Controller

LONG: Final = 1000
"""A list of more jobs than this is made gradually."""


def gradually(
    controller: Controller,
    test: Callable[[Job], bool],
    keys: Sequence[Key],
    layout: Layout[JobView],
    scene: Scene,
) -> Iterator[str]:
    """Return the rows of all active jobs that pass *test*, many to a piece.

    Pieces are empty as long as rows are read off.
    """

    def read(jobs: Iterable[Job]) -> list[Row]:
        views = combined(views_of(filter(test, jobs), scene, controller))
        return sorted((_order_of(view, keys), layout.row(view)) for view in views)

    return merged(controller.look_through(read))


def _order_of(view: JobView, keys: Sequence[Key]) -> tuple[Any, ...]:
    """Return what sorts as `rows` does; no two views have the same."""
    values = (fields.SORT_KEYS[key.letter](view) for key in keys)
    downs = zip(values, keys, strict=True)
    return (*(_down(value) if key.is_down else value for value, key in downs), latest_first(view))


def _down(value: Any) -> Any:
    return -value if isinstance(value, int | float) else _Down(value)


class _Down:
    """Sorts the other way round."""

    __slots__ = ("value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Down) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and bool(other.value == self.value)
