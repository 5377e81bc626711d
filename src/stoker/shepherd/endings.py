"""Signals to trees of processes, and their end: TERM, a while to obey, KILL until nobody is left.

Who is stopped could not obey: CONT comes before TERM, as in Slurm.

To kill is to stop first: whoever is stopped forks no more and keeps its children below it, so that
looks at /proc are repeated until one finds nobody new; then all are killed at once. All groups that
end in one turn share these looks. Where the kernel groups processes (cgroups), it kills.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from time import monotonic

from stoker.shepherd.processes import send
from stoker.shepherd.spawn import SHORTAGE
from stoker.shepherd.units import RUNNING, Ending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stoker.shepherd.cgroups import Cgroups
    from stoker.shepherd.processes import Process
    from stoker.shepherd.timers import Timers
    from stoker.shepherd.trees import Member, Trees
    from stoker.shepherd.units import Group, Unit

_LOOKS_MAX = 30
_LOOKS_S_MAX = 0.5
_PAUSE_S_MIN, _PAUSE_S_MAX = 0.005, 1.0
_FAREWELL_S = 2.0
"""How long who waited for a step may take to tell of its end, once the script is gone."""
UNKILLABLE_TRIES = 10
"""How often all that is left was killed before we call it unkillable."""


class Endings:
    """Groups and units that are being ended.

    Attributes:
        on_empty: Called with a group of which nobody was found alive any more.
        on_pause: Called with a group that was suspended or goes on.
    """

    def __init__(self, trees: Trees, cgroups: Cgroups, timers: Timers) -> None:
        """Find processes by *trees* or *cgroups*."""
        self.on_empty: Callable[[Group], None] = lambda _: None
        self.on_pause: Callable[[Group], None] = lambda _: None
        self.active: dict[Group | Unit, Ending] = {}
        self._trees = trees
        self._cgroups = cgroups
        self._timers = timers
        self._own_group = os.getpgrp()
        self._again_at = 0.0

    # --- What is asked for.

    def end(self, group: Group, why: str | None, kill_wait_s: float) -> None:
        """End all processes of a group; asked again, the shorter wait counts and the first why."""
        kill_at = monotonic() + kill_wait_s
        if group.ending is None:
            group.ending = self._begin(group, None, why, kill_at)
            for unit in [group.leader] if group.leader else group.running:
                self._notify(unit, why)
        elif kill_at < group.ending.kill_at:
            self._hasten(group.ending, kill_at)

    def end_unit(self, unit: Unit, why: str | None, kill_wait_s: float) -> None:
        """End all processes below one unit."""
        kill_at = monotonic() + kill_wait_s
        if unit.ending is None:
            unit.ending = self._begin(unit.group, unit, why, kill_at)
            self._notify(unit, why)
        elif kill_at < unit.ending.kill_at:
            self._hasten(unit.ending, kill_at)

    def see_off(self, group: Group) -> None:
        """Let go those of a group who wait for nothing but the end of its steps, as srun does.

        Whoever stays for too long is killed.
        """
        group.ending = self._begin(group, None, None, monotonic() + _FAREWELL_S)
        group.ending.is_new, group.ending.is_quiet = False, True

    def drop(self, subject: Group | Unit) -> None:
        """Forget the ending of what has ended."""
        subject.ending = None
        ending = self.active.pop(subject, None)
        if ending is not None and ending.timer is not None:
            self._timers.cancel(ending.timer)

    def _begin(self, group: Group, unit: Unit | None, why: str | None, kill_at: float) -> Ending:
        ending = Ending(group, unit, why, kill_at)
        self.active[unit or group] = ending
        self._wake(ending, kill_at)
        return ending

    def _wake(self, ending: Ending, when: float) -> None:
        """Have a turn at that time; what is due then is seen in it."""
        if ending.timer is not None:
            self._timers.cancel(ending.timer)
        ending.timer = self._timers.at(when, lambda: None)

    def _hasten(self, ending: Ending, kill_at: float) -> None:
        ending.kill_at = kill_at
        self._wake(ending, kill_at)

    def _notify(self, unit: Unit, why: str | None) -> None:
        if unit.state == RUNNING:
            self.notify(unit, why)

    def notify(self, unit: Unit, why: str | None) -> None:
        """Write into a unit's output what Slurm writes there when that happens to a job."""
        text = unit.notice(why)
        if not text or not unit.stderr:
            return
        text = text.replace("{time}", time.strftime("%Y-%m-%dT%H:%M:%S"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        with suppress(OSError):
            descriptor = os.open(unit.stderr, flags)
            try:
                os.write(descriptor, os.fsencode(text))
            finally:
                os.close(descriptor)

    # --- A turn.

    def is_due(self) -> bool:
        """Whether somebody is to be told, or killed, now."""
        now = monotonic()
        return any(
            ending.is_new or now >= max(ending.kill_at, ending.next_at)
            for ending in self.active.values()
        )

    def act(self) -> None:
        """Tell those that are to end, and kill those whose time to obey is over.

        Without a descriptor to look at processes with, it is tried again in a while.
        """
        try:
            self._act()
        except OSError as error:
            if error.errno not in SHORTAGE:
                raise
            now = monotonic()
            if now >= self._again_at:
                self._again_at = now + _PAUSE_S_MAX
                self._timers.at(self._again_at, lambda: None)

    def _act(self) -> None:
        now = monotonic()
        killing = [each for each in self.active.values() if now >= each.kill_at]
        telling = [each for each in self.active.values() if each.is_new and now < each.kill_at]
        if telling:
            self._tell(telling)
        if killing := [each for each in killing if now >= each.next_at]:
            self._kill(killing)

    def _tell(self, endings: list[Ending]) -> None:
        """Send TERM, once to each, until a look finds nobody new: some fork while we tell them."""
        groups = {ending.group for ending in endings}
        for _ in range(_LOOKS_MAX):
            members = self._trees.members(groups)
            fresh = [
                process
                for ending in endings
                for process in self._fresh(ending, members[ending.group])
            ]
            self._send_all(fresh, signal.SIGCONT)
            self._send_all(fresh, signal.SIGTERM)
            if not fresh:
                break
        for ending in endings:
            ending.is_new = False
            if ending.group.paused_at:
                self.resume(ending.group)

    def _fresh(self, ending: Ending, members: list[Member]) -> list[Process]:
        """Return the members that are to end and have not been reached; they are noted now.

        The leader's come first: who waits there for a step, srun, hears of it before it ends.
        """
        leader = ending.group.leader
        mine = _below(ending.unit, sorted(members, key=lambda member: member[1] is not leader))
        fresh = [each for each in mine if _identity(each) not in ending.reached]
        ending.reached.update(map(_identity, fresh))
        return fresh

    def _kill(self, endings: list[Ending]) -> None:
        """Stop, look again until nobody is new, kill; those found empty are told at the end."""
        for ending in endings:
            ending.is_new, ending.is_killing = False, True
            ending.reached.clear()
            if ending.unit is None and ending.group.cgroup:
                with suppress(OSError):
                    self._cgroups.kill(ending.group.cgroup)
        left = self._stop(endings)
        for ending in endings:
            mine = left[ending]
            self._send_all(mine, signal.SIGKILL)
            self._send_sets(mine, signal.SIGKILL)
            ending.tries += 1
            pause_s = min(_PAUSE_S_MAX, _PAUSE_S_MIN * 2 ** min(ending.tries, 10))
            ending.next_at = monotonic() + pause_s
            self._wake(ending, ending.next_at)
        for ending in endings:
            if not left[ending]:
                self.on_empty(ending.group)

    def _stop(self, endings: Iterable[Ending]) -> dict[Ending, list[Process]]:
        """Stop all below *endings* until nobody new appears; return whom the last look found."""
        groups = {ending.group for ending in endings}
        give_up_at = monotonic() + _LOOKS_S_MAX
        left: dict[Ending, list[Process]] = {}
        for _ in range(_LOOKS_MAX):
            members = self._trees.members(groups)
            is_stable = True
            for ending in endings:
                left[ending] = _below(ending.unit, members[ending.group])
                fresh = self._fresh(ending, members[ending.group])
                self._send_all(fresh, signal.SIGSTOP)
                self._send_sets(fresh, signal.SIGSTOP)
                is_stable = is_stable and not fresh
            if is_stable or monotonic() > give_up_at:
                break
        return left

    # --- Signals.

    def signal(self, group: Group, number: int, scope: str) -> None:
        """Send a signal to a group's leader, to its other units, or to all of it."""
        if scope == "leader":
            if group.leader is not None and group.leader.state == RUNNING:
                self._send_leader(group.leader, number)
            return
        members = self._trees.members({group})[group]
        if scope == "children":
            leader = group.leader
            members = [each for each in members if leader is None or each[1] not in (leader, None)]
        self._send_all([process for process, _ in members], number)

    def signal_unit(self, unit: Unit, number: int) -> None:
        """Send a signal to all processes below one unit."""
        members = self._trees.members({unit.group})[unit.group]
        self._send_all(_below(unit, members), number)

    def warn(self, unit: Unit, number: int, *, leader_only: bool) -> None:
        """Send the signal that was asked for before the end of a unit's time."""
        if unit is unit.group.leader:
            self.signal(unit.group, number, "leader" if leader_only else "children")
        else:
            self.signal_unit(unit, number)

    def suspend(self, group: Group) -> None:
        """Stop all processes of a group, and the clock of its time limits."""
        if not group.paused_at and group.ending is None:
            group.paused_at = monotonic()
            self._stop([Ending(group, None, None, 0.0)])
            self.on_pause(group)

    def resume(self, group: Group) -> None:
        """Let a suspended group go on."""
        if group.paused_at:
            group.paused_s = group.pause_s(monotonic())
            group.paused_at = 0.0
            self.signal(group, signal.SIGCONT, "all")
            self.on_pause(group)

    def _send_leader(self, unit: Unit, number: int) -> None:
        members = self._trees.members({unit.group})[unit.group] if unit.adopted else []
        if not unit.adopted:
            os.kill(unit.pid, number)
        self._send_all([each for each, _ in members if each.pid == unit.pid], number)

    def _send_all(self, processes: Iterable[Process], number: int) -> None:
        for process in processes:
            # Whom we may not signal (it changed its user) stays, and is looked for again.
            with suppress(PermissionError):
                send(process, number, self._trees.own_pid)

    def _send_sets(self, processes: Iterable[Process], number: int) -> None:
        """Send a signal to their process groups at once: no fork escapes that, as it may a list.

        A process group lies in one session, so all of it is the job's.
        """
        for group_id in {process.group_id for process in processes} - {0, self._own_group}:
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(group_id, number)


def _identity(process: Process) -> tuple[int, int]:
    return process.pid, process.ticks


def _below(unit: Unit | None, members: list[Member]) -> list[Process]:
    """Return the members that stand below *unit*, or all."""
    return [process for process, owner in members if unit is None or owner is unit]
