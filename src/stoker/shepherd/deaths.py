"""From a process that has ended to the last event of its unit.

When a leading unit's process ends, or the last of a group without a leader, all that is left of the
group is killed; only then has it ended, and the next of its lane may follow.

Always holds: each unit ends in exactly one last event, which is kept until it is acknowledged.
"""

from __future__ import annotations

import os
import time

from stoker.shepherd.failpoints import hit
from stoker.shepherd.telling import end_record, ended, withdrawn
from stoker.shepherd.units import DEAD, ENDED, QUEUED, RUNNING, Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from stoker.shepherd.cgroups import Cgroups
    from stoker.shepherd.endings import Endings
    from stoker.shepherd.herd import Herd
    from stoker.shepherd.journal import Journal
    from stoker.shepherd.lanes import Lanes
    from stoker.shepherd.limits import Limits
    from stoker.shepherd.reports import Reports
    from stoker.shepherd.trees import Member, Trees
    from stoker.shepherd.units import Group


_WNOTHREAD = 0x20000000
"""For wait4(2): of the children of this thread alone; those of runners are waited for by them."""


def await_end(pid: int) -> None:
    """Wait for the end of a process that this thread has made, and leave it to be reaped."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def _reap(pid: int, options: int) -> tuple[int, int, Any]:
    hit("reap")
    return os.wait4(pid, options)


class Deaths:
    """Reaps, ends what is left, and lets units end."""

    def __init__(
        self,
        *,
        herd: Herd,
        lanes: Lanes,
        journal: Journal,
        trees: Trees,
        cgroups: Cgroups,
        endings: Endings,
        limits: Limits,
        reports: Reports,
    ) -> None:
        """Find by *trees* and *cgroups* what is left of a group, and have *endings* end it."""
        self._herd = herd
        self._lanes = lanes
        self._journal = journal
        self._trees = trees
        self._cgroups = cgroups
        self._endings = endings
        self._limits = limits
        self._reports = reports
        self._bereft: dict[Group, None] = {}
        self._left: dict[Group, list[Member]] = {}
        endings.on_empty = self._settle_empty

    # --- Who has died.

    def reap(self) -> None:
        """Take in all children that have ended, and what follows from it."""
        affected: dict[Group, None] = {}
        while True:
            try:
                pid, status, usage = _reap(-1, os.WNOHANG | _WNOTHREAD)
            except ChildProcessError:
                break
            if pid == 0:
                break
            owner = self._trees.remove(pid)
            if isinstance(owner, Unit):
                self.note_death(owner, status, usage)
                affected[owner.group] = None
            elif owner is not None:
                affected[owner] = None
        if affected:
            self.settle_all(affected)

    @property
    def expects_any(self) -> bool:
        """Whether `reap` may find anybody: the first thread has children, as far as we know."""
        return bool(self._trees.known)

    def reap_one(self, unit: Unit) -> None:
        """Take in a unit's process that has ended, and what follows from it."""
        _, status, usage = _reap(unit.pid, 0)
        self._trees.remove(unit.pid)
        self.note_death(unit, status, usage)
        self.settle_all((unit.group,))

    def lose_sight(self, unit: Unit) -> None:
        """Take in that an adopted process has ended; nobody could ask how."""
        self._trees.remove(unit.pid)
        self.note_death(unit, None, None)
        self._bereft[unit.group] = None

    def settle_bereft(self) -> None:
        """Let end the groups whose adopted processes have ended; many go in one turn."""
        groups, self._bereft = self._bereft, {}
        if groups:
            self.settle_all(groups)

    def note_death(self, unit: Unit, status: int | None, usage: Any) -> None:
        """Know how a unit's process ended; None: nobody could ask."""
        unit.state = DEAD
        unit.status, unit.usage, unit.ended_at = status, usage, time.time()
        ending = unit.ending or unit.group.ending
        if ending is not None and ending.why is not None:
            unit.why = ending.why
        self._limits.drop(unit)

    # --- What is left of a group.

    def settle_all(self, groups: Collection[Group]) -> None:
        """Look for what the dead left behind, and let end who can."""
        self._trees.find_strays(self._herd.groups.values())
        adopted = {group for group in groups if group.is_adopted and not group.running}
        if adopted:
            # What an adopted process leaves behind does not fall to us.
            self._left = self._trees.members(adopted)
        for group in groups:
            self.settle(group)
        self._left = {}

    def _settle_empty(self, group: Group) -> None:
        """Let end a group of which nobody was found alive."""
        self._left = {group: []}
        self.settle(group)
        self._left = {}

    def settle(self, group: Group) -> None:
        """Let the dead of a group end: the leader, or the last, when nothing of it is left."""
        leader = group.leader
        has_lost_leader = leader is not None and leader.state in (DEAD, ENDED)
        units = list(group.units.values())
        goes_on = not has_lost_leader and any(unit.state in (QUEUED, RUNNING) for unit in units)
        if goes_on or has_lost_leader:
            # By themselves: what is left of the group may wait for just that, as srun does.
            for unit in units:
                if unit.state == DEAD and unit is not leader:
                    self.finish(unit, ended(unit, oom=False))
        if not goes_on:
            self._wind_up(group)

    def _wind_up(self, group: Group) -> None:
        """End a group that has lost its leader, or all of its units."""
        for unit in list(group.units.values()):
            if unit.state == QUEUED:
                self.withdraw(unit)
        if self._is_gone(group):
            self._complete(group)
        elif group.ending is None:
            self._end_left_behind(group)
        elif not group.ending.is_killing and not group.ending.is_quiet:
            group.ending.is_new = True  # Some may have been born while they were told.

    def _end_left_behind(self, group: Group) -> None:
        """End what outlives a group's leader: steps as Slurm does, anything else at once.

        Who waited for such a step, its srun, tells of its end before it goes.
        """
        for unit in group.running:
            group.has_left_steps = True
            self._endings.end_unit(unit, "leader", unit.recipe.kill_wait_s)
        if group.running:
            return
        if group.has_left_steps:
            self._endings.see_off(group)
        else:
            self._endings.end(group, None, 0.0)

    def _is_gone(self, group: Group) -> bool:
        """Whether nobody of the group is left."""
        if group.strays or group.running:
            return False
        if group.is_adopted:
            left = self._left.get(group)
            return not (self._trees.members({group})[group] if left is None else left)
        return not group.cgroup or not self._cgroups.members(group.cgroup)

    def _complete(self, group: Group) -> None:
        kills = self._cgroups.oom_kills(group.cgroup) if group.has_memory_limit else 0
        if kills and group.leader is not None:
            group.excess = kills
            self._endings.notify(group.leader, "oom")
        for unit in list(group.units.values()):
            self.finish(unit, ended(unit, oom=kills > 0))
        self._endings.drop(group)
        self._herd.groups.pop(group.key, None)
        self._trees.forget(group)
        group.leader = None  # No circle is left for the garbage collector.
        if group.cgroup:
            self._cgroups.give(group.cgroup, is_clean=not group.has_memory_limit)
            group.cgroup = ""

    # --- Ends.

    def finish(self, unit: Unit, event: str) -> None:
        """Let a unit end with its last event; its lane goes on."""
        assert unit.state != ENDED, f"{unit.key} ended before"
        unit.event = event
        self._journal.note_text(end_record(unit))
        unit.state = ENDED
        unit.close()
        unit.group.units.pop(unit.key, None)
        self._endings.drop(unit)
        self._reports.tell(event, is_last=True, is_pressing=not self._lanes.has_work(unit.lane))
        self._lanes.leave(unit)

    def withdraw(self, unit: Unit) -> None:
        """Take back a unit that has not been started."""
        self.finish(unit, withdrawn(unit))

    def end(self, group: Group, why: str, kill_wait_s: float) -> None:
        """End a group: what waits is taken back, what runs is ended."""
        for unit in list(group.units.values()):
            if unit.state == QUEUED:
                self.withdraw(unit)
        if group.units:
            self._endings.end(group, why, kill_wait_s)
        else:
            self.settle(group)
