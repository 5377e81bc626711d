"""sacct of many jobs, whose records are read a few at a time: nobody waits for them all.

Lines are short, and are kept until all are there and can be put in order. Documents, scripts and
environments are long: they are looked for again when their turn has come (`recordorder`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from stoker.commands.accounting import Run, order_of
from stoker.commands.merging import Row, merged
from stoker.commands.recordorder import Key, RecordOrder
from stoker.commands.sacct_json import document_pieces
from stoker.commands.sacct_style import Style
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.lookout import Lookout

Choose: TypeAlias = Callable[[Record], Sequence[Run]]
"""Says which runs of a record are shown, in their order."""


def many_lines(
    lookout: Lookout, query: HistoryQuery, choose: Choose, text_of: Callable[[Run], str]
) -> Iterator[str]:
    """Return the lines of all runs."""

    def read(records: Sequence[Record]) -> list[Row]:
        rows: list[Row] = [
            ((*order_of(run), number), text_of(run))
            for record in records
            for number, run in enumerate(choose(record))
        ]
        return sorted(rows)

    return merged(lookout.look_up(query, read))


def many_documents(
    kind: str, lookout: Lookout, query: HistoryQuery, choose: Choose, style: Style
) -> Iterator[str]:
    """Return all runs as one document of kind ``json`` or ``yaml``."""

    def keys_of(record: Record) -> Iterator[Key]:
        return ((*order_of(run), number) for number, run in enumerate(choose(record)))

    order = RecordOrder()
    for _ in order.find(lookout, query, keys_of):
        yield ""
    parts = order.show(lookout, choose)
    yield from document_pieces(kind, parts, style, is_empty=order.is_empty)


def many_pages(
    lookout: Lookout,
    query: HistoryQuery,
    pages: Callable[[Iterable[Record]], Iterator[str]],
) -> Iterator[str]:
    """Return what *pages* makes of the records, by the ids of their jobs."""
    order = RecordOrder()
    for _ in order.find(lookout, query, lambda record: [(0.0, 0, 0, record.job.job_id, 0)]):
        yield ""
    for records in order.show(lookout, lambda record: [record]):
        yield ""
        yield from pages(records)
