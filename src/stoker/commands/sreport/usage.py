"""What runs of jobs held within a span of time, read off the accounting records. Pure.

Nothing is rolled up beforehand: what has just ended counts. Amounts are whole seconds times what
was held, as sacct counts them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

import msgspec

from stoker.commands.accounting import Line, Request, runs_of
from stoker.core.accounts import ROOT
from stoker.core.enums import Reason
from stoker.core.models import Job
from stoker.worker.controller import Record

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
    """What one run of a job held within a span, and for how long."""

    job: Job
    nodes: tuple[str, ...]
    held: Mapping[str, int]
    seconds: int

    @property
    def login(self) -> str:
        """Return whose job it was."""
        return self.job.owner.user_name

    @property
    def account(self) -> str:
        """Return the account that it was charged to."""
        return self.job.spec.account or ROOT

    @property
    def tally(self) -> Tally:
        """Return the seconds of all that it held."""
        return Counter({name: count * self.seconds for name, count in self.held.items()})


def pieces(records: Iterable[Record], span: Span, now: float) -> Iterator[Piece]:
    """Return what each run held within the span, up to *now*; runs that held nothing are left out.

    What stands suspended does not count.
    """
    end = min(span.end, now)
    for record in records:
        for run in runs_of(record, _NOTHING, now, lambda _: Reason.NONE):
            line = run.line
            if line.has_run and line.span.start_at:
                piece = _piece(line.within(span.start, end))
                if piece is not None:
                    yield piece


def waited(records: Iterable[Record], span: Span, now: float) -> int:
    """Return the CPU seconds within the span for which eligible jobs waited before they ran."""
    end = min(span.end, now)
    found = 0
    for record in records:
        job = record.job
        if job.start_at and job.eligible_at and record.attempts:
            begun, over = max(job.eligible_at, span.start), min(job.start_at, end)
            found += max(0, int(over) - int(begun)) * record.attempts[-1].cpus
    return found


def total(tallies: Iterable[Tally]) -> Tally:
    """Return the sum of tallies."""
    found: Tally = Counter()
    for tally in tallies:
        found.update(tally)
    return found


def _piece(line: Line) -> Piece | None:
    seconds = line.span.elapsed_s
    if seconds <= 0:
        return None
    held = line.held
    return Piece(
        line.job,
        held.nodes,
        {
            "cpu": held.cpus,
            "mem": held.memory_mib,
            "node": len(held.nodes),
            "billing": held.cpus,
            **{f"gres/{name}": count for name, count in held.gres.items()},
        },
        seconds,
    )
