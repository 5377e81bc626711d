"""The ids of many jobs, a page at a time: nobody waits until all of a long history is gone through.

A page is one query through an index that looks at a bounded number of rows; what does not fit is
left out of it, so that pages may be short, or empty. Between two pages jobs may end: those that
have not come first, and nobody comes twice. Only who had ended and is requeued meanwhile may be
missed, or come again when it ends again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain, islice
from typing import Any, Final

import msgspec
from sqlalchemy import case, or_, select
from sqlalchemy.sql import ColumnElement

from stoker.core.database import Database
from stoker.core.historyfilter import HistoryFilter, history_condition, history_parts
from stoker.core.schema import jobs

PAGE: Final = 500
"""Rows that are looked at for a page."""

_FIRST_AT: Final = 1e-6
"""Before any end: 0 stands for none."""
_STEPS_MAX: Final = 4


def id_pages(database: Database, wanted: HistoryFilter, size: int = PAGE) -> Iterator[list[int]]:
    """Yield the ids of the jobs that *wanted* describes; each step is one query."""
    if wanted.job_ids or wanted.array_job_ids:
        return _named(database, wanted, size)
    users = dict.fromkeys(wanted.user_ids) or (None,)
    return chain.from_iterable(_of_user(database, wanted, user, size) for user in users)


def ended_pages(database: Database, since: float, size: int = PAGE) -> Iterator[list[int]]:
    """Yield the ids of the jobs that ended at or after *since*, in the order of their ends."""
    return _ended(database, HistoryFilter(start_at=since), [], size)


def ended_tasks(database: Database, array_job_ids: Collection[int], above: int) -> list[int]:
    """Return the ids, *above* another, of tasks of these few arrays that have ended."""
    named = [jobs.c.array_job_id > 0, jobs.c.array_job_id.in_(array_job_ids)]
    query = select(jobs.c.job_id).where(*named, jobs.c.job_id > above, jobs.c.end_at > 0)
    with database.reader() as connection:
        return list(connection.execute(query).scalars())


def are_more_than(database: Database, wanted: HistoryFilter, most: int) -> bool:
    """Whether *wanted* describes more than *most* jobs, or it would take long to find out."""
    if wanted.job_ids or wanted.array_job_ids:
        return _count_named(database, wanted, most) > most
    pages = id_pages(database, wanted, most + 1)
    count = sum(map(len, islice(pages, _STEPS_MAX)))
    return count > most or next(pages, None) is not None


def _named(database: Database, wanted: HistoryFilter, size: int) -> Iterator[list[int]]:
    rest = msgspec.structs.replace(wanted, job_ids=(), array_job_ids=())
    job_ids = tuple(dict.fromkeys(wanted.job_ids))
    found: set[int] = set()
    for start in range(0, len(job_ids), PAGE):
        some = job_ids[start : start + PAGE]
        page, _ = _page(database, rest, [jobs.c.job_id.in_(some)], [jobs.c.job_id], PAGE)
        found.update(page)
        yield page
    for array_id in dict.fromkeys(wanted.array_job_ids):
        where = [jobs.c.array_job_id > 0, jobs.c.array_job_id == array_id]
        for page in _by_id(database, rest, where, size):
            yield [job_id for job_id in page if job_id not in found]


def _count_named(database: Database, wanted: HistoryFilter, most: int) -> int:
    count = 0
    with database.reader() as connection:
        for part in history_parts(wanted):
            query = select(jobs.c.job_id).where(history_condition(part)).limit(most + 1)
            count += len(connection.execute(query).all())
            if count > most:
                break
    return count


def _of_user(
    database: Database, wanted: HistoryFilter, user_id: int | None, size: int
) -> Iterator[list[int]]:
    whose = [] if user_id is None else [jobs.c.user_id == user_id]
    active: set[int] = set()
    for page in _by_id(database, wanted, [*whose, jobs.c.end_at == 0], size):
        active.update(page)
        yield page
    for page in _ended(database, wanted, whose, size):
        yield [job_id for job_id in page if job_id not in active]


def _by_id(
    database: Database, wanted: HistoryFilter, where: list[ColumnElement[bool]], size: int
) -> Iterator[list[int]]:
    last: tuple[float, int] | None = (0.0, 0)
    while last is not None:
        beyond = [*where, jobs.c.job_id > last[1]]
        page, last = _page(database, wanted, beyond, [jobs.c.job_id], size)
        yield page


def _ended(
    database: Database, wanted: HistoryFilter, where: list[ColumnElement[bool]], size: int
) -> Iterator[list[int]]:
    last: tuple[float, int] | None = (max(_FIRST_AT, wanted.start_at or 0.0), 0)
    while last is not None:
        at, job_id = last
        beyond = [jobs.c.end_at >= at, or_(jobs.c.end_at > at, jobs.c.job_id > job_id)]
        order = [jobs.c.end_at, jobs.c.job_id]
        page, last = _page(database, wanted, [*where, *beyond], order, size)
        yield page


def _page(
    database: Database,
    wanted: HistoryFilter,
    where: list[ColumnElement[bool]],
    order: list[Any],
    size: int,
) -> tuple[list[int], tuple[float, int] | None]:
    """Return the ids that *wanted* lets through, and the last row; None if there are no more."""
    fits = case((history_condition(wanted), 1), else_=0)
    query = select(jobs.c.end_at, jobs.c.job_id, fits).where(*where).order_by(*order).limit(size)
    with database.reader() as connection:
        rows = connection.execute(query).all()
    last = (rows[-1][0], rows[-1][1]) if len(rows) == size else None
    return [job_id for _, job_id, is_wanted in rows if is_wanted], last
