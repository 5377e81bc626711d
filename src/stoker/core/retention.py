"""Which ended jobs leave the records, with their attempts, steps and what only they referred to.

An array leaves when none of its records is active, so that whoever waits for all of it still finds
its tasks. Specifications and contents are shared: they are swept when no job refers to them, in two
parts. The long look at everything holds nobody up; what it found unused is then looked at once
more, with the writer's lock, against the jobs that were active since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, func, or_, select
from sqlalchemy.sql import ColumnElement

from stoker.core.database import Database
from stoker.core.rows import decode_spec
from stoker.core.schema import allocations, contents, jobs, specs, steps

_CHUNK: Final = 500
_PART: Final = 2000
_MARGIN_S: Final = 3600.0
"""How far the clock may have been set back between the two looks."""


class Retention:
    """What of the past is kept."""

    def __init__(self, database: Database) -> None:
        """Look at, and remove from, *database*."""
        self._database = database

    def ended_before(self, at: float, count: int, after: int = 0) -> list[int]:
        """Return the ids of the first *count* jobs that may leave, by id; all above *after*."""
        with self._database.reader() as connection:
            oldest = connection.execute(select(func.min(jobs.c.end_at)).where(jobs.c.end_at > 0))
            # That is one look into an index; the query below is a walk through all jobs.
            if (oldest.scalar() or at) >= at:
                return []
        active = (
            select(jobs.c.array_job_id)
            .where(jobs.c.end_at == 0, jobs.c.array_job_id > 0)
            .distinct()
        )
        query = (
            select(jobs.c.job_id)
            .where(_has_ended_before(at), jobs.c.job_id > after)
            .where(jobs.c.array_job_id.not_in(active))
            .order_by(jobs.c.job_id)
            .limit(count)
        )
        with self._database.reader() as connection:
            return list(connection.execute(query).scalars())

    def remove(self, job_ids: Sequence[int], before: float) -> int:
        """Remove those of the jobs that have still ended before then; return how many."""
        with self._database.transaction() as connection:
            still = select(jobs.c.job_id).where(_has_ended_before(before))
            gone = [
                job_id
                for some in _parts(job_ids)
                for job_id in connection.execute(still.where(jobs.c.job_id.in_(some))).scalars()
            ]
            for table in (steps, allocations, jobs):
                _delete(connection, table, table.c.job_id, gone)
        return len(gone)

    def sweep(self, now: float) -> int:
        """Remove specifications and contents to which nobody refers; return how many.

        Args:
            now: The time, in epoch seconds. What jobs refer to that were active since is kept.
        """
        with self._database.reader() as connection:
            unused = _all(connection, specs.c.digest) - _all(connection, jobs.c.spec)
            loose = _all(connection, contents.c.digest) - _contents_of(connection, without=unused)
        if not unused and not loose:
            return 0
        with self._database.transaction() as connection:
            recent = or_(jobs.c.end_at == 0, jobs.c.end_at >= now - _MARGIN_S)
            found = set(connection.execute(select(jobs.c.spec).where(recent).distinct()).scalars())
            bodies = [
                body
                for some in _parts(sorted(found))
                for body in connection.execute(
                    select(specs.c.body).where(specs.c.digest.in_(some))
                ).scalars()
            ]
            unused -= found
            loose -= _named_in(bodies)
            _delete(connection, specs, specs.c.digest, sorted(unused))
            _delete(connection, contents, contents.c.digest, sorted(loose))
        return len(unused) + len(loose)


def _has_ended_before(at: float) -> ColumnElement[bool]:
    return and_(jobs.c.end_at > 0, jobs.c.end_at < at)


def _all(connection: Connection, column: ColumnElement[Any]) -> set[Any]:
    return set(connection.execute(select(column).distinct()).scalars())


def _contents_of(connection: Connection, without: Set[Any]) -> set[Any]:
    """Return the contents to which specifications refer, *without* some of these."""
    found: set[Any] = set()
    # A server sends all of it at once unless it is asked for parts.
    found_specs = connection.execute(select(specs), execution_options={"stream_results": True})
    for rows in found_specs.partitions(_PART):
        found |= _named_in(body for digest, body in rows if digest not in without)
    return found


def _named_in(bodies: Iterable[bytes]) -> set[Any]:
    """Return the digests of scripts and environments that specifications name."""
    made = map(decode_spec, bodies)
    return {digest for spec in made for digest in (spec.script, spec.environment)}


def _delete(
    connection: Connection, table: Table, column: ColumnElement[Any], values: Sequence[Any]
) -> None:
    for some in _parts(values):
        connection.execute(table.delete().where(column.in_(some)))


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
