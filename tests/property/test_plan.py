"""Plans never overbook, never starve, are the same twice, and do what a plain EASY would do."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.core.enums import Reason
from stoker.core.models import FOREVER, NodeShare
from stoker.scheduling.backfill import shadow
from stoker.scheduling.forecast import forecast
from stoker.scheduling.placement import Room, level_of, place, spread, tasks_on
from stoker.scheduling.plan import Pass, plan
from stoker.scheduling.snapshot import FreeNode, Running, Snapshot, Waiting
from support.machines import queue_of, shape

NOW = 1000.0
CPUS, MEMORY, GPUS = 6, 60, 2
UNBOUNDED = 10**9

limits = st.sampled_from([10.0, 20.0, 30.0, 50.0, FOREVER])
names = st.sampled_from(["one", "two"])


def node_names(count):
    return tuple(f"node{number}" for number in range(1, count + 1))


@st.composite
def shapes(draw, nodes_count=3):
    nodes = node_names(nodes_count)
    allowed = draw(st.none() | st.lists(st.sampled_from(nodes), unique=True, min_size=1))
    usable = nodes if allowed is None else tuple(sorted(allowed))
    nodes_min = draw(st.integers(1, len(usable)))
    tasks = draw(st.integers(nodes_min, 5))
    per_node, per_cpu = draw(
        st.sampled_from([(None, None), (0, None), (20, None), (None, 7), (None, 10)])
    )
    return shape(
        partition=draw(names),
        nodes_min=nodes_min,
        nodes_max=draw(st.integers(nodes_min, nodes_count)),
        tasks=tasks,
        tasks_per_node=draw(st.none() | st.integers(1, 3)),
        cpus_per_task=draw(st.integers(1, 2)),
        min_cpus_per_node=draw(st.integers(1, 3)),
        memory_per_node_mib=per_node,
        memory_per_cpu_mib=per_cpu,
        gres=draw(st.sampled_from([(), (("gpu", 1),), (("gpu", 2),)])),
        nodes=None if allowed is None else usable,
        required=draw(st.sampled_from([(), usable[:1]])),
        exclusive=draw(st.booleans()),
        time_limit_s=draw(limits),
    )


def idle_nodes(count):
    gpus = {"gpu": tuple(range(GPUS))}
    return [
        FreeNode(name, tuple(range(CPUS)), CPUS, MEMORY, MEMORY, gpus, accepts=True)
        for name in node_names(count)
    ]


def after(nodes, shares):
    """Return what is free of *nodes* once *shares* are taken; fail if they were not free."""
    left = []
    for node in nodes:
        cpus, memory = set(node.cpus), node.memory_mib
        gres = {name: set(free) for name, free in node.gres.items()}
        for share in shares:
            if share.node == node.name:
                assert list(share.cpus) == sorted(set(share.cpus))
                assert cpus.issuperset(share.cpus)
                cpus -= set(share.cpus)
                memory -= share.memory_mib
                for name, indices in share.gres.items():
                    assert gres[name].issuperset(indices)
                    gres[name] -= set(indices)
        assert memory >= 0
        left.append(
            FreeNode(
                node.name,
                tuple(sorted(cpus)),
                node.total_cpus,
                memory,
                node.total_memory_mib,
                {name: tuple(sorted(free)) for name, free in gres.items()},
                node.accepts,
            )
        )
    return left


@st.composite
def snapshots(draw, nodes_count=3, can_drain=True):
    """Running jobs are placed by placement itself, one after the other; then others wait."""
    nodes = idle_nodes(nodes_count)
    running = []
    for number, wanted in enumerate(draw(st.lists(shapes(nodes_count), max_size=6)), 1000):
        shares = place(wanted, nodes)
        if shares is not None:
            ends_at = NOW + draw(st.sampled_from([-5.0, 5.0, 10.0, 25.0, 40.0, FOREVER]))
            running.append(Running(number, shares, ends_at, wanted.exclusive))
            nodes = after(nodes, shares)
    if can_drain and draw(st.booleans()):
        nodes[-1] = FreeNode(
            *(getattr(nodes[-1], field) for field in FreeNode.__struct_fields__[:-1]),
            accepts=False,
        )
    kinds = draw(st.lists(shapes(nodes_count), min_size=1, max_size=4))
    jobs = [
        (draw(st.sampled_from(kinds)), Waiting(number, (0, number), draw(st.integers(0, 3))))
        for number in range(1, draw(st.integers(1, 8)) + 1)
    ]
    fitting = [(each, job) for each, job in jobs if place(each, idle_nodes(nodes_count))]
    return Snapshot(queue_of(fitting), running, nodes)


def all_shares(starts):
    return [share for start in starts for share in start.shares]


@given(shapes(), snapshots())
def test_a_job_is_placed_whenever_some_spread_of_its_tasks_fits(wanted, seen):
    room = Room(seen.free)
    most = [
        max((n for n in range(1, 6) if _takes(wanted, node, n)), default=0) for node in seen.free
    ]
    tasks = max(wanted.tasks, wanted.nodes_min)
    ways = [
        way
        for way in itertools.product(*(range(count + 1) for count in most))
        if sum(way) == tasks
        and wanted.nodes_min <= sum(map(bool, way)) <= wanted.nodes_max
        and all(
            count or node.name not in wanted.required
            for count, node in zip(way, seen.free, strict=True)
        )
    ]
    shares = room.place(wanted)
    assert (shares is not None) == bool(ways)
    if shares is not None:
        counts = tasks_on(wanted, shares)
        found = dict(zip((share.node for share in shares), counts, strict=True))
        assert tuple(found.get(node.name, 0) for node in seen.free) in ways


def _takes(wanted, node, tasks):
    """Whether the node has what so many tasks of the job want; said in the plainest way."""
    if not node.accepts or (wanted.nodes is not None and node.name not in wanted.nodes):
        return False
    if wanted.tasks_per_node is not None and tasks > wanted.tasks_per_node:
        return False
    cpus = max(tasks * wanted.cpus_per_task, wanted.min_cpus_per_node)
    if wanted.exclusive:
        if cpus > node.total_cpus or len(node.cpus) < node.total_cpus:
            return False
        cpus = node.total_cpus
    if wanted.memory_per_node_mib is not None:
        memory = wanted.memory_per_node_mib or node.total_memory_mib
    else:
        memory = cpus * (wanted.memory_per_cpu_mib or 0)
        memory = min(memory, node.total_memory_mib) if wanted.exclusive else memory
    return (
        cpus <= len(node.cpus)
        and memory <= node.memory_mib
        and all(len(node.gres[name]) >= count for name, count in wanted.gres)
    )


@given(shapes(), snapshots())
def test_an_allocation_holds_what_was_asked_for_on_every_node(wanted, seen):
    shares = place(wanted, seen.free)
    if shares is None:
        return
    after(seen.free, shares)
    assert wanted.nodes_min <= len(shares) <= wanted.nodes_max
    assert {share.node for share in shares} >= set(wanted.required)
    for share, tasks in zip(shares, tasks_on(wanted, shares), strict=True):
        assert 1 <= tasks <= (wanted.tasks_per_node or tasks)
        assert len(share.cpus) >= max(tasks * wanted.cpus_per_task, wanted.min_cpus_per_node)
        for name, count in wanted.gres:
            assert len(share.gres[name]) >= count


@given(snapshots())
def test_a_plan_never_takes_what_is_not_free_nor_a_core_twice(seen):
    decided = plan(seen, NOW)
    after(seen.free, all_shares(decided.starts))
    accepting = {node.name for node in seen.free if node.accepts}
    assert {share.node for share in all_shares(decided.starts)} <= accepting


@given(snapshots())
def test_the_same_question_has_the_same_answer(seen):
    first, second = plan(seen, NOW), plan(seen, NOW)
    assert first.starts == second.starts
    assert first.heads == second.heads


@given(snapshots())
def test_no_array_starts_more_tasks_than_it_may(seen):
    counts = {job.job_id: job.count for queue in seen.queues for job in queue.jobs}
    started = Counter(start.job_id for start in plan(seen, NOW).starts)
    assert all(count <= counts[job_id] for job_id, count in started.items())


@given(snapshots())
def test_the_first_job_in_order_starts_if_it_fits(seen):
    waiting = [(job, queue.shape) for queue in seen.queues for job in queue.jobs if job.count]
    if not waiting:
        return
    job, wanted = min(waiting, key=lambda each: each[0].order)
    fits = place(wanted, seen.free) is not None
    starts = plan(seen, NOW).starts
    assert fits == bool(starts and starts[0].job_id == job.job_id)


@given(snapshots(), st.integers(0, 3))
def test_every_job_that_waits_has_a_reason(seen, depth):
    decided = plan(seen, NOW, depth=depth)
    started = Counter(start.job_id for start in decided.starts)
    for queue in seen.queues:
        for job in queue.jobs:
            if started[job.job_id] < job.count:
                assert decided.reason(queue.shape, job.job_id) is not Reason.NONE
            elif job.count == 0:
                reason = decided.reason(queue.shape, job.job_id, is_at_limit=True)
                assert reason is Reason.JOB_ARRAY_TASK_LIMIT


@given(snapshots(), st.integers(0, 3))
def test_the_head_of_the_queue_is_never_delayed_by_who_passes_it(seen, depth):
    decided = plan(seen, NOW, depth=depth)
    heads = {
        job_id: next(
            (queue.shape, job)
            for queue in seen.queues
            for job in queue.jobs
            if job.job_id == job_id
        )
        for job_id in decided.heads.values()
    }
    for wanted, head in heads.values():
        earlier = [start for start in decided.starts if _order(seen, start.job_id) <= head.order]
        before = _shadow_time(seen, earlier, wanted)
        assert before is not None
        assert _shadow_time(seen, decided.starts, wanted) <= before


def _order(seen, job_id):
    return next(job.order for queue in seen.queues for job in queue.jobs if job.job_id == job_id)


def _shadow_time(seen, starts, wanted):
    began = [
        Running(start.job_id, start.shares, NOW + start.shape.time_limit_s) for start in starts
    ]
    running = sorted([*seen.running, *began], key=lambda job: job.ends_at)
    free = [level_of(node) for node in after(seen.free, all_shares(starts))]
    found = shadow(wanted, running, free, NOW)
    return None if found is None else found.at


@given(snapshots())
def test_plans_carried_out_until_all_has_ended_start_every_job_that_can_ever_start(seen):
    """With limits, no job waits for ever: each turn something ends or starts."""
    limited = [
        (_with_limit(queue.shape), job) for queue in seen.queues for job in queue.jobs if job.count
    ]
    running = [Running(job.job_id, job.shares, min(job.ends_at, NOW + 99)) for job in seen.running]
    now = NOW
    free = list(seen.free)
    left = {job.job_id: job.count for _, job in limited}
    for _ in range(200):
        queued = [
            (each, Waiting(job.job_id, job.order, left[job.job_id]))
            for each, job in limited
            if left[job.job_id]
        ]
        decided = plan(Snapshot(queue_of(queued), running, free), now)
        for start in decided.starts:
            left[start.job_id] -= 1
            free = after(free, start.shares)
            running.append(Running(start.job_id, start.shares, now + start.shape.time_limit_s))
        if not running:
            break
        now = max(now, min(job.ends_at for job in running))
        running = [job for job in running if job.ends_at > now]
        free = after(_all_free(seen), [share for job in running for share in job.shares])
    never = {job.job_id for each, job in limited if place(each, _all_free(seen)) is None}
    assert {job_id for job_id, count in left.items() if count} == never


def _with_limit(wanted):
    fields = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    return shape(**(fields | {"time_limit_s": min(wanted.time_limit_s, 60.0)}))


def _all_free(seen):
    accepts = [node.accepts for node in seen.free]
    return [
        FreeNode(*(getattr(node, field) for field in FreeNode.__struct_fields__[:-1]), accepts=each)
        for node, each in zip(idle_nodes(len(accepts)), accepts, strict=True)
    ]


@given(snapshots())
def test_a_forecast_agrees_with_the_plan_about_now(seen):
    starts = {start.job_id for start in plan(seen, NOW).starts}
    expected = forecast(seen, NOW)
    at_once = {job_id for job_id, at in expected.items() if at == NOW}
    overdue = any(job.ends_at <= NOW for job in seen.running)
    assert starts <= at_once if overdue else starts == at_once
    assert all(at >= NOW for at in expected.values())


@given(snapshots())
def test_a_forecast_need_not_look_at_who_waits_where_no_cpu_is_left(seen):
    found = forecast(seen, NOW)
    run = Pass.run
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pass, "run", lambda self, most, **_: run(self, most))
        assert found == forecast(seen, NOW)


# A plain EASY on one node, job by job, in numbers: slow and obvious.


class Need(NamedTuple):
    cpus: int
    memory: int
    gpus: int

    def fits(self, other):
        return all(mine <= theirs for mine, theirs in zip(self, other, strict=True))

    def plus(self, other):
        return Need(*(a + b for a, b in zip(self, other, strict=True)))

    def minus(self, other):
        return Need(*(a - b for a, b in zip(self, other, strict=True)))


def plain_easy(jobs, running, free):
    """Return which of *jobs*, (id, partition, need, limit) in order, start.

    *running* are (ends_at, need).
    """
    running, starts, heads = list(running), [], {}
    for job_id, partition, need, limit_s in jobs:
        ends_at = NOW + limit_s
        in_the_way = [name for name, (at, _) in heads.items() if ends_at > at or ends_at == FOREVER]
        if not need.fits(free):
            if partition not in heads:
                heads[partition] = reservation(need, running, free)
        elif all(need.fits(heads[name][1]) for name in in_the_way):
            starts.append(job_id)
            free = free.minus(need)
            running.append((ends_at, need))
            for name in in_the_way:
                at, extra = heads[name]
                heads[name] = at, extra.minus(need)
    return starts


def reservation(need, running, free):
    for at in sorted({ends_at for ends_at, _ in running}):
        then = free
        for ends_at, held in running:
            if ends_at <= at:
                then = then.plus(held)
        if need.fits(then):
            return max(at, NOW), then.minus(need)
    pytest.fail("a job that never fits was let in")


# Small ones mostly, so that several fit beside one another, and one that the machine must make
# room for comes first.
needs = st.builds(
    Need, st.integers(1, 3), st.sampled_from([0, 0, 10, 30]), st.sampled_from([0, 0, 0, 1])
)
heads = st.builds(Need, st.integers(3, CPUS), st.sampled_from([0, 20, MEMORY]), st.just(0))


@settings(max_examples=400)
@given(
    st.tuples(names, heads, limits),
    st.lists(st.tuples(names, needs, limits), min_size=1, max_size=8),
    st.lists(
        st.tuples(needs, st.sampled_from([-5.0, 10.0, 20.0, 30.0, FOREVER])),
        min_size=1,
        max_size=3,
    ),
)
def test_a_plan_starts_what_a_plain_easy_starts(head, others, busy):
    waiting = [head, *others]
    free = Need(CPUS, MEMORY, GPUS)
    running, held = [], []
    for number, (need, ends_in) in enumerate(busy, 1000):
        if need.fits(free):
            cpus = tuple(range(CPUS - free.cpus, CPUS - free.cpus + need.cpus))
            gpus = tuple(range(GPUS - free.gpus, GPUS - free.gpus + need.gpus))
            share = NodeShare("node1", cpus, need.memory, {"gpu": gpus})
            running.append(Running(number, (share,), NOW + ends_in))
            held.append((NOW + ends_in, need))
            free = free.minus(need)
    jobs = [(number, *each) for number, each in enumerate(waiting, 1)]
    queued = [
        (_shape_of(partition, need, limit_s), Waiting(job_id, (job_id,), 1))
        for job_id, partition, need, limit_s in jobs
    ]
    node = after(idle_nodes(1), [share for job in running for share in job.shares])
    decided = plan(Snapshot(queue_of(queued), running, node), NOW, depth=UNBOUNDED)
    assert [start.job_id for start in decided.starts] == plain_easy(jobs, held, free)


def _shape_of(partition, need, limit_s):
    return shape(
        partition=partition,
        tasks=need.cpus,
        memory_per_node_mib=need.memory or None,
        gres=(("gpu", need.gpus),) if need.gpus else (),
        time_limit_s=limit_s,
    )


@given(shapes(), snapshots())
def test_what_fits_into_less_fits_into_more(wanted, seen):
    """Reservations rest on it: who fits beside a job fits without it."""
    if spread(wanted, [level_of(node) for node in seen.free]) is None:
        return
    more = after(_all_free(seen), [share for job in seen.running[1:] for share in job.shares])
    assert spread(wanted, [level_of(node) for node in more]) is not None
