"""What the campaign counts, and the table that it prints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

HEADINGS: Final = ("tries", "lost", "doubled", "wrong outcome", "stuck", "unknown")


@dataclass
class Row:
    """What became of the jobs that met one kind of fault.

    Attributes:
        fault: What was done to the scheduler.
        tries: Jobs, or whatever else `fault` names, that were looked at.
        lost: Jobs whose id was printed, and that are not on record or did not run.
        doubled: Ids given twice, and attempts that ran twice.
        wrong: Jobs whose record says other than what the job itself wrote.
        stuck: Jobs that did not end, and faults after which nothing went on.
        unknown: Jobs whose end nobody could have seen, and that say so: no promise is broken.
        notes: What was seen, for each that is wrong.
    """

    fault: str
    tries: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    stuck: int = 0
    unknown: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def numbers(self) -> tuple[int, ...]:
        return self.tries, self.lost, self.doubled, self.wrong, self.stuck, self.unknown

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.stuck)

    def add(self, other: Row) -> None:
        """Count another's tries with ours."""
        self.tries += other.tries
        self.lost += other.lost
        self.doubled += other.doubled
        self.wrong += other.wrong
        self.stuck += other.stuck
        self.unknown += other.unknown
        self.notes += [f"{other.fault}: {note}" for note in other.notes]

    def held(self, holds: object, note: str) -> None:
        """Count a try of something that either holds or does not."""
        self.tries += 1
        if not holds:
            self.wrong += 1
            self.notes.append(note)


def table(rows: Iterable[Row]) -> str:
    """Return the table, as Markdown that can also be read as it is."""
    lines = [("fault", *HEADINGS), *((row.fault, *map(str, row.numbers)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [_line(line, widths) for line in lines]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([shown[0], f"|{rule}|", *shown[1:]])


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    first, *others = (
        cell.rjust(width) if number else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {first} | {' | '.join(others)} |"
