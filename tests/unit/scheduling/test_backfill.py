"""EASY: when the head can start, and what may pass it."""

from __future__ import annotations

from stoker.core.models import FOREVER
from stoker.scheduling.backfill import shadow
from stoker.scheduling.placement import level_of
from stoker.scheduling.plan import plan
from support.machines import free_node, running, shape, snapshot

NOW = 1000.0


def levels(*nodes):
    return [level_of(node) for node in nodes]


def started(seen):
    return [start.job_id for start in plan(seen, NOW).starts]


def test_the_shadow_time_is_the_first_end_at_which_the_head_fits():
    busy = [running(1, [0, 1], 1100.0), running(2, [2, 3], 1200.0), running(3, [4, 5], 1300.0)]
    found = shadow(shape(tasks=5), busy, levels(free_node([6, 7])), NOW)
    assert found is not None
    assert found.at == 1200.0
    assert found.extra[0].cpus == 1


def test_all_that_end_at_the_same_time_count_together():
    busy = [running(1, [0, 1], 1100.0), running(2, [2, 3], 1100.0)]
    found = shadow(shape(tasks=2), busy, levels(free_node(0)), NOW)
    assert found is not None
    assert (found.at, found.extra[0].cpus) == (1100.0, 2)


def test_a_job_past_its_limit_is_believed_to_end_now():
    found = shadow(shape(), [running(1, [0], 900.0)], levels(free_node(0)), NOW)
    assert found is not None
    assert found.at == NOW


def test_a_head_behind_jobs_without_a_limit_starts_at_no_time_that_could_be_named():
    found = shadow(shape(tasks=8), [running(1, [0])], levels(free_node(range(1, 8))), NOW)
    assert found is not None
    assert found.at == FOREVER


def test_a_head_that_never_fits_has_no_shadow():
    assert shadow(shape(tasks=9), [running(1, [0])], levels(free_node(range(1, 8))), NOW) is None


def test_looking_ahead_leaves_what_is_free_alone():
    free = levels(free_node(2))
    shadow(shape(tasks=8), [running(1, range(2, 8), 1100.0)], free, NOW)
    assert free == levels(free_node(2))


HALF_BUSY = {"free": [free_node([4, 5, 6, 7])], "busy": [running(90, range(4), NOW + 100)]}


def test_a_job_that_ends_before_the_head_can_start_passes_it():
    head, short = shape(tasks=8), shape(tasks=4, time_limit_s=100)
    assert started(snapshot([head, short], **HALF_BUSY)) == [2]


def test_a_job_that_would_outlast_the_shadow_time_does_not_pass():
    head, long = shape(tasks=8), shape(tasks=4, time_limit_s=101)
    assert started(snapshot([head, long], **HALF_BUSY)) == []


def test_a_job_that_uses_only_what_the_head_leaves_passes_however_long_it_runs():
    head, endless = shape(tasks=6), shape(tasks=2)
    assert started(snapshot([head, endless], **HALF_BUSY)) == [2]


def test_what_the_head_leaves_is_given_out_once():
    head, endless = shape(tasks=6), shape(tasks=2)
    assert started(snapshot([head, endless, endless], **HALF_BUSY)) == [2]


def test_jobs_that_end_in_time_do_not_use_up_what_the_head_leaves():
    head, short, endless = shape(tasks=6), shape(tasks=2, time_limit_s=50), shape(tasks=2)
    assert started(snapshot([head, short, endless], **HALF_BUSY)) == [2, 3]


def test_the_extra_is_counted_in_memory_too():
    head = shape(tasks=6, memory_per_cpu_mib=2500)
    hungry, modest = shape(memory_per_node_mib=1001), shape(memory_per_node_mib=1000)
    assert started(snapshot([head, hungry, modest], **HALF_BUSY)) == [3]


def test_jobs_without_a_limit_never_starve_a_head_that_waits_for_one_without_a_limit():
    seen = snapshot(
        [shape(tasks=8), shape(), shape(time_limit_s=60)],
        free=[free_node([4, 5, 6, 7])],
        busy=[running(90, range(4))],
    )
    assert started(seen) == [3]


def test_on_another_node_nobody_is_in_the_heads_way():
    seen = snapshot(
        [shape(tasks=8, nodes=("node1",)), shape(tasks=8)],
        free=[free_node(range(1, 8)), free_node(name="node2")],
        busy=[running(90, [0], NOW + 100)],
    )
    assert started(seen) == [2]


def test_the_head_of_each_partition_is_kept_from_starving():
    seen = snapshot(
        [
            shape(partition="one", tasks=8, nodes=("node1",)),
            shape(partition="two", tasks=8, nodes=("node2",)),
            shape(partition="two", nodes=("node2",)),
            shape(partition="two", nodes=("node2",), time_limit_s=100),
        ],
        free=[free_node(range(1, 8)), free_node(range(1, 8), name="node2")],
        busy=[running(90, [0], NOW + 500), running(91, [0], NOW + 100, node="node2")],
    )
    assert started(seen) == [4]
