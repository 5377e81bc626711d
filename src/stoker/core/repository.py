"""Every query on jobs and allocations, once. No caller writes its own.

Rows are written and read in bulk, as tuples through statements that are compiled once: a job costs
a few microseconds here, not an object-relational map's hundred. All writing functions take the
connection of a `Database.transaction`; all reading ones open a reader of their own unless told
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from math import inf
from operator import attrgetter
from typing import Any, TypeAlias

import msgspec
from sqlalchemy import Column, Connection, Table, and_, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql import ColumnElement

from stoker.core.database import Database, fetch, insert_many
from stoker.core.enums import AllocationState
from stoker.core.historyfilter import IDS_MAX, HistoryFilter, history_condition, history_parts
from stoker.core.models import Allocation, Job, JobSpec, Step
from stoker.core.rows import (
    allocation_of,
    allocation_row,
    as_text,
    decode_spec,
    decode_step,
    encode,
    job_of,
    job_row,
)
from stoker.core.schema import (
    allocations,
    contents,
    counters,
    jobs,
    nodes,
    specs,
    steps,
    submissions,
)

_Rows: TypeAlias = Sequence[Sequence[Any]]

_PART = 2000
"""Rows that are read at a time."""

NEXT_JOB_ID = "next_job_id"

_JOB_ID, _SPEC, _END_AT = (list(jobs.c.keys()).index(name) for name in ("job_id", "spec", "end_at"))
"""Places in a row of ``jobs``."""


class NodeState(msgspec.Struct, frozen=True):
    """What an operator said of a node: DRAIN or DOWN, or "" for nothing; and why."""

    name: str
    state: str
    reason: str
    reason_at: float
    reason_user: str


class Repository:
    """The queries; it keeps nothing of its own."""

    def __init__(self, database: Database) -> None:
        """Work on *database*, which is open."""
        self.database = database

    # Writing: each takes the connection of a transaction.

    def save_jobs(self, connection: Connection, changed: Iterable[Job]) -> None:
        """Record the present state of *changed*, new or known."""
        _write(connection, jobs, ("job_id",), [job_row(job) for job in changed])

    def erase_jobs(self, connection: Connection, job_ids: Collection[int]) -> None:
        """Remove records of array tasks that wait, and nothing more, as part of their array."""
        wanted = sorted(job_ids)
        for start in range(0, len(wanted), IDS_MAX):
            some = wanted[start : start + IDS_MAX]
            connection.execute(jobs.delete().where(jobs.c.job_id.in_(some)))
            connection.execute(allocations.delete().where(allocations.c.job_id.in_(some)))

    def save_allocations(self, connection: Connection, changed: Iterable[Allocation]) -> None:
        """Record the present state of *changed*, new or known."""
        rows = [allocation_row(allocation) for allocation in changed]
        _write(connection, allocations, ("job_id", "attempt"), rows)

    def save_steps(self, connection: Connection, changed: Iterable[Step]) -> None:
        """Record the present state of *changed*, new or known."""
        rows = [(step.job_id, step.attempt, step.step_id, encode(step)) for step in changed]
        _write(connection, steps, ("job_id", "attempt", "step_id"), rows)

    def add_specs(self, connection: Connection, bodies: dict[bytes, bytes]) -> None:
        """Store specifications by digest; what is there stays."""
        _add(connection, specs, list(bodies.items()))

    def add_contents(self, connection: Connection, bodies: dict[str, bytes]) -> None:
        """Store scripts and environments by digest; what is there stays."""
        _add(connection, contents, list(bodies.items()))

    def add_submissions(self, connection: Connection, keys: dict[str, int], at: float) -> None:
        """Remember which job a submission key made."""
        _add(connection, submissions, [(key, job_id, at) for key, job_id in keys.items()])

    def save_node_state(self, connection: Connection, said: NodeState) -> None:
        """Record what an operator said of a node."""
        reason, user = as_text(said.reason), as_text(said.reason_user)
        row = (as_text(said.name), said.state, reason, said.reason_at, user)
        _write(connection, nodes, ("name",), [row])

    def set_counter(self, connection: Connection, name: str, value: int) -> None:
        """Set a counter that only grows."""
        _write(connection, counters, ("name",), [(name, value)])

    def forget_submissions(self, connection: Connection, before: float) -> None:
        """Drop submission keys older than *before*: no client retries for that long."""
        connection.execute(submissions.delete().where(submissions.c.at < before))

    # Reading.

    def next_job_id(self) -> int:
        """Return an id above every one that was ever given out."""
        with self.database.reader() as connection:
            counter = connection.execute(
                select(counters.c.value).where(counters.c.name == NEXT_JOB_ID)
            ).scalar()
            highest = connection.execute(select(func.max(jobs.c.job_id))).scalar()
        return max(counter or 1, (highest or 0) + 1)

    def active_jobs(self) -> list[Job]:
        """Return every job that waits or runs, with its active allocation, by id."""
        return self._jobs(_matching(jobs.c.end_at == 0), _all_active_allocations)

    def ended_since(self, at: float, before: float = inf) -> list[Job]:
        """Return the jobs that ended at or after *at*, and *before* another time, by id."""
        ended = and_(jobs.c.end_at > 0, jobs.c.end_at >= at)
        return self._jobs(_matching(and_(ended, jobs.c.end_at < before)))

    def jobs(self, job_ids: Sequence[int]) -> list[Job]:
        """Return the jobs with these ids that exist, by id."""
        return self._jobs(lambda connection: [_among(connection, jobs.c.job_id, job_ids)])

    def family(self, job_id: int, ended_since: float | None = None) -> list[Job]:
        """Return every record that *job_id* names, by id: a job, or an array's records.

        With *ended_since* those of an array are only the ones that ended since then.
        """
        return self.families((job_id,), ended_since)

    def families(self, job_ids: Sequence[int], ended_since: float | None = None) -> list[Job]:
        """Return every record that one of *job_ids* names, by id; *ended_since* as in `family`."""

        def rows(connection: Connection) -> Iterator[_Rows]:
            named = _among(connection, jobs.c.job_id, job_ids)
            yield named
            seen = {row[_JOB_ID] for row in named}
            tasks = _array_rows(connection, job_ids, ended_since)
            yield [row for row in tasks if row[_JOB_ID] not in seen]

        return self._jobs(rows)

    def history(self, wanted: HistoryFilter) -> list[Job]:
        """Return the jobs that *wanted* describes, by id, without their attempts."""
        ids = wanted.job_ids
        if ids and wanted == HistoryFilter(job_ids=ids, array_job_ids=ids):
            return self.families(ids)
        found: dict[int, Job] = {}
        for part in history_parts(wanted):
            found |= {job.job_id: job for job in self._jobs(_matching(history_condition(part)))}
        return [job for _, job in sorted(found.items())]

    def attempts(self, job_ids: Sequence[int]) -> list[Allocation]:
        """Return every attempt of these jobs, by job and attempt."""
        with self.database.reader() as connection:
            rows = _among(connection, allocations.c.job_id, job_ids)
        return sorted(map(allocation_of, rows), key=lambda each: (each.job_id, each.attempt))

    def steps(self, job_ids: Sequence[int]) -> list[Step]:
        """Return every step of these jobs, by job, attempt and number."""
        with self.database.reader() as connection:
            rows = _among(connection, steps.c.job_id, job_ids)
        found = [decode_step(row[-1]) for row in rows]
        # Names are numbers, but for the batch step's: the tenth comes after the second.
        return sorted(found, key=lambda s: (s.job_id, s.attempt, len(s.step_id), s.step_id))

    def content(self, digest: str) -> bytes:
        """Return what is stored under *digest*; nothing is stored under ""."""
        if not digest:
            return b""
        with self.database.reader() as connection:
            body = connection.execute(
                select(contents.c.body).where(contents.c.digest == digest)
            ).scalar()
        assert body is not None, f"content {digest} is gone"
        return bytes(body)

    def submission_keys(self, since: float) -> dict[str, int]:
        """Return which job each submission key made at or after *since*."""
        query = select(submissions.c.key, submissions.c.job_id).where(submissions.c.at >= since)
        with self.database.reader() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def node_states(self) -> list[NodeState]:
        """Return what operators said of nodes, where that still stands."""
        with self.database.reader() as connection:
            rows = connection.execute(select(nodes).where(nodes.c.state != ""))
            return [NodeState(*row) for row in rows]

    def _jobs(
        self,
        rows_of: Callable[[Connection], Iterable[_Rows]],
        held_beforehand: Callable[[Connection], dict[int, Allocation]] | None = None,
    ) -> list[Job]:
        with self.database.reader() as connection:
            held = held_beforehand(connection) if held_beforehand is not None else {}
            asked: dict[bytes, JobSpec] = {}
            found: list[Job] = []
            # Part by part: the rows of a long queue take more memory than its jobs.
            for rows in rows_of(connection):
                asked |= _specs(connection, {row[_SPEC] for row in rows} - asked.keys())
                if held_beforehand is None:
                    held = _active_allocations(connection, rows)
                found += [job_of(row, asked[row[_SPEC]], held.get(row[_JOB_ID])) for row in rows]
        found.sort(key=attrgetter("job_id"))
        return found


def _matching(condition: ColumnElement[Any]) -> Callable[[Connection], Iterator[_Rows]]:
    """Return what reads the rows of ``jobs`` that meet a condition, part by part."""

    def rows(connection: Connection) -> Iterator[_Rows]:
        query = select(jobs).where(condition)
        if connection.dialect.name != "sqlite":
            # A server sends all of it at once unless it is asked for parts.
            parts = connection.execute(query, execution_options={"stream_results": True})
            yield from parts.partitions(_PART)
            return
        cursor = connection.execute(query).cursor
        assert cursor is not None
        # The driver's own tuples: a Row of SQLAlchemy's around each would only cost time.
        while some := cursor.fetchmany(_PART):
            yield some

    return rows


def _array_rows(
    connection: Connection, array_job_ids: Sequence[int], ended_since: float | None
) -> _Rows:
    """Return the rows of arrays; the index has only those, and no 0."""
    column, also = jobs.c.array_job_id, "array_job_id > 0"
    if ended_since is None:
        return _among(connection, column, array_job_ids, also)
    return _among(connection, column, array_job_ids, f"{also} AND end_at >= {{}}", (ended_since,))


def _active_allocations(connection: Connection, rows: _Rows) -> dict[int, Allocation]:
    """Return what jobs that have not ended hold, or are about to, by job."""
    active = [row[_JOB_ID] for row in rows if not row[_END_AT]]
    found = map(allocation_of, _among(connection, allocations.c.job_id, active))
    return {each.job_id: each for each in found if each.is_active}


def _all_active_allocations(connection: Connection) -> dict[int, Allocation]:
    """Return the same of every job: one walk instead of a look-up for each that waits."""
    query = (
        select(allocations)
        .join(jobs, jobs.c.job_id == allocations.c.job_id)
        .where(jobs.c.end_at == 0, allocations.c.state != AllocationState.RELEASED.value)
    )
    found = map(allocation_of, connection.execute(query))
    return {each.job_id: each for each in found}


def _specs(connection: Connection, digests: set[bytes]) -> dict[bytes, JobSpec]:
    rows = _among(connection, specs.c.digest, list(digests))
    return {digest: decode_spec(body) for digest, body in rows}


def _among(
    connection: Connection,
    column: Column[Any],
    values: Sequence[Any],
    also: str = "",
    also_values: Sequence[Any] = (),
) -> _Rows:
    """Return the rows of the column's table in which it has one of *values*.

    *also* has to hold, too; braces in it stand for *also_values*.
    """
    rows: list[Sequence[Any]] = []
    values = list(dict.fromkeys(values))
    for start in range(0, len(values), IDS_MAX):
        some = values[start : start + IDS_MAX]
        query = _select_among(column, len(some), also, connection.dialect.name)
        rows += fetch(connection, query, [*some, *also_values])
    return rows


@lru_cache
def _select_among(column: Column[Any], count: int, also: str, dialect_name: str) -> str:
    _, dialect = _insert_of(dialect_name)
    mark = "?" if dialect_name == "sqlite" else "%s"
    words = [f"{column.name} IN ({','.join([mark] * count)})", *filter(None, [also.format(mark)])]
    return f"{select(column.table).compile(dialect=dialect)} WHERE {' AND '.join(words)}"


def _write(
    connection: Connection, table: Table, keys: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> None:
    insert_many(connection, partial(_upsert, table, keys, connection.dialect.name), rows)


def _add(connection: Connection, table: Table, rows: list[tuple[Any, ...]]) -> None:
    insert_many(connection, partial(_insert_or_keep, table, connection.dialect.name), rows)


@lru_cache
def _upsert(table: Table, keys: tuple[str, ...], dialect_name: str, count: int) -> str:
    insert, dialect = _insert_of(dialect_name)
    statement = insert(table)
    changed = {c.name: statement.excluded[c.name] for c in table.c if c.name not in keys}
    compiled = statement.on_conflict_do_update(index_elements=keys, set_=changed).compile(
        dialect=dialect
    )
    return _of_rows(count, str(compiled))


@lru_cache
def _insert_or_keep(table: Table, dialect_name: str, count: int) -> str:
    insert, dialect = _insert_of(dialect_name)
    statement = str(insert(table).on_conflict_do_nothing().compile(dialect=dialect))
    return _of_rows(count, statement)


def _of_rows(count: int, insert: str) -> str:
    """Return the INSERT of one row, which says what to do on conflict, as one of several."""
    head, values, tail = insert.partition(" VALUES ")
    row, conflict, action = tail.partition(" ON CONFLICT ")
    return "".join((head, values, ", ".join([row] * count), conflict, action))


def _insert_of(dialect_name: str) -> tuple[Any, Any]:
    """Return a database's own INSERT, and its dialect with parameters by position."""
    if dialect_name == "postgresql":
        # Imported only here: it would cost every start tens of milliseconds.
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        dialect: Any = postgresql.dialect
        return postgresql.insert, dialect(paramstyle="format")
    return sqlite.insert, sqlite.dialect(paramstyle="qmark")
