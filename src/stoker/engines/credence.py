"""What a user's shepherd is believed: of their own units, in order, and within bounds.

The user is master of that process, and may have it say anything. So it counts for nothing what it
says of units that were not handed to it and are not, by our own record, of a job of its user's; nor
what it says twice, or after a unit's end. Numbers, times and words that cannot be are put right, so
that whoever listens can take an event as if it came from a process of ours. Who takes back again
and again what it was given has failed to start it: else the same job would be handed to and fro
without end. What a user's shepherd still can do is lie about how that user's jobs went.
"""

from __future__ import annotations

import errno
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from stoker.core.errors import EngineError
from stoker.engines.base import (
    Ended,
    EngineEvent,
    Evidence,
    Failed,
    Lost,
    Started,
    UnitUsage,
    Withdrawn,
    parse_key,
)
from stoker.engines.register import Register

_KEY: Final = re.compile(r"[0-9]{1,15}\.[0-9]{1,15}\.(?:batch|[0-9]{1,15}\.[0-9]{1,15})", re.ASCII)
_PID_MAX: Final = 1 << 22
_UNITS_MAX: Final = 1 << 15
"""Units that a shepherd may know of when it is met; a turn takes them all in."""
_COUNT_MAX: Final = (1 << 62) - 1
_SECONDS_MAX: Final = 1e12
_TEXT_MAX: Final = 4096
_STEPS: Final = frozenset({"journal", "fork", "stdin", "stdout", "stderr", "exec", "environment"})
_TAKEN_BACK_MAX: Final = 32
_TAKEN_BACK_S: Final = 10.0
"""So many units a shepherd may take back of itself in so many seconds."""
_OTHER_STEP: Final = "attributes"
_WHYS: Final = frozenset(
    {"timeout", "limit", "memory", "requeued", "ended", "cancelled", "leader", "unwatched"}
)

_Number = TypeVar("_Number", int, float)


class _Stage(IntEnum):
    HANDED_IN = 0
    RUNNING = 1
    OVER = 2


class _Known:
    """A unit that its shepherd may speak of: since when, how far it has come, who was told last."""

    __slots__ = ("is_asked_back", "meeting", "since", "stage")

    def __init__(self, since: float) -> None:
        self.since = since
        self.is_asked_back = False
        self.stage = _Stage.HANDED_IN
        self.meeting = -1


class Believed(NamedTuple):
    """Events that are believed, and the units that they are about, in parallel."""

    events: list[EngineEvent]
    units: list[_Known]


