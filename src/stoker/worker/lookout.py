"""What commands may ask of long lists: to look through them a little at a time, after the turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

from stoker.core.models import Job
from stoker.worker.history import HistoryQuery, Record

T = TypeVar("T")


class Lookout(Protocol):
    """Seen by commands.

    Iterators are gone through after the turn, for as long as it takes: each step has a turn of its
    own. What is looked at is not to be kept: whoever shows it later copies it.
    """

    def is_crowded(self, most: int, *, with_recent: bool = False) -> bool:
        """Return whether `look_through` would come by more than *most* records."""
        ...

    def look_through(
        self, read: Callable[[Sequence[Job]], T], *, with_recent: bool = False
    ) -> Iterator[T]:
        """Yield what *read* makes of the active records, some at a time, each as it stands then.

        Records of an array come together. *with_recent* the jobs of `Controller.recent_jobs` come
        as well, and all of them by id: the least of each time is above all that came before, but
        for an array's records.
        """
        ...

    def foresee(self) -> Iterator[Mapping[int, float]]:
        """Yield when jobs that wait now will start if nothing changes, bit by bit.

        Who cannot be told is missing; of an array the first to be told is its next task.
        """
        ...

    def are_recorded(self, query: HistoryQuery, most: int) -> bool:
        """Return whether *query* describes more than *most* jobs, or may do so."""
        ...

    def look_up(self, query: HistoryQuery, read: Callable[[Sequence[Record]], T]) -> Iterator[T]:
        """Yield what *read* makes of the records that *query* describes, some at a time.

        They come roughly in the order of their ends, those that have not ended first. Jobs that
        come meanwhile are left out.
        """
        ...

    def look_into(
        self, job_ids: Sequence[int], read: Callable[[Sequence[Record]], T]
    ) -> Iterator[T]:
        """Yield what *read* makes of the records of these jobs, some at a time, in their order.

        Who has gone meanwhile is missing.
        """
        ...
