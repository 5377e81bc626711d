"""What a report is made of: what ran, on which machine, and what was asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from stoker.commands.sreport.accounts import AccountTree
from stoker.commands.sreport.conditions import Conditions, Grammar
from stoker.commands.sreport.fields import Field, Row
from stoker.commands.sreport.style import Style
from stoker.commands.sreport.usage import Piece, Span, Tally


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """All that a report's lines are made from.

    ``pieces`` are what ran within the span and was asked for, accounts left aside; ``machine`` is
    what there is of each thing that is counted; ``known_s`` is how much of the span has passed.
    """

    cluster: str
    style: Style
    said: Conditions
    span: Span
    known_s: int
    machine: Mapping[str, int]
    pieces: Sequence[Piece] = ()
    tree: AccountTree
    waited_s: int = 0
    full_name: Callable[[str], str] = lambda _: ""

    def reported(self, name: str) -> int:
        """Return how many seconds of a thing there were to give out."""
        return self.machine.get(name, 0) * self.known_s

    def rows(self, tally: Tally, **cells: str) -> Iterator[Row]:
        """Return a line for each thing that is counted: what was used of it, beside *cells*."""
        proper = self.full_name(cells["Login"]) if cells.get("Login") else ""
        for name in self.style.counted:
            yield {
                "Cluster": self.cluster,
                "Proper Name": proper,
                "TRES Name": name,
                "Used": self.style.amount(tally[name], self.reported(name)),
                "Energy": self.style.amount(tally["energy"], 0),
                **cells,
            }


class Lines(NamedTuple):
    """A report's lines, and by column the largest amount among them, in seconds."""

    rows: Sequence[Row] = ()
    largest: Mapping[str, int] = {}


class Report(NamedTuple):
    """A report: its heading, what may be asked of it, its columns, its lines.

    ``format`` and ``tres_format`` are the columns shown if none are named, the latter if what is
    counted was said.
    """

    title: str
    grammar: Grammar
    fields: Sequence[Field]
    format: str
    tres_format: str
    lines: Callable[[Scene], Lines]
    has_length: bool = True
    kind: str = ""
    """How the heading calls what is counted, if it is always the same."""
    is_for_operators: bool = False
    failure: str = ""
    """What is said to others, instead of an empty report."""


def used_lines(scene: Scene, rows: Sequence[Row], tallies: Sequence[Tally]) -> Lines:
    """Return lines of what was used: the widest amount is that of what is counted."""
    largest = max(
        (tally[name] for tally in tallies for name in scene.style.counted),
        default=0,
    )
    return Lines(rows, {"Used": largest})
