"""Callbacks at their time, by the monotonic clock.

That clock does not jump with the wall clock, stands still while the machine sleeps, and is the same
for all processes of a boot.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_DEAD_MAX = 64
_WAIT_S_MAX = 86400.0
"""For no longer do we wait at a time: epoll_wait(2) counts milliseconds in an int, for 24 days."""
WHEN, _CALL = 0, 2
"""Places in an entry."""


class Timers:
    """Callbacks, each at its time; those taken back cost nothing for long."""

    def __init__(self) -> None:
        self._heap: list[list[Any]] = []
        self._count = 0
        self._dead = 0

    def at(self, when: float, call: Callable[[], None]) -> list[Any]:
        """Have *call* called at a time; return what `cancel` takes."""
        self._count += 1
        entry = [when, self._count, call]
        heappush(self._heap, entry)
        return entry

    def cancel(self, entry: list[Any]) -> None:
        """Take a callback back; harmless if it was called."""
        if entry[_CALL] is None:
            return
        entry[_CALL] = None
        self._dead += 1
        if self._dead > _DEAD_MAX and 2 * self._dead > len(self._heap):
            self._heap = [each for each in self._heap if each[_CALL] is not None]
            heapify(self._heap)
            self._dead = 0

    def run(self) -> None:
        """Call what is due."""
        now = monotonic()
        while self._heap and self._heap[0][WHEN] <= now:
            entry = heappop(self._heap)
            call, entry[_CALL] = entry[_CALL], None
            if call is None:
                self._dead -= 1
            else:
                call()

    @property
    def next_at(self) -> float:
        """Return a time before which nothing is due."""
        return self._heap[0][WHEN] if self._heap else float("inf")

    def wait_s(self) -> float | None:
        """Return how long to wait for the next callback at most, or None if there is none."""
        while self._heap and self._heap[0][_CALL] is None:
            heappop(self._heap)
            self._dead -= 1
        if not self._heap:
            return None
        wait_s: float = self._heap[0][WHEN] - monotonic()
        return min(max(0.0, wait_s), _WAIT_S_MAX)