class Credence:
    """Tells what to believe of one user's shepherd; safe to use from several threads."""

    def __init__(
        self,
        user_id: int,
        owners: Callable[[Collection[int]], Mapping[int, int]],
        register: Register,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Believe what is said of jobs that are *user_id*'s: *owners* tells whose a job is.

        What may be spoken of stands in *register*, where that of other users stands as well.
        """
        self._user_id = user_id
        self._owners = owners
        self._register = register
        self._clock = clock
        self._lock = threading.Lock()
        self._units: dict[str, _Known] = {}
        self._meeting = 0
        self._taken_back: deque[float] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether there is no unit of which anything could be said."""
        return not self._units

    def renew(self) -> None:
        """Know that the shepherd is met anew: once more it may say who runs."""
        self._meeting += 1

    def hand_in(self, keys: Iterable[str]) -> None:
        """Believe what is said of these units from now on."""
        now, keys = self._clock(), list(keys)
        with self._lock:
            for key in keys:
                known = self._units.get(key)
                if known is None or known.stage is _Stage.OVER:
                    self._units[key] = _Known(now)
        self._register.enter(keys, self._user_id)

    def ask_back(self, keys: Iterable[str]) -> None:
        """Know that these units are to be taken back, if that is still possible."""
        with self._lock:
            for key in keys:
                if (known := self._units.get(key)) is not None:
                    known.is_asked_back = True

    def forget(self, keys: Iterable[str]) -> None:
        """Believe nothing of these units any more."""
        with self._lock:
            gone = [key for key in keys if self._units.pop(key, None) is not None]
        self._register.leave(gone)

    # --- When it is met.

    def judge(self, said: Evidence) -> tuple[Evidence, list[str]]:
        """Return what to believe of what it knows, and the ends that nobody will ever ask for.

        Raises:
            EngineError: It speaks of more than there can be.
        """
        if (count := len(said.queued) + len(said.running) + len(said.events)) > _UNITS_MAX:
            raise EngineError(f"the shepherd of user {self._user_id} speaks of {count} units")
        ended = {event.key: event for event in said.events}
        ours = self._ours({*said.queued, *said.running, *ended})
        with self._lock:
            for key in ours:
                self._units.setdefault(key, _Known(0.0))
        self._register.enter(ours, self._user_id)
        named = [each for key, each in said.running.items() if each.key == key]
        running, last = self.sift(named), self.sift(list(ended.values()))
        self.note(running)
        self.note(last)
        over = {event.key for event in last.events}
        believed = Evidence(
            boot_id="",
            queued=frozenset(said.queued & ours) - over,
            running={each.key: each for each in running.events if isinstance(each, Started)},
            events=last.events,
            remembers_since=_within(said.remembers_since, 0.0, self._clock()),
        )
        return believed, [key for key in ended if key not in ours]

    def looked_through(self, said: Evidence) -> Evidence:
        """Return of what it knows what is said of units that it may speak of; learns nothing."""
        known = self._units.keys()
        return Evidence(
            boot_id="",
            queued=frozenset(key for key in said.queued if key in known),
            running={key: each for key, each in said.running.items() if key in known},
            events=[each for each in said.events if each.key in known],
        )

    def _ours(self, keys: Collection[str]) -> set[str]:
        """Return those keys that are of jobs of the user's, by our own record."""
        jobs: dict[int, list[str]] = {}
        for key in keys:
            if _KEY.fullmatch(key) and str(parse_key(key)) == key:
                jobs.setdefault(parse_key(key).job_id, []).append(key)
        owners = self._owners(jobs.keys())
        return {
            key for job_id, of_job in jobs.items() if owners.get(job_id) == self._user_id
            for key in of_job
        }  # fmt: skip

    # --- What it tells.

    def sift(self, events: Sequence[EngineEvent]) -> Believed:
        """Return what to believe of events, in their order; asked again, the same.

        Once it has been acted on, say so by `note`.
        """
        now, believed = self._clock(), Believed([], [])
        with self._lock:
            patience = _TAKEN_BACK_MAX - self._taken_back_since(now - _TAKEN_BACK_S)
            stages: dict[str, _Stage] = {}
            for event in events:
                known = self._units.get(event.key)
                if known is None:
                    continue
                stage = stages.get(event.key, known.stage)
                if isinstance(event, Started):
                    is_told = known.meeting == self._meeting or event.key in stages
                    if stage is _Stage.OVER or is_told or not _may_be(event):
                        continue
                    stages[event.key] = _Stage.RUNNING
                elif stage is _Stage.OVER:
                    continue
                else:
                    stages[event.key] = _Stage.OVER
                if isinstance(event, Withdrawn) and not known.is_asked_back:
                    patience -= 1
                    event = _not_started(event.key, now) if patience < 0 else event  # noqa: PLW2901
                believed.events.append(_put_right(event, stage, known.since, now))
                believed.units.append(known)
        return believed

    def _taken_back_since(self, at: float) -> int:
        while self._taken_back and self._taken_back[0] < at:
            self._taken_back.popleft()
        return len(self._taken_back)

    def note(self, believed: Believed) -> None:
        """Know that these have been acted on; a unit that was handed in anew since is another."""
        with self._lock:
            for event, known in zip(*believed, strict=True):
                if isinstance(event, Started):
                    known.meeting = self._meeting
                    known.stage = max(known.stage, _Stage.RUNNING)
                else:
                    known.stage = _Stage.OVER
                if isinstance(event, Withdrawn) and not known.is_asked_back:
                    self._taken_back.append(self._clock())


def _not_started(key: str, now: float) -> Failed:
    text = "the user's shepherd takes back what it is given"
    return Failed(key=key, step="fork", errno=errno.EAGAIN, message=text, at=now)


def _may_be(started: Started) -> bool:
    return 0 < started.pid <= _PID_MAX and 0 <= started.start_ticks <= _COUNT_MAX


def _put_right(event: EngineEvent, stage: _Stage, since: float, now: float) -> EngineEvent:
    """Return the event as it can be, of a unit handed in at *since* and come as far as *stage*."""
    match event:
        case Started():
            return msgspec.structs.replace(event, at=_within(event.at, since, now))
        case Ended():
            return Ended(
                key=event.key,
                exit_code=_within(event.exit_code, 0, 255),
                signal=_within(event.signal, 0, 64),
                status_known=event.status_known,
                at=_within(event.at, since, now),
                why=event.why if event.why in _WHYS else None,
                oom=event.oom,
                usage=_usage(event.usage) if event.usage is not None else None,
            )
        case Failed() | Withdrawn() if stage is _Stage.RUNNING:
            # It said who runs: that cannot be taken back, and a second run would be one too many.
            return Lost(event.key)
        case Failed():
            return Failed(
                key=event.key,
                step=event.step if event.step in _STEPS else _OTHER_STEP,
                errno=_within(event.errno, 0, 255),
                message=plain(event.message),
                at=_within(event.at, since, now),
                path=plain(event.path),
            )
        case Withdrawn() | Lost():
            return event


def _usage(said: UnitUsage) -> UnitUsage:
    figures: dict[str, Any] = {}
    for name, figure in msgspec.structs.asdict(said).items():
        most = _SECONDS_MAX if isinstance(figure, float) else _COUNT_MAX
        figures[name] = _within(figure, type(figure)(0), most)
    return UnitUsage(**figures)


def _within(number: _Number, least: _Number, most: _Number) -> _Number:
    """Return a number that is none, or out of bounds, as the bound; *most* for what is none."""
    return most if math.isnan(number) else max(least, min(number, most))


def plain(said: str) -> str:
    """Return words of a shepherd as they can be recorded, and shown on anybody's terminal."""
    return "".join(each if each.isprintable() else "?" for each in said[:_TEXT_MAX])
