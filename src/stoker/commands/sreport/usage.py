"""What runs of jobs held within a span of time, read off the accounting records. Pure.

Nothing is rolled up beforehand: what has just ended counts. Amounts are whole seconds times what
was held, as sacct counts them. Runs that are alike to every report are added up as their records
come in, so that a year of jobs takes no more room than there are kinds of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from stoker.commands.accounting import Line, Request, runs_of
from stoker.core.accounts import ROOT
from stoker.core.enums import Reason
from stoker.worker.history import Record

Tally: TypeAlias = Counter[str]
"""Seconds by what was held: CPUs, MiB of memory, nodes."""

_NOTHING: Final = Request(0, 0, 0)


class Span(NamedTuple):
    """The time that is reported, in epoch seconds."""

    start: float
    end: float

    @property
    def length_s(self) -> int:
        """Return its whole seconds."""
        return int(self.end) - int(self.start)


class Piece(msgspec.Struct, frozen=True):
    """What runs of a kind held within a span: each of them ``held``, ``seconds`` in all."""

    login: str
    account: str
    wckey: str
    held: Mapping[str, int]
    seconds: int
    runs: int = 1

    @property
    def tally(self) -> Tally:
        """Return the seconds of all that they held."""
        return Counter({name: count * self.seconds for name, count in self.held.items()})


class _Kind(NamedTuple):
    """What of a run makes a difference to reports."""

    login: str
    account: str
    wckey: str
    held: tuple[tuple[str, int], ...]


class Usage:
    """Adds up what was used within a span, up to *now*; what stands suspended does not count."""

    def __init__(self, span: Span, now: float, lets: Callable[[Line], bool]) -> None:
        """*lets* says which runs count."""
        self._span = span
        self._now = now
        self._end = min(span.end, now)
        self._lets = lets
        self._seconds: Counter[_Kind] = Counter()
        self._runs: Counter[_Kind] = Counter()
        self.waited_s = 0
        """CPU seconds within the span for which eligible jobs waited before they ran."""

    def add(self, records: Iterable[Record]) -> None:
        """Take in some records."""
        for record in records:
            self.waited_s += self._waited(record)
            for run in runs_of(record, _NOTHING, self._now, lambda _: Reason.NONE):
                line = run.line
                if line.has_run and line.span.start_at and self._lets(line):
                    self._add(line.within(self._span.start, self._end))

    def _add(self, line: Line) -> None:
        if line.span.elapsed_s > 0:
            kind = _kind_of(line)
            self._seconds[kind] += line.span.elapsed_s
            self._runs[kind] += 1

    def _waited(self, record: Record) -> int:
        job = record.job
        if not (job.start_at and job.eligible_at and record.attempts):
            return 0
        begun, over = max(job.eligible_at, self._span.start), min(job.start_at, self._end)
        return max(0, int(over) - int(begun)) * record.attempts[-1].cpus

    def pieces(self) -> Iterator[Piece]:
        """Return what was used, by kind."""
        for kind, seconds in self._seconds.items():
            login, account, wckey, held = kind
            yield Piece(login, account, wckey, dict(held), seconds, self._runs[kind])


def total(tallies: Iterable[Mapping[str, int]]) -> Tally:
    """Return the sum of tallies."""
    found: Tally = Counter()
    for tally in tallies:
        found.update(tally)
    return found


def _kind_of(line: Line) -> _Kind:
    job, held = line.job, line.held
    return _Kind(
        job.owner.user_name,
        job.spec.account or ROOT,
        job.spec.wckey,
        (
            ("cpu", held.cpus),
            ("mem", held.memory_mib),
            ("node", len(held.nodes)),
            ("billing", held.cpus),
            *((f"gres/{name}", count) for name, count in held.gres.items()),
        ),
    )
