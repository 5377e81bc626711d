"""sacct of many jobs, whose records are read a few at a time: nobody waits for them all.

Documents, scripts and environments are long, and lines may be many. So they are not kept until all
are there and can be put in order, but looked for again when their turn has come (`recordorder`).
Only as long as lines are few it is cheaper to keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Final, TypeAlias

from stoker.commands.accounting import Run, order_of
from stoker.commands.merging import Row, merged
from stoker.commands.recordorder import Key, RecordOrder
from stoker.commands.sacct_json import document_pieces
from stoker.commands.sacct_style import Style
from stoker.worker.history import HistoryQuery, Record
from stoker.worker.lookout import Lookout

KEPT_MAX: Final = 10_000
"""Lines of so many runs are kept until all can be put in order."""

Choose: TypeAlias = Callable[[Record], Sequence[Run]]
"""Says which runs of a record are shown, in their order."""


def many_lines(
    lookout: Lookout, query: HistoryQuery, choose: Choose, text_of: Callable[[Run], str]
) -> Iterator[str]:
    """Return the lines of all runs."""
    order, kept, count = RecordOrder(), list[Sequence[Row]](), 0

    def read(records: Sequence[Record]) -> list[tuple[Key, str]]:
        runs = sorted(_keyed(records, choose), key=itemgetter(0))
        return [(key, text_of(run) if count <= KEPT_MAX else "") for key, run in runs]

    for rows in lookout.look_up(query, read):
        order.add(key for key, _ in rows)
        count += len(rows)
        kept.append(rows)
        if count > KEPT_MAX:
            kept.clear()
        yield ""
    if count <= KEPT_MAX:
        yield from merged(kept)
        return
    for runs in order.show(lookout, choose):
        yield "".join(map(text_of, runs))


def many_documents(
    kind: str, lookout: Lookout, query: HistoryQuery, choose: Choose, style: Style
) -> Iterator[str]:
    """Return all runs as one document of kind ``json`` or ``yaml``."""
    order = RecordOrder()
    for keys in lookout.look_up(query, lambda some: [key for key, _ in _keyed(some, choose)]):
        order.add(keys)
        yield ""
    parts = order.show(lookout, choose)
    yield from document_pieces(kind, parts, style, is_empty=order.is_empty)


def _keyed(records: Iterable[Record], choose: Choose) -> Iterator[tuple[Key, Run]]:
    for record in records:
        for number, run in enumerate(choose(record)):
            yield (*order_of(run), number), run


def many_pages(
    lookout: Lookout,
    query: HistoryQuery,
    pages: Callable[[Iterable[Record]], Iterator[str]],
) -> Iterator[str]:
    """Return what *pages* makes of the records, by the ids of their jobs."""
    order = RecordOrder()
    for job_ids in lookout.look_up(query, lambda records: [each.job.job_id for each in records]):
        order.add((0.0, 0, 0, job_id, 0) for job_id in job_ids)
        yield ""
    for records in order.show(lookout, lambda record: [record]):
        yield ""
        yield from pages(records)
