"""Which jobs a look into the past is for, and what that is in the database's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from sqlalchemy import and_, or_, true
from sqlalchemy.sql import ColumnElement

from stoker.core.rows import as_text
from stoker.core.schema import jobs

IDS_MAX: Final = 500
"""Ids in one IN list: below every database's limit on parameters."""


class HistoryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs a history query wants; empty means all; a job counts if it lived in the window."""

    job_ids: tuple[int, ...] = ()
    array_job_ids: tuple[int, ...] = ()
    user_ids: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    partitions: tuple[str, ...] = ()
    start_at: float | None = None
    end_at: float | None = None


def history_parts(wanted: HistoryFilter) -> Iterator[HistoryFilter]:
    """Yield filters that together find what *wanted* does, none with too many ids."""
    if len(wanted.job_ids) + len(wanted.array_job_ids) <= IDS_MAX:
        yield wanted
        return
    rest = msgspec.structs.replace(wanted, job_ids=(), array_job_ids=())
    for name in ("job_ids", "array_job_ids"):
        ids = getattr(wanted, name)
        for start in range(0, len(ids), IDS_MAX):
            yield msgspec.structs.replace(rest, **{name: ids[start : start + IDS_MAX]})


def history_condition(wanted: HistoryFilter) -> ColumnElement[bool]:
    """Return what holds of the rows of ``jobs`` that *wanted* describes."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.job_ids or wanted.array_job_ids:
        conditions.append(
            or_(
                jobs.c.job_id.in_(wanted.job_ids),
                and_(jobs.c.array_job_id > 0, jobs.c.array_job_id.in_(wanted.array_job_ids)),
            )
        )
    for column, values in (
        (jobs.c.user_id, wanted.user_ids),
        (jobs.c.name, tuple(map(as_text, wanted.names))),
        (jobs.c.partition, wanted.partitions),
    ):
        if values:
            conditions.append(column.in_(values))
    if wanted.end_at is not None:
        conditions.append(jobs.c.submit_at <= wanted.end_at)
    if wanted.start_at is not None:
        conditions.append(or_(jobs.c.end_at >= wanted.start_at, jobs.c.end_at == 0))
    return and_(true(), *conditions)
