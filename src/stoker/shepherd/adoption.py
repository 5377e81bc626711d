"""What a journal means to the next shepherd.

| it holds                 | same boot                                   | another boot          |
|--------------------------|---------------------------------------------|-----------------------|
| an intent only           | never started: withdrawn                    | lost: a begin may not |
|                          |                                             | have reached the disk |
| begin, no start          | adopted by its token, or lost               | lost                  |
| start                    | adopted if that very process lives; else    | lost                  |
|                          | ended, nobody knows how                     |                       |
| death                    | dead; what it left is ended                 | lost                  |
| end                      | told again until it is acknowledged         | the same              |

A process whose parent we are (for we began anew) is not adopted, but goes on as our child. Nothing
is ever started from a journal. A process that was between fork and exec when the shepherd before us
died holds that one's lock until it has executed, so that it cannot be missed here.
"""

from __future__ import annotations

import os
import time
from time import monotonic
from types import SimpleNamespace

from stoker.shepherd.journal import text_of
from stoker.shepherd.processes import census, look, token_of
from stoker.shepherd.telling import FIGURES, lost
from stoker.shepherd.units import DEAD, ENDED, NONSENSE, RUNNING, Recipe, Unit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from stoker.shepherd.deaths import Deaths
    from stoker.shepherd.herd import Herd
    from stoker.shepherd.journal import Record
    from stoker.shepherd.processes import Process
    from stoker.shepherd.trees import Trees

_EXEC_S_MAX = 1.0
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class _Story:
    """What the journal says of one unit."""

    __slots__ = ("cgroup", "death", "end", "intent", "is_begun", "start")

    def __init__(self, intent: dict[str, Any]) -> None:
        self.intent = intent
        self.is_begun = False
        self.cgroup = ""
        self.start: Record | None = None
        self.death: Record | None = None
        self.end: dict[str, Any] | None = None


