"""What a plan starts never exceeds what a pool allows, whatever waits and runs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stoker.scheduling.plan import plan
from stoker.scheduling.quotas import Grip, Pool, Quotas
from stoker.scheduling.snapshot import Queue, Shape, Snapshot, Waiting
from support.machines import free_node, shape

_CPUS = 8
_LIMIT = st.one_of(st.none(), st.integers(0, 5))
_POOLS = st.builds(
    Pool,
    key=st.integers(0, 2),
    reasons=st.sampled_from(["assoc-group", "qos-group", "qos-user"]),
    jobs=_LIMIT,
    amounts=st.dictionaries(st.just("cpu"), st.integers(0, 6), max_size=1),
)
_GRIPS = st.lists(
    st.lists(_POOLS, max_size=3, unique_by=lambda pool: pool.key), min_size=1, max_size=3
)
_KINDS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=5
)


def _one_limit_for_each_pool(grips: list[list[Pool]]) -> list[list[Pool]]:
    """Let pools of one key have one limit, as those of the account book have."""
    first: dict[object, Pool] = {}
    return [[first.setdefault(pool.key, pool) for pool in pools] for pools in grips]


@given(_GRIPS, _KINDS)
def test_no_pool_gives_more_than_it_has(
    grips: list[list[Pool]], kinds: list[tuple[int, int, int]]
) -> None:
    grips = _one_limit_for_each_pool(grips)
    known = {(number, "q"): Grip((), tuple(pools)) for number, pools in enumerate(grips, 1)}
    ids = iter(range(1, 1000))
    queues = [
        Queue(
            msgspec.structs.replace(
                shape(tasks=tasks),
                association=association,
                qos="q",
                time_limit_s=float(number),
            ),
            [Waiting(job_id, (job_id,), 1) for job_id in islice(ids, jobs)],
        )
        for number, (association, tasks, jobs) in enumerate(kinds, 1)
    ]
    snapshot = Snapshot(queues, (), (free_node(_CPUS),), Quotas(known))
    starts = plan(snapshot, 0.0).starts
    assert starts == plan(snapshot, 0.0).starts
    for pools in grips:
        for pool in pools:
            shapes = [start.shape for start in starts if _takes_of(start.shape, pool, known)]
            assert pool.jobs is None or len(shapes) <= pool.jobs
            assert sum(each.tasks for each in shapes) <= pool.amounts.get("cpu", _CPUS)


def _takes_of(kind: Shape, pool: Pool, known: Mapping[tuple[int, str], Grip]) -> bool:
    grip = known.get((kind.association, kind.qos))
    return grip is not None and pool in grip.pools
