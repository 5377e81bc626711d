"""Many accounting records in an order that only the records tell, without holding all of them.

They are looked through twice: first for where each belongs, then for what is shown of it, a few
at a time in their order. In between only the keys are kept, packed. What a record gained in the
meantime is not shown.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from struct import Struct
from typing import Final, TypeAlias, TypeVar, cast

from stoker.worker.history import Record
from stoker.worker.lookout import Lookout

T = TypeVar("T")

Key: TypeAlias = tuple[float, int, int, int, int]
"""A time, an array, a task, a job's id, and which of what is shown of the job."""

_PACKED: Final = Struct("dqqqq")
_PER_PART: Final = 16


class RecordOrder:
    """The keys of what is to be shown, in order."""

    def __init__(self) -> None:
        self._runs: list[bytearray] = []
        """Each is sorted."""
        self._last: Key | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self._runs

    def add(self, keys: Iterable[Key]) -> None:
        """Take in the keys of some records, in any order."""
        for key in sorted(keys):
            if self._last is None or key < self._last:
                self._runs.append(bytearray())
            self._runs[-1] += _PACKED.pack(*key)
            self._last = key

    def show(self, lookout: Lookout, show: Callable[[Record], Sequence[T]]) -> Iterator[list[T]]:
        """Yield what is shown, in order, some at a time; parts may be empty.

        *show* is called inside turns, and what it returns is to be good after them.
        """
        keys = heapq.merge(*map(_unpacked, self._runs))
        while some := list(islice(keys, _PER_PART)):
            found: dict[tuple[int, int], T] = {}

            def read(records: Sequence[Record], found: dict[tuple[int, int], T] = found) -> None:
                for record in records:
                    for number, shown in enumerate(show(record)):
                        found[record.job.job_id, number] = shown

            for _ in lookout.look_into(sorted({key[3] for key in some}), read):
                yield []
            yield [found[key[3:]] for key in some if key[3:] in found]


def _unpacked(run: bytearray) -> Iterator[Key]:
    return cast(Iterator[Key], _PACKED.iter_unpack(run))
