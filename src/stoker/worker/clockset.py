"""Notices that somebody has set the wall clock, as after a start with a wrong one.

What has passed is measured with the clock that nobody can set. A clock that is slewed, as by NTP,
is followed: it counts as set when it is off by a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_TOLERANCE_S: Final = 1.0


class ClockWatch:
    """Compares the two clocks each time it is asked."""

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """Begin to compare at the first look."""
        self._wall = wall
        self._monotonic = monotonic
        self._offset: float | None = None

    def set_by_s(self) -> float:
        """Return by how many seconds the wall clock was set since the last look; 0 if it was not.

        While the machine is suspended the monotonic clock stands still, and so do its jobs: that
        is a wall clock that was set forward.
        """
        offset = self._wall() - self._monotonic()
        before = self._offset if self._offset is not None else offset
        if self._offset is not None and abs(offset - before) < _TOLERANCE_S:
            return 0.0
        self._offset = offset
        return offset - before
