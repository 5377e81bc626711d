"""Which processes belong to which group, without the kernel's own grouping.

Whoever is born in a job descends from a unit's process, and falls to us when its parent ends, since
we are a subreaper. So a child of ours that is no unit, a *stray*, was left behind by some group: by
its session, by the token in its environment, or by elimination: it belongs to one of the groups
that ran when it was first seen, and goes when the last of them does. A process that left its
session, emptied its environment and ended its parent lives until then: that is what this lesser
mode, without cgroups, cannot tell sooner.

The kernel lists a process's children by the thread that made them, and gives who lost its parent to
the first thread: so its list holds every stray, and no unit that another thread made.

Always holds: ``known`` are children of our first thread that have not been reaped.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from stoker.shepherd.processes import Children, Process, census, token_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from stoker.shepherd.units import Group, Unit

    Member: TypeAlias = tuple[Process, Unit | None]
    Owner: TypeAlias = tuple[Group | None, Unit | None, bool]

_FOREIGN: Owner = (None, None, False)
_OURS: Owner = (None, None, True)
"""Group, unit, and whether a process descends from us."""


class Trees:
    """The processes of all groups, as far as they are known."""

    def __init__(self) -> None:
        """Know nobody yet."""
        self.own_pid = os.getpid()
        self.units: dict[int, Unit] = {}
        self.known: dict[int, object] = {}
        self._children = Children()
        self._sessions: dict[int, Group] = {}
        self._strays: dict[int, Group] = {}
        self._unclear: dict[int, set[Group]] = {}

    def close(self) -> None:
        """Let go of the list of children."""
        self._children.close()

    # --- Units come and go.

    @property
    def can_list(self) -> bool:
        """Whether the kernel tells whose children are whose, thread by thread."""
        return self._children.are_listed

    def add(self, unit: Unit, *, is_listed: bool = True) -> None:
        """Know the process of a unit; whether our first thread has it in its list of children."""
        self.units[unit.pid] = unit
        self.expect(unit)
        if is_listed and not unit.adopted:
            self.known[unit.pid] = unit

    def expect(self, unit: Unit) -> None:
        """Know whom a unit's process may have left behind."""
        self._sessions[unit.pid] = unit.group
        unit.group.pids.add(unit.pid)
        unit.group.tokens.add(unit.token)

    def remove(self, pid: int) -> Unit | Group | None:
        """Forget an ended process; return what it was: a unit, or a group's stray."""
        self.known.pop(pid, None)
        if unit := self.units.pop(pid, None):
            return unit
        self._unclear.pop(pid, None)
        group = self._strays.pop(pid, None)
        if group is not None:
            group.strays.discard(pid)
        return group

    def forget(self, group: Group) -> None:
        """Forget a group that is gone; a stray that can be nobody else's any more goes, too."""
        for pid in group.pids:
            if self._sessions.get(pid) is group:
                del self._sessions[pid]
        for pid, groups in self._unclear.items():
            groups.discard(group)
            if not groups:
                os.kill(pid, signal.SIGKILL)  # A child of ours: the number is its own.

    # --- Strays.

    def find_strays(self, groups: Iterable[Group]) -> None:
        """Look at our children for new strays; *groups* are all those that have not ended."""
        for pid in self._children.strangers(self.known):
            if pid in self.units:
                continue
            owner = self._owner_of_stray(pid)
            candidates = {owner} if owner else set(groups)
            self.known[pid] = None
            if len(candidates) == 1:
                self._give(pid, *candidates)
            elif candidates:
                self._unclear[pid] = candidates
            else:
                os.kill(pid, signal.SIGKILL)
        for pid in [pid for pid, left in self._unclear.items() if len(left) == 1]:
            (owner,) = self._unclear.pop(pid)
            self._give(pid, owner)

    def _give(self, pid: int, group: Group) -> None:
        self._strays[pid] = group
        group.strays.add(pid)

    def _owner_of_stray(self, pid: int) -> Group | None:
        with suppress(ProcessLookupError):
            session = os.getsid(pid)
            if group := self._sessions.get(session):
                return group
            if group := self._by_token(pid, set(self._sessions.values())):
                self._learn(session, group)
                return group
        return None

    # --- Members.

    def members(self, groups: set[Group]) -> dict[Group, list[Member]]:
        """Return the living processes of *groups*, each with the unit below which it stands.

        One look at /proc serves all of them.
        """
        everybody = census()
        found: dict[Group, list[Member]] = {group: [] for group in groups}
        owners: dict[int, Owner] = {self.own_pid: _OURS}
        adopted = {group for group in groups if group.is_adopted}
        for process in everybody.values():
            if process.is_dead:
                continue
            group, unit, is_ours = self._owner(process, everybody, owners)
            if group is None and (is_ours or adopted) and process.pid != self.own_pid:
                group = self._by_token(process.pid, groups if is_ours else adopted)
            if group in found:
                found[group].append((process, unit))
                self._learn(process.session, group)
        return found

    def _learn(self, session: int, group: Group) -> None:
        """Know by its session whoever of a group loses all above it before the next look."""
        if session not in self._sessions:
            self._sessions[session] = group
            group.pids.add(session)

    def _owner(
        self, process: Process, everybody: dict[int, Process], owners: dict[int, Owner]
    ) -> Owner:
        """Climb to a unit or a stray, and remember the way."""
        path = []
        owner = _FOREIGN
        present: Process | None = process
        while present is not None:
            if present.pid in owners:
                owner = owners[present.pid]
                break
            owners[present.pid] = _FOREIGN  # Nobody climbs in a circle, whatever /proc says.
            path.append(present)
            owner = self._named(present)
            present = everybody.get(present.parent) if owner[0] is None else None
        for each in reversed(path):
            if owner[0] is None:
                owner = self._by_session(each.session, owner)
            owners[each.pid] = owner
        return owner

    def _named(self, process: Process) -> Owner:
        """Return the owner of a process that is known by its pid."""
        unit = self.units.get(process.pid)
        if unit is not None and unit.ticks == process.ticks:
            return unit.group, unit, True
        group = self._strays.get(process.pid)
        return (group, None, True) if group is not None else _FOREIGN

    def _by_session(self, session: int, owner: Owner) -> Owner:
        """Return the group of a session; the number may be a stranger's unless it descends from us.

        What was adopted does not: there we rely on having watched its leader until now.
        """
        group = self._sessions.get(session)
        if group is None or not (owner[2] or group.is_adopted):
            return owner
        return group, self.units.get(session), owner[2]

    def _by_token(self, pid: int, groups: Iterable[Group]) -> Group | None:
        token = token_of(pid)
        return next((group for group in groups if token and token in group.tokens), None)
