"""An engine that runs nothing: a test decides which unit starts, how it ends, and what is heard.

It behaves as the shepherd and `LocalEngine` together do. What the daemon asks stands in an inbox
until the shepherd reads it, what the shepherd tells stands in an outbox until it is delivered, both
in order; a daemon that dies leaves the units, and takes the outbox with it. Units of a lane start
one after the other. An end is kept until it is acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from stoker.engines.base import (
    Ended,
    EngineEvent,
    Evidence,
    Failed,
    Listener,
    Lost,
    Started,
    Unit,
    Withdrawn,
    group_key,
    parse_key,
)

BOOT = "a boot that no process of this machine has seen"
_FIRST_PID = 2**30


@dataclass(repr=False)
class FakeUnit:
    """A unit, queued until `started`, ended once it has an `end`."""

    unit: Unit
    started: Started | None = None
    end: EngineEvent | None = None
    ending: str | None = None
    is_suspended: bool = False
    time_limit_s: float | None = None

    def __repr__(self) -> str:
        lane = f" in lane {self.unit.lane}" if self.unit.lane else ""
        state = self.end or self.started or "queued"
        wishes = f", ending: {self.ending}" if self.ending else ""
        wishes += ", suspended" if self.is_suspended else ""
        return f"<{self.key}{lane}, {state}{wishes}>"

    @property
    def key(self) -> str:
        return self.unit.key

    @property
    def group(self) -> str:
        key = parse_key(self.key)
        return group_key(key.job_id, key.attempt)

    @property
    def is_queued(self) -> bool:
        return self.started is None and self.end is None

    @property
    def is_running(self) -> bool:
        return self.started is not None and self.end is None


class FakeEngine:
    """Keeps units; implements `stoker.engines.base.Engine`.

    Attributes:
        units: By key, in the order of their launch, until their end is acknowledged.
        inbox: What was asked and not read yet; with `is_prompt` it is read at once.
        outbox: Events on their way to the daemon.
        starts: How often each key was started, ever.
        on_launch: Called with each unit that the daemon hands in.
        on_again: Called with what is known of a unit that is handed in, if it is known already.
        on_acknowledge: Called with each unit that the daemon lets the engine forget.
        on_call, on_done: Called with the name of what the daemon asks, before and after it is sent.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.units: dict[str, FakeUnit] = {}
        self.inbox: list[Callable[[], None]] = []
        self.outbox: list[EngineEvent] = []
        self.starts: dict[str, int] = {}
        self.is_prompt = True
        self.on_launch: Callable[[Unit], None] = lambda _: None
        self.on_again: Callable[[FakeUnit], None] = lambda _: None
        self.on_acknowledge: Callable[[FakeUnit], None] = lambda _: None
        self.on_call: Callable[[str], None] = lambda _: None
        self.on_done: Callable[[str], None] = lambda _: None
        self._clock = clock
        self._listener: Listener = lambda _: None
        self._pids = _FIRST_PID
        self._unsettled: dict[str, Started | None] = {}

    # What a test does to it.

    def read(self, count: int | None = None) -> None:
        """Let the shepherd read what it was asked, all of it or the first *count*."""
        while self.inbox and (count is None or count > 0):
            self.inbox.pop(0)()
            count = None if count is None else count - 1

    def startable(self) -> list[FakeUnit]:
        """Return the queued units whose turn it is."""
        found, busy = [], set()
        for each in self.units.values():
            lane = each.unit.lane
            if each.end is not None or lane in busy:
                continue
            if each.is_queued:
                found.append(each)
            if lane is not None:
                busy.add(lane)
        return found

    def running(self) -> list[FakeUnit]:
        """Return the units that have a process."""
        return [each for each in self.units.values() if each.is_running]

    def start(self, key: str) -> None:
        """Let a unit's process begin."""
        unit = self.units[key]
        assert unit in self.startable(), f"it is not the turn of {key}"
        self._pids += 1
        unit.started = Started(key, self._pids, 1, self._clock())
        self.starts[key] = self.starts.get(key, 0) + 1
        self._tell(unit.started)

    def finish(self, key: str, code: int = 0, signal: int = 0, **more: Any) -> None:
        """Let a unit's process end; what was asked for is the reason, unless *more* says why."""
        unit = self.units[key]
        assert unit.is_running, f"{key} does not run"
        more.setdefault("why", unit.ending)
        more.setdefault("status_known", True)
        self._end(unit, Ended(key, code, signal, at=self._clock(), **more))

    def refuse(self, key: str, step: str, errno: int) -> None:
        """Let a unit fail to start."""
        assert self.units[key].is_queued, f"{key} has been started"
        self._end(self.units[key], Failed(key, step, errno, "refused", self._clock()))

    def lose(self, key: str) -> None:
        """Let nobody know what became of a unit."""
        self._end(self.units[key], Lost(key))

    def deliver(self, count: int | None = None) -> list[EngineEvent]:
        """Tell the daemon the first *count* events, or all, in one message; return them."""
        events = self.outbox[:count]
        del self.outbox[: len(events)]
        self.tell(events)
        return events

    def reconnect_events(self, count: int = 0) -> list[EngineEvent]:
        """Break the connection when *count* of the inbox was read; return what is told then."""
        self._hang_up(count)
        evidence = self.survey()
        told = {event.key for event in evidence.events}
        unheard = self._unsettled.keys() - evidence.queued - evidence.running.keys() - told
        return [
            *evidence.running.values(),
            *evidence.events,
            *(
                Withdrawn(key) if self._unsettled[key] is None else Lost(key)
                for key in sorted(unheard)
            ),
        ]

    def tell(self, events: Sequence[EngineEvent]) -> None:
        """Tell the daemon these events in one message."""
        for event in events:
            self._settle(event)
        if events:
            self._listener(events)

    def hang_up(self, count: int) -> None:
        """The daemon is dead: *count* of what it asked is read, what it was to hear is dropped."""
        self._listener = lambda _: None
        self._hang_up(count)

    def _hang_up(self, count: int) -> None:
        self.read(count)
        self.inbox.clear()
        self.outbox.clear()

    # What the shepherd does.

    def _tell(self, event: EngineEvent) -> None:
        self.outbox.append(event)

    def _end(self, unit: FakeUnit, event: EngineEvent) -> None:
        assert unit.end is None, f"{unit.key} has ended before"
        unit.end = event
        self._tell(event)

    def _take(self, units: Sequence[Unit]) -> None:
        for unit in units:
            known = self.units.get(unit.key)
            if known is None:
                self.units[unit.key] = FakeUnit(unit, time_limit_s=unit.recipe.time_limit_s)
            else:
                self.on_again(known)
                self._tell_again(known)

    def _tell_again(self, unit: FakeUnit) -> None:
        if event := unit.end or unit.started:
            self._tell(event)

    def _withdraw(self, keys: Sequence[str]) -> None:
        for key in keys:
            unit = self.units.get(key)
            if unit is not None and unit.is_queued:
                self._end(unit, Withdrawn(key))
            elif unit is not None and unit.is_running:
                self._tell_again(unit)

    def _end_group(self, group: str, why: str) -> None:
        for unit in self._members(group):
            self._end_unit(unit.key, why)

    def _end_unit(self, key: str, why: str) -> None:
        unit = self.units.get(key)
        if unit is not None and unit.is_queued:
            self._end(unit, Withdrawn(key))
        elif unit is not None and unit.is_running:
            unit.ending = unit.ending or why
            unit.is_suspended = False

    def _pause(self, group: str, *, is_suspended: bool) -> None:
        for unit in self._members(group):
            unit.is_suspended = is_suspended

    def _limit(self, group: str, time_limit_s: float | None) -> None:
        for unit in self._members(group):
            unit.time_limit_s = time_limit_s

    def _limit_unit(self, key: str, time_limit_s: float | None) -> None:
        if key in self.units:
            self.units[key].time_limit_s = time_limit_s

    def _forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            unit = self.units.get(key)
            if unit is not None and unit.end is not None:
                self.on_acknowledge(unit)
                del self.units[key]

    def _members(self, group: str) -> list[FakeUnit]:
        return [each for each in self.units.values() if each.group == group]

    # What the daemon does.

    def _settle(self, event: EngineEvent) -> None:
        if not isinstance(event, Started):
            self._unsettled.pop(event.key, None)
        elif event.key in self._unsettled:
            self._unsettled[event.key] = event

    def _ask(self, name: str, act: Callable[[], None]) -> None:
        self.on_call(name)
        self._send(name, act)

    def _send(self, name: str, act: Callable[[], None]) -> None:
        self.inbox.append(act)
        if self.is_prompt:
            self.read()
        self.on_done(name)

    def open(self, listener: Listener) -> Evidence:
        self._listener = listener
        evidence = self.survey()
        self._unsettled = {**dict.fromkeys(evidence.queued), **evidence.running}
        return evidence

    def close(self) -> None:
        self._listener = lambda _: None

    def launch(self, units: Sequence[Unit], descriptors: Mapping[str, Sequence[int]]) -> None:
        self.on_call("launch")
        for unit in units:
            self.on_launch(unit)
            self._unsettled.setdefault(unit.key, None)
        self._send("launch", partial(self._take, units))

    def withdraw(self, keys: Sequence[str]) -> None:
        self._ask("withdraw", partial(self._withdraw, list(keys)))

    def end(self, group: str, why: str, kill_wait_s: float) -> None:
        self._ask("end", partial(self._end_group, group, why))

    def end_unit(self, key: str, why: str, kill_wait_s: float) -> None:
        self._ask("end_unit", partial(self._end_unit, key, why))

    def signal(self, group: str, signal: int, scope: str) -> None:
        self._ask("signal", lambda: None)

    def signal_unit(self, key: str, signal: int) -> None:
        self._ask("signal_unit", lambda: None)

    def suspend(self, group: str) -> None:
        self._ask("suspend", partial(self._pause, group, is_suspended=True))

    def resume(self, group: str) -> None:
        self._ask("resume", partial(self._pause, group, is_suspended=False))

    def limit(self, group: str, time_limit_s: float | None) -> None:
        self._ask("limit", partial(self._limit, group, time_limit_s))

    def limit_unit(self, key: str, time_limit_s: float | None) -> None:
        self._ask("limit_unit", partial(self._limit_unit, key, time_limit_s))

    def acknowledge(self, keys: Sequence[str]) -> None:
        self._ask("acknowledge", partial(self._forget, list(keys)))

    def survey(self) -> Evidence:
        units = self.units.values()
        return Evidence(
            boot_id=BOOT,
            queued=frozenset(each.key for each in units if each.is_queued),
            running={each.key: each.started for each in units if each.is_running and each.started},
            events=[each.end for each in units if each.end is not None],
        )

    def status(self) -> Mapping[str, Any]:
        return {"pid": 0}
