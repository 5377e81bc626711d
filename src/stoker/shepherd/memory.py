"""Memory limits that no control group keeps: a look now and then at what jobs hold.

Only while something runs that has such a limit are there looks; one serves all of it. The first
comes soon after a start, for that is when memory is taken, the next ones after pauses that double
until they are as long as was asked for.

What is held is judged in three steps, each dearer than the one before, and taken only if that says
too much: all resident pages (``statm``); those that cannot be given back, which leaves out mapped
files (``status``); and of those that several processes share, each one's part (``smaps_rollup``).
So workers that were forked from one large process do not count it once each.

Between two looks a job may hold what it likes: who needs a limit that holds at every moment needs a
control group with memory.

Source: proc(5); slurm.conf(5) on JobAcctGatherParams, ``OverMemoryKill``, ``UsePss``, ``NoShared``.
"""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic

from stoker.shepherd.units import RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from stoker.shepherd.endings import Endings
    from stoker.shepherd.herd import Herd
    from stoker.shepherd.timers import Timers
    from stoker.shepherd.trees import Member, Trees
    from stoker.shepherd.units import Group, Unit

WHY = "memory"
"""Why a group is ended that holds too much."""

_NEVER = float("inf")
_FIRST_S = 2.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_READ_MAX = 8192
_HELD = (b"RssAnon:", b"RssShmem:")
_PARTS = (b"Pss_Anon:", b"Pss_Shmem:")


class Memory:
    """Ends groups that hold more than they were given, and notes how much units held at most."""

    def __init__(self, herd: Herd, trees: Trees, endings: Endings, timers: Timers) -> None:
        """Find the processes of *herd*'s groups by *trees*; end them through *endings*."""
        self._herd = herd
        self._trees = trees
        self._endings = endings
        self._timers = timers
        self._next_at = _NEVER
        self._timer: list[Any] | None = None

    def expect(self, unit: Unit) -> None:
        """Look at a unit that has been started."""
        every_s = unit.recipe.memory_check_s
        if every_s is not None:
            self._look_by(unit.clock + min(every_s, _FIRST_S))

    def _look_by(self, when: float) -> None:
        if when >= self._next_at:
            return
        if self._timer is not None:
            self._timers.cancel(self._timer)
        self._next_at = when
        self._timer = self._timers.at(when, self._look)

    def _look(self) -> None:
        self._next_at, self._timer = _NEVER, None
        watched = {group: unit for group in self._herd.groups.values() if (unit := _limited(group))}
        if not watched:
            return
        members = self._trees.members(set(watched))
        for group, unit in watched.items():
            limit = (unit.recipe.memory_mib or 0) << 20
            held = _note_sizes(group, members[group])
            if held > limit and (held := _kept(members[group], limit)) > limit:
                group.excess = held
                self._endings.end(group, WHY, 0.0)
        now = monotonic()
        self._look_by(now + min(_pause_s(unit, now) for unit in watched.values()))


def _limited(group: Group) -> Unit | None:
    """Return a unit of the group that says how much that may hold; None: nobody is to look."""
    if group.has_memory_limit or group.ending is not None:
        return None
    for unit in group.units.values():
        recipe = unit.recipe
        if unit.state == RUNNING and recipe.memory_mib and recipe.memory_check_s is not None:
            return unit
    return None


def _pause_s(unit: Unit, now: float) -> float:
    """Return the time to the next look: as long as the unit has run, within bounds."""
    return min(unit.recipe.memory_check_s or _NEVER, max(_FIRST_S, now - unit.clock))


def _note_sizes(group: Group, members: Iterable[Member]) -> int:
    """Note what each unit holds now, if that is more than before; return the resident bytes."""
    sizes: dict[Unit | None, list[int]] = {}
    for process, unit in members:
        size, resident = _pages(process.pid)
        total = sizes.setdefault(unit or group.leader, [0, 0])
        total[0] += resident
        total[1] += size
    for unit, total in sizes.items():
        if unit is not None:
            unit.peaks = [max(pair) for pair in zip(unit.peaks or (0, 0), total, strict=True)]
    return _PAGE * sum(resident for resident, _ in sizes.values())


def _kept(members: Iterable[Member], limit: int) -> int:
    """Return the bytes that processes hold and cannot give back; exact if they are too many."""
    pids = [process.pid for process, _ in members]
    held = sum(_figures(pid, "status", _HELD) for pid in pids)
    if held <= limit or len(pids) == 1:
        return held
    # Of whom the kernel does not tell the part, that is the whole; of who has just ended, nothing.
    parts = (
        _figures(pid, "smaps_rollup", _PARTS) or _figures(pid, "status", _HELD) for pid in pids
    )
    return sum(parts)


def _pages(pid: int) -> tuple[int, int]:
    """Return a process's size and its resident pages; none if it has gone."""
    fields = _read(pid, "statm").split(b" ", 2)
    return (int(fields[0]), int(fields[1])) if len(fields) > 1 else (0, 0)


def _figures(pid: int, name: str, keys: tuple[bytes, ...]) -> int:
    """Return the sum of some lines of a file of kibibytes, in bytes; 0 if they are not there."""
    lines = [line.split() for line in _read(pid, name).splitlines()]
    return sum(int(words[1]) for words in lines if len(words) > 1 and words[0] in keys) << 10


def _read(pid: int, name: str) -> bytes:
    """Return a small file of a process, or nothing."""
    with suppress(OSError):
        descriptor = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _READ_MAX)
        finally:
            os.close(descriptor)
    return b""
