"""What was handed in to a shepherd, and whose end has not been told yet.

Always holds: a unit that was handed in is heard of again. The shepherd puts an intent on record
before it starts anything; so what the next shepherd has never heard of was never started, and is
withdrawn in its name. It is lost if its start was told, or may have been forgotten.

Not thread-safe: who changes it holds the engine's lock.
"""

from __future__ import annotations

from collections.abc import Iterable

from stoker.engines.base import EngineEvent, Evidence, Lost, Started, Withdrawn


class Unsettled:
    """Units by key, each with its start if that was told."""

    def __init__(self) -> None:
        self._starts: dict[str, Started | None] = {}
        self._remembers_since = 0.0

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __contains__(self, key: object) -> bool:
        return key in self._starts

    def begin(self, evidence: Evidence) -> None:
        """Know what a shepherd knows that is met for the first time."""
        self._starts = {**dict.fromkeys(evidence.queued), **evidence.running}
        self._remembers_since = evidence.remembers_since

    def hand_in(self, keys: Iterable[str]) -> None:
        """Note that these are to be run; what is known already stays as it is."""
        for key in keys:
            self._starts.setdefault(key, None)

    def note(self, event: EngineEvent) -> None:
        """Note what a shepherd tells."""
        if not isinstance(event, Started):
            self._starts.pop(event.key, None)
        elif event.key in self._starts:
            self._starts[event.key] = event

    def start_of(self, key: str) -> Started | None:
        """Return what was told of the unit's start."""
        return self._starts.get(key)

    def pids(self) -> set[int]:
        """Return the processes that were told of; may be asked from any thread."""
        return {start.pid for start in list(self._starts.values()) if start is not None}

    def go_on(self, evidence: Evidence) -> list[EngineEvent]:
        """Take in what another shepherd knows; return what became of units that it never heard of.

        One that remembers less than the one before may have forgotten that it started them.
        """
        has_gap = evidence.remembers_since > self._remembers_since
        self._remembers_since = evidence.remembers_since
        told = {event.key for event in evidence.events}
        unheard = self._starts.keys() - evidence.queued - evidence.running.keys() - told
        for key, start in evidence.running.items():
            self._starts.setdefault(key, start)
        return [
            Withdrawn(key) if self._starts[key] is None and not has_gap else Lost(key)
            for key in sorted(unheard)
        ]
