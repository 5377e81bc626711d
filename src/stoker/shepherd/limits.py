"""Time limits: warns units, and ends them when their time is over.

Time is counted from a unit's start by the monotonic clock; that in which its group was suspended
does not count.
"""

from __future__ import annotations

from time import monotonic

from stoker.shepherd.units import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from stoker.shepherd.endings import Endings
    from stoker.shepherd.timers import Timers
    from stoker.shepherd.units import Group, Unit


class Limits:
    """Warns units and ends them when their time is over."""

    def __init__(self, timers: Timers, endings: Endings) -> None:
        """Act through *endings* at the times that *timers* keep."""
        self._timers = timers
        self._endings = endings

    def watch(self, unit: Unit) -> None:
        """Wait for what comes next in a running unit's time: a warning, or its end."""
        self.drop(unit)
        if unit.limit_s is None or unit.state != RUNNING or unit.group.paused_at:
            return
        until = unit.limit_s - unit.warnings[0][0] if unit.warnings else unit.limit_s
        paused_s = unit.group.paused_s - unit.paused_before_s
        unit.timer = self._timers.at(unit.clock + paused_s + until, lambda: self._act(unit))

    def drop(self, unit: Unit) -> None:
        """Wait for nothing any more."""
        if unit.timer is not None:
            self._timers.cancel(unit.timer)
            unit.timer = None

    def watch_all(self, group: Group) -> None:
        """Look again at all that runs in a group: it was suspended or goes on."""
        for unit in group.running:
            self.watch(unit)

    def _act(self, unit: Unit) -> None:
        unit.timer = None
        assert unit.limit_s is not None
        elapsed = monotonic() - unit.clock - (unit.group.paused_s - unit.paused_before_s)
        if elapsed >= unit.limit_s:
            self._end(unit)
            return
        while unit.warnings and elapsed >= unit.limit_s - unit.warnings[0][0]:
            _, number, leader_only = unit.warnings.pop(0)
            self._endings.warn(unit, number, leader_only=leader_only)
        self.watch(unit)

    def _end(self, unit: Unit) -> None:
        leader = unit.group.leader
        if unit is leader:
            self._endings.end(unit.group, "timeout", unit.recipe.kill_wait_s)
        else:
            self._endings.end_unit(unit, "limit", unit.recipe.kill_wait_s)
