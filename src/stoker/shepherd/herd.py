"""Who runs, who waits, who has ended: units from their intent to the last event that is kept.

A lane starts its next unit the moment the one before has gone with all that it left; thousands of
short jobs a second run that way without a word from stokerd. When a leading unit's process ends, or
the last of a group without a leader, all that is left of the group is killed; only then has it
ended.

Always holds: a unit is spawned only after its intent was synced and its begin written; each unit
ends in exactly one last event, which is kept until it is acknowledged.
"""

from __future__ import annotations

import os
import time
from collections import deque
from time import monotonic

from stoker.shepherd.failpoints import hit
from stoker.shepherd.journal import text_of
from stoker.shepherd.processes import Birth
from stoker.shepherd.spawn import SpawnError
from stoker.shepherd.units import DEAD, ENDED, QUEUED, RUNNING, Group, Lane, Unit, ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from typing import Any

    from stoker.shepherd.cgroups import Cgroups
    from stoker.shepherd.endings import Endings
    from stoker.shepherd.journal import Journal, Record
    from stoker.shepherd.limits import Limits
    from stoker.shepherd.reports import Reports
    from stoker.shepherd.spawn import Spawner
    from stoker.shepherd.trees import Member, Trees
    from stoker.shepherd.units import Event


class Herd:
    """All units, groups and lanes.

    Attributes:
        units: By key, the ended ones that nobody has acknowledged included.
        groups: Those that have not ended.
        arrivals: Units whose intent has not been synced.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        spawner: Spawner,
        trees: Trees,
        cgroups: Cgroups,
        endings: Endings,
        limits: Limits,
        reports: Reports,
    ) -> None:
        """Keep nobody yet."""
        self.units: dict[str, Unit] = {}
        self.groups: dict[str, Group] = {}
        self.arrivals: list[Unit] = []
        self._journal = journal
        self._spawner = spawner
        self._trees = trees
        self._cgroups = cgroups
        self._endings = endings
        self.limits = limits
        self._reports = reports
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Unit] = deque()
        self._bereft: dict[Group, None] = {}
        self._left: dict[Group, list[Member]] = {}
        endings.on_empty = self._settle_empty
        endings.on_pause = self._note_pause

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self.groups and not self.arrivals

    def group_of(self, key: str) -> Group:
        """Return the group of that key, which is made if need be."""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(key)
        return group

    def admit(self, unit: Unit) -> None:
        """Know a unit and what leads its group."""
        self.units[unit.key] = unit
        unit.group.units[unit.key] = unit
        if unit.is_leader:
            unit.group.leader = unit

    # --- Coming in.

    def take_on(self, unit: Unit) -> None:
        """Take a unit on; it starts, or joins its lane, when its intent is on record."""
        self.admit(unit)
        self._journal.note("intent", unit.intent())
        self.arrivals.append(unit)

    def tell_again(self, unit: Unit) -> None:
        """Tell what is known of a unit that was sent before."""
        if unit.event is not None:
            self._reports.tell(text_of(unit.event), is_last=True)
        elif unit.state in (RUNNING, DEAD):
            self._reports.tell(unit.started(), is_last=False)

    def commit_arrivals(self) -> None:
        """Put all new intents on record with one sync, and start those whose turn it is."""
        arrivals, self.arrivals = self.arrivals, []
        try:
            hit("intent")
            trouble = None if self._reports.commit() else self._journal.trouble
        except OSError as error:
            trouble = error
        for unit in arrivals:
            if unit.state != QUEUED:
                continue
            if trouble is not None:
                self._fail(unit, SpawnError("journal", trouble.errno or 0))
            elif unit.lane is None:
                self._ready.append(unit)
            else:
                self._join_lane(unit, unit.lane)

    def _join_lane(self, unit: Unit, name: str) -> None:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane()
        lane.waiting.append(unit)
        self._advance(name, lane)

    def _advance(self, name: str, lane: Lane) -> None:
        """Ready the next unit of a lane whose last one has gone."""
        while lane.busy is None and lane.waiting:
            unit = lane.waiting.popleft()
            if unit.state == QUEUED:
                lane.busy = unit
                self._ready.append(unit)
        if lane.busy is None:
            del self._lanes[name]

    # --- Starting.

    def start_ready(self) -> None:
        """Spawn all whose turn it is."""
        while self._ready:
            unit = self._ready.popleft()
            if unit.state == QUEUED:
                self._start(unit)
        self._spawner.rest()

    def _start(self, unit: Unit) -> None:
        try:
            self._begin(unit)
            birth = Birth()
            unit.pid = self._spawn(unit)
        except SpawnError as error:
            self._fail(unit, error)
            return
        except OSError as error:
            self._fail(unit, SpawnError("attributes", error.errno or 0))
            return
        self._note_start(unit, birth.ticks(unit.pid))

    def _begin(self, unit: Unit) -> None:
        group = unit.group
        if self._cgroups.base and not group.cgroup:
            group.cgroup = self._cgroups.take()
            if unit.memory_mib and self._cgroups.has_memory:
                self._cgroups.limit_memory(group.cgroup, unit.memory_mib)
                group.has_memory_limit = True
        try:
            hit("begin")
            self._journal.note_text(unit.begin_record())
            trouble = None if self._journal.write() else self._journal.trouble
        except OSError as error:
            trouble = error
        if trouble is not None:
            raise SpawnError("journal", trouble.errno or 0)

    def _spawn(self, unit: Unit) -> int:
        if unit.order is not None and self._is_in_a_row(unit):
            unit.order["pid_variable"] = None
        if not unit.group.cgroup:
            return self._spawner.spawn(unit)
        self._cgroups.enter(unit.group.cgroup)
        try:
            return self._spawner.spawn(unit)
        finally:
            self._cgroups.leave()

    def _note_start(self, unit: Unit, ticks: int) -> None:
        hit("start")
        unit.ticks = ticks
        unit.started_at = time.time()
        unit.clock = monotonic()
        unit.paused_before_s = unit.group.pause_s(unit.clock)
        unit.state = RUNNING
        unit.order = None
        _close(unit)
        self._trees.add(unit)
        self._journal.note_text(unit.start_record())
        self._journal.write()
        is_pressing = not self._is_followed(unit)
        self._reports.tell(unit.started(), is_last=False, is_pressing=is_pressing)
        self.limits.watch(unit)

    def _fail(self, unit: Unit, error: SpawnError) -> None:
        event = {
            "event": "failed",
            "key": unit.key,
            "step": error.step,
            "errno": error.errno,
            "message": str(error),
            "at": time.time(),
            "path": error.path,
        }
        self.finish(unit, event)
        self.settle(unit.group)

    # --- Ending.

    def reap(self) -> None:
        """Take in all children that have ended, and what follows from it."""
        hit("reap")
        affected: dict[Group, None] = {}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            owner = self._trees.remove(pid)
            if isinstance(owner, Unit):
                self._note_death(owner, status, usage)
                affected[owner.group] = None
            elif owner is not None:
                affected[owner] = None
        if affected:
            self.settle_all(affected)

    def lose_sight(self, unit: Unit) -> None:
        """Take in that an adopted process has ended; nobody could ask how."""
        self._trees.remove(unit.pid)
        self._note_death(unit, None, None)
        self._bereft[unit.group] = None

    def settle_bereft(self) -> None:
        """Let end the groups whose adopted processes have ended; many go in one turn."""
        groups, self._bereft = self._bereft, {}
        if groups:
            self.settle_all(groups)

    def _note_death(self, unit: Unit, status: int | None, usage: Any) -> None:
        unit.state = DEAD
        unit.status, unit.usage, unit.ended_at = status, usage, time.time()
        ending = unit.ending or unit.group.ending
        if ending is not None and ending.why is not None:
            unit.why = ending.why
        self.limits.drop(unit)

    def settle_all(self, groups: Collection[Group]) -> None:
        """Look for what the dead left behind, and let end who can."""
        self._trees.find_strays(self.groups.values())
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
            for unit in group.running:
                unit.why = "leader"
            self._endings.end(group, None, 0.0)
        elif not group.ending.is_killing:
            group.ending.is_new = True  # Some may have been born while they were told.

    def _is_gone(self, group: Group) -> bool:
        """Whether nobody of the group is left."""
        if group.running or group.strays:
            return False
        if group.is_adopted:
            left = self._left.get(group)
            return not (self._trees.members({group})[group] if left is None else left)
        return not group.cgroup or not self._cgroups.members(group.cgroup)

    def _complete(self, group: Group) -> None:
        oom = group.has_memory_limit and self._cgroups.had_oom(group.cgroup)
        for unit in list(group.units.values()):
            self.finish(unit, ended(unit, oom=oom))
        self._endings.drop(group)
        self.groups.pop(group.key, None)
        self._trees.forget(group)
        if group.cgroup:
            self._cgroups.give(group.cgroup, is_clean=not group.has_memory_limit)
            group.cgroup = ""

    def finish(self, unit: Unit, event: Event) -> None:
        """Let a unit end with its last event; its lane goes on."""
        assert unit.state != ENDED, f"{unit.key} ended before"
        unit.state = ENDED
        unit.event = event
        unit.order = None
        _close(unit)
        unit.group.units.pop(unit.key, None)
        self._endings.drop(unit)
        text = text_of(event)
        self._journal.note_text(f'["end",{unit.quoted_key},{text}]')
        self._reports.tell(text, is_last=True, is_pressing=not self._is_followed(unit))
        lane = self._lanes.get(unit.lane) if unit.lane is not None else None
        if lane is not None and unit.lane is not None and lane.busy is unit:
            lane.busy = None
            lane.has_moved = True
            self._advance(unit.lane, lane)

    def _is_in_a_row(self, unit: Unit) -> bool:
        """Whether units run one after the other here: then a fork would cost as much as they do."""
        lane = self._lanes.get(unit.lane) if unit.lane is not None else None
        return lane is not None and (lane.has_moved or bool(lane.waiting))

    def _is_followed(self, unit: Unit) -> bool:
        """Whether the unit's cores have work enough without a word from stokerd."""
        lane = self._lanes.get(unit.lane) if unit.lane is not None else None
        return lane is not None and len(lane.waiting) > 1

    def withdraw(self, unit: Unit) -> None:
        """Take back a unit that has not been started."""
        self.finish(unit, {"event": "withdrawn", "key": unit.key})

    def acknowledge(self, keys: Iterable[str]) -> None:
        """Forget the units whose last event stokerd has on record."""
        forgotten = []
        for key in keys:
            unit = self.units.get(key)
            if unit is not None and unit.state == ENDED:
                del self.units[key]
                forgotten.append(key)
        if forgotten:
            self._journal.note("forget", forgotten)

    def end(self, group: Group, why: str, kill_wait_s: float) -> None:
        """End a group: what waits is taken back, what runs is ended."""
        for unit in list(group.units.values()):
            if unit.state == QUEUED:
                self.withdraw(unit)
        if group.units:
            self._endings.end(group, why, kill_wait_s)
        else:
            self.settle(group)

    # --- What is on record.

    def _note_pause(self, group: Group) -> None:
        self.limits.watch_all(group)
        self._journal.note("pause", group.key, group.paused_s, group.paused_at)
        self._journal.write()

    def limit(self, group: Group, limit_s: float | None) -> None:
        """Change the time limit of a group's leader, or of all its units if it has none."""
        for unit in [group.leader] if group.leader else group.units.values():
            unit.limit_s = limit_s
            self._journal.note("limit", unit.key, limit_s)
            self.limits.watch(unit)
        self._journal.write()

    def records(self) -> Iterator[Record]:
        """Give what a fresh journal must hold."""
        for unit in self.units.values():
            yield ["intent", unit.intent()]
            if unit.state in (RUNNING, DEAD):
                yield ["begin", unit.key, unit.group.cgroup]
                yield ["start", unit.key, unit.pid, unit.ticks, unit.started_at, unit.clock]
            elif unit.event is not None:
                yield ["end", unit.key, unit.event]
        for group in self.groups.values():
            if group.paused_s or group.paused_at:
                yield ["pause", group.key, group.paused_s, group.paused_at]

    def snapshot(self) -> list[Event]:
        """Return all units as the welcome tells them."""
        return [_known(unit) for unit in self.units.values()]


def _known(unit: Unit) -> Event:
    if unit.event is not None:
        return {"key": unit.key, "state": ENDED, "end": unit.event}
    state = QUEUED if unit.state == QUEUED else RUNNING
    return {
        "key": unit.key,
        "state": state,
        "pid": unit.pid,
        "start_ticks": unit.ticks,
        "started_at": unit.started_at,
    }


def _close(unit: Unit) -> None:
    for descriptor in unit.descriptors:
        if descriptor >= 0:
            os.close(descriptor)
    unit.descriptors = []
    unit.environment = None
