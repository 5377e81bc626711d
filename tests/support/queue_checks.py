"""What must hold of a worker at rest, whatever happened before: record, memory and engine agree."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable

import msgspec

from stoker.core.enums import HOLDING, AllocationState, JobState
from stoker.core.lifecycle import TRANSITIONS
from stoker.core.models import Allocation, Job
from stoker.engines.base import parse_key
from support.works import Works

_WAYS = {state: {to for (at, _), to in TRANSITIONS.items() if at is state} for state in JobState}


def check_memory(works: Works, active: Iterable[Job]) -> None:
    """What the daemon has in memory is what is on record, field by field."""
    queue = works.worker.queue
    if queue.is_stale:
        return
    recorded = {job.job_id: job for job in active}
    assert set(queue.table.jobs) == set(recorded), "memory and record know different jobs"
    for job_id, job in queue.table.jobs.items():
        ours, theirs = _plain(job), _plain(recorded[job_id])
        assert ours == theirs, f"job {job_id} in memory and on record: {_differences(ours, theirs)}"
    works.worker.tracker.check()
    holders = {job.job_id for job in queue.table if job.allocation is not None}
    in_front = {each for each in holders if not works.worker.ledger.lanes.is_behind(each)}
    assert works.worker.tracker.holders() == in_front


def _plain(job: Job) -> Job:
    """Return the job with its dependency as it is when read: of one condition there is no "any"."""
    plain = copy.copy(job)
    if job.dependency is not None and len(job.dependency.conditions) == 1:
        plain.dependency = msgspec.structs.replace(job.dependency, any_of=False)
    return plain


def _differences(one: Job, other: Job) -> str:
    return ", ".join(
        f"{name} {getattr(one, name)!r} and {getattr(other, name)!r}"
        for name in Job.__struct_fields__
        if getattr(one, name) != getattr(other, name)
    )


def shown(job: Job) -> str:
    """Return what of a record is not as it was submitted."""
    plain = Job(0, job.spec, job.owner, job.submit_at, job.partition, job.spec_digest)
    return f"job {job.display_id}: " + ", ".join(
        f"{name}={getattr(job, name)!r}"
        for name in Job.__struct_fields__
        if getattr(job, name) != getattr(plain, name)
    )


def check_jobs(jobs: Iterable[Job], attempts: Iterable[Allocation]) -> None:
    """Each record is sound in itself, and so are its attempts."""
    by_job: dict[int, list[Allocation]] = {}
    for attempt in attempts:
        by_job.setdefault(attempt.job_id, []).append(attempt)
    for job in jobs:
        own = by_job.get(job.job_id, [])
        active = [each for each in own if each.is_active]
        assert len(active) <= 1, f"job {job.job_id} holds {len(active)} allocations"
        assert bool(job.end_at) == job.state.has_ended, f"{job.state} with end {job.end_at}"
        if job.state.has_ended:
            assert not active, f"job {job.job_id} is {job.state} and holds resources"
        assert all(each.attempt <= job.restarts for each in own)
        for each in active:
            assert each.attempt == job.restarts
            is_known = each.state is AllocationState.ALLOCATED
            assert is_known == (job.state in HOLDING), f"{each.state} of a {job.state} job"
        if job.state in HOLDING:
            assert active, f"job {job.job_id} is {job.state} and holds nothing"
            assert job.start_at > 0
        if job.state is JobState.PENDING and not active:
            assert job.reason, f"job {job.job_id} waits and does not say why"


def check_room(works: Works, attempts: Iterable[Allocation]) -> None:
    """What is held on record, each lane counted once, is no more than there is."""
    lanes: dict[int, Allocation] = {}
    held = []
    for each in attempts:
        if not each.is_active:
            continue
        first = lanes.setdefault(each.lane, each) if each.lane else each
        assert first.shares == each.shares, f"lane {each.lane} runs in different places"
        if first is each:
            held.append(each)
    _check_fit(works, held)


def check_engine(works: Works, attempts: Iterable[Allocation]) -> None:
    """What runs at this moment, whoever has heard of it, does not share a core."""
    by_key = {(each.job_id, each.attempt): each for each in attempts}
    running = [parse_key(each.key) for each in works.engine.running()]
    _check_fit(works, [by_key[each.job_id, each.attempt] for each in running])
    twice = {key: count for key, count in works.engine.starts.items() if count > 1}
    assert not twice, f"started more than once: {twice}"


def _check_fit(works: Works, held: Iterable[Allocation]) -> None:
    cores: Counter[tuple[str, int]] = Counter()
    memory: Counter[str] = Counter()
    for each in held:
        for share in each.shares:
            cores.update((share.node, core) for core in share.cpus)
            memory[share.node] += share.memory_mib
    assert all(count == 1 for count in cores.values()), f"held twice: {cores.most_common(1)}"
    for node in works.worker.tracker._nodes:
        assert memory[node.name] <= node.memory_mib
    assert {(node, core) for node, core in cores} <= {
        (node.name, core) for node in works.worker.tracker._nodes for core in range(node.cpus)
    }


def check_change(before: Job, after: Job, *, was_requeued: bool) -> None:
    """The record went from one state to the other along the table; an end is final."""
    if before.state.has_ended and not was_requeued:
        assert after == before, f"{shown(before)}\nis now\n{shown(after)}"
    assert after.restarts >= before.restarts
    reached = {before.state}
    for _ in range(4):
        reached |= {to for state in reached for to in _WAYS[state]}
    assert after.state in reached, f"{before.state} does not lead to {after.state}"
