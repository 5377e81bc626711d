"""What the daemon has done since a time: jobs, passes of the scheduler, calls. sdiag shows it.

Counting costs nothing to speak of; a turn that could not be recorded has been counted all the same.
Whoever counts or reads holds the queue's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, Final

import msgspec

from stoker.core.enums import JobState
from stoker.core.models import Owner
from stoker.scheduling.plan import Plan
from stoker.worker.call import Answer, Conversation, Request

_CALLS_TIMED: Final = 1000
_USERS_MAX: Final = 1000


class Cycles(msgspec.Struct):
    """Passes of the scheduler: how many, how long in microseconds, how many jobs they looked at."""

    count: int = 0
    last_us: int = 0
    max_us: int = 0
    total_us: int = 0
    last_depth: int = 0
    total_depth: int = 0
    last_at: float = 0.0

    def note(self, seconds: float, depth: int, at: float) -> None:
        """Take in one pass."""
        self.count += 1
        self.last_us = round(seconds * 1e6)
        self.max_us = max(self.max_us, self.last_us)
        self.total_us += self.last_us
        self.last_depth = depth
        self.total_depth += depth
        self.last_at = at

    @property
    def mean_us(self) -> int:
        """Return how long a pass takes; there was one."""
        return self.total_us // self.count

    @property
    def mean_depth(self) -> int:
        """Return how many jobs a pass looks at; there was one."""
        return self.total_depth // self.count


class Calls(msgspec.Struct):
    """Calls of a kind, and the microseconds that they took."""

    count: int = 0
    total_us: int = 0

    @property
    def mean_us(self) -> int:
        """Return how long a call takes."""
        return self.total_us // max(1, self.count)


class TimedConversation(Generator[Request, Any, Answer]):
    """A conversation of which it is counted how long the daemon works on it, not how long it waits.

    *note* is told of every stretch of work, in seconds.
    """

    def __init__(self, conversation: Conversation, note: Callable[[float], None]) -> None:
        self._conversation = conversation
        self._note = note

    def send(self, value: Any) -> Request:
        """Go on with what was asked for."""
        begun = time.perf_counter()
        try:
            return self._conversation.send(value)
        finally:
            self._note(time.perf_counter() - begun)

    def throw(self, *error: Any) -> Request:
        """Go on with an error."""
        begun = time.perf_counter()
        try:
            return self._conversation.throw(*error)
        finally:
            self._note(time.perf_counter() - begun)


class Statistics(msgspec.Struct):
    """All that is counted, since ``since`` (epoch seconds)."""

    since: float = 0.0
    submitted: int = 0
    started: int = 0
    ended: dict[JobState, int] = {}
    backfilled: int = 0
    backfilled_ever: int = 0
    cycles: Cycles = msgspec.field(default_factory=Cycles)
    backfill: Cycles = msgspec.field(default_factory=Cycles)
    by_program: dict[str, Calls] = {}
    by_user: dict[Owner, Calls] = {}
    latency_us: int = 0
    """How long it takes to look at the clock a thousand times."""

    def reset(self, now: float) -> None:
        """Begin to count anew; what counts since the daemon's start goes on."""
        ever = self.backfilled_ever
        for name, value in msgspec.structs.asdict(
            Statistics(since=now, backfilled_ever=ever)
        ).items():
            setattr(self, name, value)

    def note_end(self, state: JobState) -> None:
        """Count a job that has ended."""
        self.ended[state] = self.ended.get(state, 0) + 1

    def note_plan(self, plan: Plan, seconds: float, at: float) -> None:
        """Count a pass; one that has to work around a reservation is one of backfill, too."""
        depth = len(plan.starts) + len(plan.heads)
        self.cycles.note(seconds, depth, at)
        if plan.heads:
            self.backfill.note(seconds, depth, at)
        self.backfilled += plan.backfilled
        self.backfilled_ever += plan.backfilled

    def note_call(self, program: str, owner: Owner, seconds: float, count: int = 1) -> None:
        """Count a call of a program that there is; *count* is 0 for more work on one."""
        took_us = round(seconds * 1e6)
        if owner not in self.by_user and len(self.by_user) >= _USERS_MAX:
            self.by_user.clear()
        for calls in (
            self.by_program.setdefault(program, Calls()),
            self.by_user.setdefault(owner, Calls()),
        ):
            calls.count += count
            calls.total_us += took_us

    def ended_in(self, *states: JobState) -> int:
        """Return how many jobs ended in one of these states."""
        return sum(self.ended.get(state, 0) for state in states)


def clock_latency_us() -> int:
    """Return how many microseconds it takes to look at the clock a thousand times."""
    begun = time.perf_counter()
    for _ in range(_CALLS_TIMED):
        time.time()
    return round((time.perf_counter() - begun) * 1e6)
