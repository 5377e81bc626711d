"""The records of a simulated worker: rows in dictionaries, transactions that fail when told to.

What is written becomes a row and what is read is made anew from rows, by the functions that the
real store uses: a worker that starts again knows what was recorded, and nothing else.
`MemoryRepository` answers what a worker asks; it cannot tell it from the real one.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool

from stoker.core import rows
from stoker.core.historyfilter import HistoryFilter
from stoker.core.models import Allocation, Job, JobSpec, Step
from stoker.core.repository import NEXT_JOB_ID, NodeState, Repository
from stoker.core.schema import allocations, jobs, metadata
from support.works import Fragile

JOB_COLUMNS = list(jobs.c.keys())
SPEC, REASON, END_AT, ARRAY = map(JOB_COLUMNS.index, ("spec", "reason", "end_at", "array_job_id"))
AllocationRow = namedtuple("AllocationRow", allocations.c.keys())  # type: ignore[misc]
ALLOCATION_STATE = 2

JobRow = tuple[Any, ...]
Key = tuple[int, int]

read_spec = cache(rows.decode_spec)


@dataclass
class Batch:
    """What one transaction writes; a job's row is None if the job is erased."""

    jobs: dict[int, JobRow | None] = field(default_factory=dict)
    allocations: dict[Key, tuple[Any, ...]] = field(default_factory=dict)
    others: list[Callable[[], object]] = field(default_factory=list)


