"""What must hold of each transaction, looked at just before it is part of the record.

Only what a transaction changes is looked at, with books kept from one to the next: that is quick
enough to be done millions of times. What is wrong raises; `support.queue_checks` looks at all of it
again now and then.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from campaign.store import JOB_COLUMNS, AllocationRow, Batch, JobRow, Key, MemoryDatabase
from stoker.core.enums import ENDED, HOLDING, JobState
from stoker.core.lifecycle import TRANSITIONS
from stoker.core.models import NodeShare

STATE, END_AT, START_AT, RESTARTS, REASON = map(
    JOB_COLUMNS.index, ("state", "end_at", "start_at", "restarts", "reason")
)
_ATTEMPT, _STATE, _SHARES, _LANE = map(
    AllocationRow._fields.index, ("attempt", "state", "shares", "lane")
)
_TURNS_MAX = 4
"""Ways along the life cycle's table that one transaction may take."""

_HOLDING = frozenset(state.value for state in HOLDING)
_ENDED = frozenset(state.value for state in ENDED)

Lane = int | Key
"""Who holds: a lane, by its number, or an attempt that stands alone."""


def _reachable() -> dict[str, frozenset[str]]:
    ways = {state: {to for (at, _), to in TRANSITIONS.items() if at is state} for state in JobState}
    found = {}
    for state in JobState:
        reached = {state}
        for _ in range(_TURNS_MAX):
            reached |= {to for each in reached for to in ways[each]}
        found[state.value] = frozenset(each.value for each in reached)
    return found


_REACHABLE = _reachable()


class Audit:
    """Objects to what must never be recorded.

    Attributes:
        may_run_again: Whether somebody has just asked for the requeue of what has ended.
        touched: The jobs that were recorded since somebody emptied it.
    """

    def __init__(self, tables: MemoryDatabase, memory_mib: dict[str, int]) -> None:
        """See what becomes of *tables*, on nodes with so much memory each."""
        self.may_run_again = False
        self.touched: set[int] = set()
        self._tables = tables
        self._memory_mib = dict(memory_mib)
        self._lines: dict[Lane, set[Key]] = {}
        self._taken: dict[tuple[str, int], Lane] = {}
        self._highest = 0
        tables.on_commit = self._see

    def _see(self, batch: Batch) -> None:
        self._keep_books(batch)
        self.touched.update(batch.jobs)
        for job_id, row in batch.jobs.items():
            before = self._tables.jobs.get(job_id)
            if row is None:
                assert before is None or before[STATE] == "PENDING", f"{before} is erased"
            elif before is None:
                assert job_id > self._highest, f"id {job_id} is given after {self._highest}"
            elif row is not before:
                self._check_change(before, row)
        self._highest = max(self._highest, *batch.jobs) if batch.jobs else self._highest
        for job_id in {*batch.jobs, *(job_id for job_id, _ in batch.allocations)}:
            row = batch.jobs.get(job_id, self._tables.jobs.get(job_id))
            if row is not None:
                _check_job(row, dict(self._attempts(job_id, batch)))

    def _attempts(self, job_id: int, batch: Batch) -> Iterator[tuple[int, tuple[Any, ...]]]:
        yield from self._tables.allocations.get(job_id, {}).items()
        for (owner, attempt), row in batch.allocations.items():
            if owner == job_id:
                yield attempt, row

    def _check_change(self, before: JobRow, after: JobRow) -> None:
        """The job went along the table; an end is final, but for a requeue that was asked for."""
        assert after[STATE] in _REACHABLE[before[STATE]], f"{before} does not lead to {after}"
        assert after[RESTARTS] >= before[RESTARTS], f"{before} becomes {after}"
        if before[END_AT] and after != before:
            may = self.may_run_again and after[RESTARTS] > before[RESTARTS]
            assert may, f"{before} has ended, and becomes {after}"

    def _keep_books(self, batch: Batch) -> None:
        """Give back first, then take: a turn may do both with the same cores, even for one job."""
        rows = self._tables.allocations
        for job_id in [job_id for job_id, row in batch.jobs.items() if row is None]:
            for attempt, row in rows.get(job_id, {}).items():
                self._give((job_id, attempt), row)
        for job_id, attempt in batch.allocations:
            if (before := rows.get(job_id, {}).get(attempt)) is not None:
                self._give((job_id, attempt), before)
        for key, row in batch.allocations.items():
            if row[_STATE] != "released":
                self._take(key, row)

    def _take(self, key: Key, row: tuple[Any, ...]) -> None:
        lane = row[_LANE] or key
        line = self._lines.setdefault(lane, set())
        if not line:
            for node, cores, memory_mib in read_shares(row[_SHARES]):
                for core in cores:
                    holder = self._taken.setdefault((node, core), lane)
                    assert holder == lane, f"{node}'s core {core} is held by {holder} and {lane}"
                self._memory_mib[node] -= memory_mib
                assert self._memory_mib[node] >= 0, f"{node}'s memory is given out twice"
        line.add(key)

    def _give(self, key: Key, row: tuple[Any, ...]) -> None:
        lane = row[_LANE] or key
        line = self._lines.get(lane, set())
        if key not in line:
            return
        line.remove(key)
        if not line:
            del self._lines[lane]
            for node, cores, memory_mib in read_shares(row[_SHARES]):
                for core in cores:
                    del self._taken[node, core]
                self._memory_mib[node] += memory_mib


def _check_job(row: JobRow, attempts: dict[int, tuple[Any, ...]]) -> None:
    """A record is sound in itself and with its attempts."""
    state = row[STATE]
    active = [each for each in attempts.values() if each[_STATE] != "released"]
    assert bool(row[END_AT]) == (state in _ENDED), f"{row}: an end without a time, or so"
    assert max(attempts, default=0) <= row[RESTARTS], f"{row} has attempts {sorted(attempts)}"
    if not active:
        assert state not in _HOLDING, f"{row} holds nothing"
        assert state != "PENDING" or row[REASON], f"{row} waits and does not say why"
        return
    assert len(active) == 1, f"{row} holds {active}"
    assert state not in _ENDED, f"{row} has ended, and holds {active}"
    assert active[0][_ATTEMPT] == row[RESTARTS], f"{row} holds {active}"
    assert (active[0][_STATE] == "allocated") == (state in _HOLDING), f"{row} holds {active}"
    assert state not in _HOLDING or row[START_AT] > 0, f"{row} has not started"


@cache
def read_shares(body: bytes) -> tuple[tuple[str, tuple[int, ...], int], ...]:
    """Return node, cores and memory of each share of an allocation."""
    held = msgspec.json.decode(body, type=tuple[NodeShare, ...])
    return tuple((share.node, share.cpus, share.memory_mib) for share in held)