class Adoption:
    """Makes units of what a shepherd before us wrote."""

    def __init__(self, herd: Herd, deaths: Deaths, trees: Trees, boot_id: str) -> None:
        """Fill *herd*; *boot_id* is this boot's."""
        self.damage: list[str] = []
        self.since: float | None = None
        """From when on the journal tells all, in epoch seconds; None if it does not say."""
        self._herd = herd
        self._deaths = deaths
        self._trees = trees
        self._boot_id = boot_id
        self._everybody: dict[str, list[Process]] | None = None

    def adopt(self, records: Iterable[Record]) -> list[Unit]:
        """Take over all that is told; return the units that run."""
        stories, pauses, boot_id = self._read(records)
        is_same_boot = boot_id == self._boot_id
        for story in stories.values():
            intent = story.intent
            try:
                unit = Unit(intent, Recipe(intent), self._herd.group_of(intent["group"]))
            except NONSENSE as error:
                self.damage.append(f"an intent says nothing ({error}): {intent!r}")
                continue
            self._herd.admit(unit)
            self._judge(unit, story, is_same_boot=is_same_boot)
        for key, (paused_s, paused_at) in pauses.items():
            if is_same_boot and key in self._herd.groups:
                group = self._herd.groups[key]
                group.paused_s, group.paused_at = paused_s, paused_at
        for group in [group for group in self._herd.groups.values() if not group.units]:
            del self._herd.groups[group.key]
        return [unit for unit in self._herd.units.values() if unit.state == RUNNING]

    def settle(self) -> None:
        """Let end what has ended while nobody watched."""
        groups = self._herd.groups.values()
        self._deaths.settle_all(
            [each for each in groups if any(unit.state == DEAD for unit in each.units.values())]
        )

    def _read(
        self, records: Iterable[Record]
    ) -> tuple[dict[str, _Story], dict[str, tuple[float, float]], str]:
        stories: dict[str, _Story] = {}
        pauses: dict[str, tuple[float, float]] = {}
        boot_id = ""
        for record in records:
            try:
                match record:
                    case ["journal", _, boot_id, *since]:
                        self.since = float(since[0]) if since else None
                    case ["launch" | "intent", said]:
                        stories |= {each["key"]: _Story(each) for each in _intents(said)}
                    case ["pause", group, paused_s, paused_at]:
                        pauses[group] = (paused_s, paused_at)
                    case ["forget", keys]:
                        for key in keys:
                            stories.pop(key, None)
                    case [str(kind), str(key), *rest]:
                        _tell(stories.get(key), kind, rest)
                    case _:
                        self.damage.append(f"a record says nothing: {record!r}")
            except NONSENSE as error:
                self.damage.append(f"a record says nothing ({error}): {record!r}")
        return stories, pauses, str(boot_id)

    def _judge(self, unit: Unit, story: _Story, *, is_same_boot: bool) -> None:
        if story.end is not None:
            unit.state, unit.event = ENDED, text_of(story.end)
            del unit.group.units[unit.key]
        elif not is_same_boot:
            self._lose(unit)
        elif story.death is not None and story.start is not None:
            unit.group.cgroup = story.cgroup
            self._bury(unit, story.start, *story.death)
        elif story.start is not None:
            unit.group.cgroup = story.cgroup
            self._take_over(unit, *story.start)
        elif not story.is_begun:
            self._deaths.withdraw(unit)
        elif process := self._find(unit.token):
            unit.group.cgroup = story.cgroup
            self._take_over(unit, process.pid, process.ticks, *_times(process))
        else:
            self._lose(unit)

    def _lose(self, unit: Unit) -> None:
        self._deaths.finish(unit, lost(unit))

    def _take_over(self, unit: Unit, pid: int, ticks: int, at: float, clock: float) -> None:
        unit.pid, unit.ticks, unit.started_at, unit.clock = pid, ticks, at, clock
        process = look(pid)
        if process is not None and process.ticks != ticks:
            process = None  # A stranger, to whom the number was given since.
        unit.adopted = process is None or process.parent != self._trees.own_pid
        unit.group.is_adopted = unit.group.is_adopted or unit.adopted
        unit.group.tokens.add(unit.token)
        # A dead child of ours is still to be reaped.
        if process is not None and not (unit.adopted and process.is_dead):
            unit.state = RUNNING
            self._trees.add(unit)
        else:
            unit.state, unit.why = DEAD, "unwatched"
            unit.ended_at = time.time()

    def _bury(
        self, unit: Unit, start: Record, status: int, at: float, why: str | None, usage: Record
    ) -> None:
        """Know of a child of ours how it ended; only what it left may still be there."""
        unit.pid, unit.ticks, unit.started_at, unit.clock = start
        unit.state, unit.status, unit.ended_at, unit.why = DEAD, status, at, why
        unit.usage = SimpleNamespace(**dict(zip(FIGURES, usage, strict=True)))
        self._trees.expect(unit)

    def _find(self, token: str) -> Process | None:
        """Return the process that was started with that token: the leader of its session."""
        if self._everybody is None:
            self._everybody = {}
            for process in census().values():
                if not process.is_dead and (found := token_of(process.pid, _EXEC_S_MAX)):
                    self._everybody.setdefault(found, []).append(process)
        known = self._trees.units
        candidates = [each for each in self._everybody.get(token, ()) if each.pid not in known]
        leaders = [each for each in candidates if each.session == each.pid]
        return min(leaders or candidates, key=lambda each: each.ticks, default=None)


def _intents(said: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what was said of each unit: by a launch message, or of one alone."""
    recipes = said.get("recipes")
    return [said] if recipes is None else [recipes[each["recipe"]] | each for each in said["units"]]


def _tell(story: _Story | None, kind: str, rest: Record) -> None:
    """Add a record to its unit's story."""
    if story is None:
        return
    if kind == "begin":
        story.is_begun, story.cgroup = True, str(rest[0])
    elif kind == "start":
        pid, ticks, at, clock = rest
        story.start = [int(pid), int(ticks), float(at), float(clock)]
    elif kind == "death":
        story.death = rest
    elif kind == "end":
        story.end = dict(rest[0])
    elif kind == "limit":
        story.intent["time_limit_s"] = rest[0]
    else:
        raise ValueError(kind)


def _times(process: Process) -> tuple[float, float]:
    """Return when a process was started: on the wall clock, and on the monotonic one."""
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - process.ticks / _TICKS_A_SECOND
    return time.time() - age_s, monotonic() - age_s