class MemoryDatabase(Fragile):
    """The tables; *on_commit* is told of each batch when it is part of them."""

    def __init__(self) -> None:
        super().__init__("sqlite://")
        self.jobs: dict[int, JobRow] = {}
        self.active: set[int] = set()
        self.arrays: dict[int, set[int]] = {}
        self.allocations: dict[int, dict[int, tuple[Any, ...]]] = {}
        self.specs: dict[bytes, bytes] = {}
        self.contents: dict[str, bytes] = {}
        self.keys: dict[str, tuple[int, float]] = {}
        self.counters: dict[str, int] = {}
        self.nodes: dict[str, NodeState] = {}
        self.on_commit: Callable[[Batch], None] = lambda _: None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        batch = Batch()
        yield cast("Connection", batch)
        self.before_commit()
        self.on_commit(batch)
        self._apply(batch)
        self.after_commit()

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Give empty tables: whoever asks here keeps what no simulated job has."""
        yield _nothing()

    def _apply(self, batch: Batch) -> None:
        for job_id, row in batch.jobs.items():
            if row is None:
                self.jobs.pop(job_id, None)
                self.allocations.pop(job_id, None)
            else:
                self.jobs[job_id] = row
                if row[ARRAY]:
                    self.arrays.setdefault(row[ARRAY], set()).add(job_id)
            if row is None or row[END_AT]:
                self.active.discard(job_id)
            else:
                self.active.add(job_id)
        for (job_id, attempt), row in batch.allocations.items():
            self.allocations.setdefault(job_id, {})[attempt] = row
        for write in batch.others:
            write()


@cache
def _nothing() -> Connection:
    connection = create_engine("sqlite://", poolclass=StaticPool).connect()
    metadata.create_all(connection)
    return connection


class MemoryRepository(Repository):
    """The queries that a worker makes, over `MemoryDatabase`."""

    def __init__(self) -> None:
        self.tables = MemoryDatabase()
        super().__init__(self.tables)

    # Writing.

    def save_jobs(self, connection: Connection, changed: Iterable[Job]) -> None:
        for job in changed:
            row = rows.job_row(job)
            # A store gives back plain text, not the enumeration that was written.
            row = (*row[:REASON], str(row[REASON]), *row[REASON + 1 :])
            _batch(connection).jobs[job.job_id] = row

    def erase_jobs(self, connection: Connection, job_ids: Collection[int]) -> None:
        _batch(connection).jobs.update(dict.fromkeys(job_ids))

    def save_allocations(self, connection: Connection, changed: Iterable[Allocation]) -> None:
        for each in changed:
            key = each.job_id, each.attempt
            _batch(connection).allocations[key] = rows.allocation_row(each)

    def save_steps(self, connection: Connection, changed: Iterable[Step]) -> None:
        assert not list(changed), "the simulation runs no steps"

    def add_specs(self, connection: Connection, bodies: dict[bytes, bytes]) -> None:
        if bodies:
            _later(connection, lambda: self.tables.specs.update(bodies))

    def add_contents(self, connection: Connection, bodies: dict[str, bytes]) -> None:
        if bodies:
            _later(connection, lambda: self.tables.contents.update(bodies))

    def add_submissions(self, connection: Connection, keys: dict[str, int], at: float) -> None:
        made = {key: (job_id, at) for key, job_id in keys.items()}
        if made:
            _later(connection, lambda: self.tables.keys.update(made))

    def save_node_state(self, connection: Connection, said: NodeState) -> None:
        _later(connection, lambda: self.tables.nodes.update({said.name: said}))

    def set_counter(self, connection: Connection, name: str, value: int) -> None:
        _later(connection, lambda: self.tables.counters.update({name: value}))

    def forget_submissions(self, connection: Connection, before: float) -> None:
        old = [key for key, (_, at) in self.tables.keys.items() if at < before]
        _later(connection, lambda: [self.tables.keys.pop(key) for key in old])

    # Reading.

    def next_job_id(self) -> int:
        return max(self.tables.counters.get(NEXT_JOB_ID, 1), max(self.tables.jobs, default=0) + 1)

    def active_jobs(self) -> list[Job]:
        return self.jobs(sorted(self.tables.active))

    def jobs(self, job_ids: Sequence[int]) -> list[Job]:
        known = self.tables.jobs
        return [self._job(known[each]) for each in job_ids if each in known]

    def history(self, wanted: HistoryFilter) -> list[Job]:
        assert wanted == HistoryFilter(), "the simulation asks for all, or for families"
        return self.jobs(sorted(self.tables.jobs))

    def families(self, job_ids: Sequence[int], _: float | None = None) -> list[Job]:
        arrays = [self.tables.arrays.get(each, set()) for each in job_ids]
        return self.jobs(sorted(set(job_ids).union(*arrays)))

    def attempts(self, job_ids: Sequence[int]) -> list[Allocation]:
        return [
            read_allocation(row)
            for job_id in sorted(set(job_ids))
            for _, row in sorted(self.tables.allocations.get(job_id, {}).items())
        ]

    def ended_since(self, at: float) -> list[Job]:
        found = [row for row in self.tables.jobs.values() if row[END_AT] and row[END_AT] >= at]
        return [self._job(row) for row in sorted(found)]

    def steps(self, job_ids: Sequence[int]) -> list[Step]:
        del job_ids
        return []

    def content(self, digest: str) -> bytes:
        return self.tables.contents[digest] if digest else b""

    def submission_keys(self, since: float) -> dict[str, int]:
        return {key: job_id for key, (job_id, at) in self.tables.keys.items() if at >= since}

    def node_states(self) -> list[NodeState]:
        return [each for each in self.tables.nodes.values() if each.state]

    def _job(self, row: JobRow) -> Job:
        spec: JobSpec = read_spec(self.tables.specs[row[SPEC]])
        held = [
            read_allocation(each)
            for each in self.tables.allocations.get(row[0], {}).values()
            if each[ALLOCATION_STATE] != "released"
        ]
        return rows.job_of(row, spec, held[0] if held else None)


def read_allocation(row: tuple[Any, ...]) -> Allocation:
    """Return the attempt of a row."""
    return rows.allocation_of(AllocationRow._make(row))


def _batch(connection: Connection) -> Batch:
    return cast("Batch", connection)


def _later(connection: Connection, write: Callable[[], object]) -> None:
    _batch(connection).others.append(write)
