"""Which cores, memory and devices on which nodes; the recorded spreads of tasks."""

from __future__ import annotations

import pytest

from stoker.core.models import NodeShare
from stoker.scheduling.placement import (
    Room,
    could_ever_fit,
    could_host_task,
    place,
    tasks_on,
)
from support.machines import free_node, shape

TWO_NODES = [free_node(name="node1"), free_node(name="node2")]


def cores(shares):
    assert shares is not None
    return {share.node: share.cpus for share in shares}


def test_one_task_gets_the_lowest_core_and_its_memory():
    wanted = shape(memory_per_cpu_mib=1000)
    assert place(wanted, [free_node([2, 3, 5])]) == (NodeShare("node1", (2,), 1000),)


@pytest.mark.parametrize(
    ("wanted", "cpus", "tasks"),
    [
        (shape(tasks=4, nodes_max=2), (4,), (4,)),
        (shape(tasks=2, cpus_per_task=2, nodes_max=2), (4,), (2,)),
        (shape(nodes_min=2, nodes_max=2, tasks=2), (1, 1), (1, 1)),
        (shape(nodes_min=2, nodes_max=2, tasks=3), (2, 1), (2, 1)),
        (shape(nodes_min=2, nodes_max=2, tasks=4), (3, 1), (3, 1)),
        (shape(nodes_min=2, nodes_max=2, tasks=3, cpus_per_task=2), (4, 2), (2, 1)),
        (shape(nodes_min=2, nodes_max=2, tasks=4, tasks_per_node=2), (2, 2), (2, 2)),
        (shape(tasks=12, nodes_max=2), (8, 4), (8, 4)),
        (shape(tasks=16, nodes_max=2), (8, 8), (8, 8)),
    ],
    ids=["n4", "n2c2", "N2", "N2n3", "N2n4", "N2n3c2", "N2-per-node-2", "n12", "n16"],
)
def test_tasks_spread_over_nodes_as_recorded(wanted, cpus, tasks):
    shares = place(wanted, TWO_NODES)
    assert shares is not None
    assert tuple(len(share.cpus) for share in shares) == cpus
    assert tasks_on(wanted, shares) == tasks


def test_more_tasks_than_the_nodes_have_wait():
    assert place(shape(tasks=17, nodes_max=2), TWO_NODES) is None


def test_more_nodes_than_there_are_wait():
    assert place(shape(nodes_min=3, nodes_max=3, tasks=3), TWO_NODES) is None


def test_a_job_for_one_node_does_not_spill_over():
    half = [free_node(4, name="node1"), free_node(4, name="node2")]
    assert place(shape(tasks=5, nodes_max=1), half) is None
    assert cores(place(shape(tasks=5, nodes_max=2), half)) == {
        "node1": (0, 1, 2, 3),
        "node2": (0,),
    }


def test_the_node_that_is_filled_best_is_taken_so_that_large_holes_stay():
    nodes = [free_node(8, name="node1"), free_node(3, name="node2"), free_node(2, name="node3")]
    assert cores(place(shape(tasks=3), nodes)) == {"node2": (0, 1, 2)}
    assert cores(place(shape(tasks=1), nodes)) == {"node3": (0,)}


def test_as_few_nodes_as_can_be():
    nodes = [free_node(2, name="node1"), free_node(8, name="node2"), free_node(6, name="node3")]
    assert set(cores(place(shape(tasks=14, nodes_max=3), nodes))) == {"node2", "node3"}


def test_the_last_node_is_the_smallest_that_is_enough():
    nodes = [free_node(8, name="node1"), free_node(8, name="node2"), free_node(2, name="node3")]
    assert set(cores(place(shape(tasks=10, nodes_max=3), nodes))) == {"node1", "node3"}


def test_the_shortest_run_of_neighbours_that_is_long_enough():
    free = [free_node([0, 2, 3, 5, 6, 7])]
    assert cores(place(shape(tasks=2), free)) == {"node1": (2, 3)}
    assert cores(place(shape(tasks=3), free)) == {"node1": (5, 6, 7)}


def test_few_pieces_where_no_run_is_long_enough():
    assert cores(place(shape(tasks=4), [free_node([0, 2, 3, 5, 6])])) == {"node1": (2, 3, 5, 6)}


def test_memory_per_node_and_per_cpu():
    node = [free_node(memory_mib=3000)]
    assert place(shape(memory_per_node_mib=3000), node) == (NodeShare("node1", (0,), 3000),)
    assert place(shape(memory_per_node_mib=3001), node) is None
    assert place(shape(tasks=3, memory_per_cpu_mib=1000), node) is not None
    assert place(shape(tasks=4, memory_per_cpu_mib=1000), node) is None


def test_memory_zero_is_all_of_the_node_and_waits_until_all_of_it_is_free():
    assert place(shape(memory_per_node_mib=0), [free_node()]) == (NodeShare("node1", (0,), 16000),)
    assert place(shape(memory_per_node_mib=0), [free_node(memory_mib=15_999)]) is None


def test_an_exclusive_job_gets_all_cpus_and_devices_but_the_memory_that_goes_with_them():
    node = free_node(gres={"gpu": (0, 1)})
    assert place(shape(exclusive=True, memory_per_cpu_mib=1000), [node]) == (
        NodeShare("node1", tuple(range(8)), 8000, {"gpu": (0, 1)}),
    )


def test_an_exclusive_job_never_asks_for_more_memory_than_the_node_has():
    shares = place(shape(exclusive=True, memory_per_cpu_mib=3000), [free_node()])
    assert shares is not None
    assert shares[0].memory_mib == 16_000


def test_an_exclusive_job_shares_its_node_with_nobody():
    assert place(shape(exclusive=True), [free_node(range(1, 8))]) is None


def test_an_exclusive_job_of_two_nodes_runs_as_many_tasks_as_it_wanted():
    wanted = shape(exclusive=True, nodes_min=2, nodes_max=2, tasks=2)
    shares = place(wanted, TWO_NODES)
    assert shares is not None
    assert [len(share.cpus) for share in shares] == [8, 8]
    assert tasks_on(wanted, shares) == (1, 1)


def test_devices_are_taken_from_the_lowest_index_on_each_node():
    nodes = [free_node(name=name, gres={"gpu": (1, 2, 5)}) for name in ("node1", "node2")]
    wanted = shape(gres=(("gpu", 2),), nodes_min=2, nodes_max=2, tasks=2)
    shares = place(wanted, nodes)
    assert shares is not None
    assert [share.gres for share in shares] == [{"gpu": (1, 2)}] * 2
    assert place(shape(gres=(("gpu", 4),)), nodes) is None
    assert place(shape(gres=(("fpga", 1),)), nodes) is None


def test_a_job_without_devices_gets_none_of_a_node_that_has_some():
    shares = place(shape(), [free_node(gres={"gpu": (0, 1)})])
    assert shares == (NodeShare("node1", (0,), 0, {}),)


def test_more_cpus_on_a_node_than_its_tasks_need():
    shares = place(shape(min_cpus_per_node=4, memory_per_cpu_mib=1000), [free_node()])
    assert shares == (NodeShare("node1", (0, 1, 2, 3), 4000),)
    assert place(shape(min_cpus_per_node=4), [free_node(3)]) is None


def test_nodes_that_are_not_allowed_or_take_nothing_are_passed_over():
    drained = [free_node(name="node1", accepts=False), free_node(name="node2")]
    assert set(cores(place(shape(), drained))) == {"node2"}
    assert set(cores(place(shape(nodes=("node2",)), TWO_NODES))) == {"node2"}
    assert place(shape(nodes=("node1",)), drained) is None
    assert place(shape(nodes=()), TWO_NODES) is None


def test_a_required_node_is_among_those_it_gets_and_others_come_to_it():
    alone = shape(required=("node2",), nodes_max=2)
    assert set(cores(place(alone, TWO_NODES))) == {"node2"}
    both = shape(required=("node2",), nodes_min=2, nodes_max=2, tasks=2)
    assert set(cores(place(both, TWO_NODES))) == {"node1", "node2"}
    busy = [free_node(name="node1"), free_node(0, name="node2")]
    assert place(alone, busy) is None
    assert place(both, busy) is None


def test_what_does_not_fit_the_required_node_alone_spills_over():
    wanted = shape(required=("node2",), tasks=9, nodes_max=2)
    assert cores(place(wanted, TWO_NODES)) == {"node1": tuple(range(8)), "node2": (0,)}


def test_could_ever_fit_looks_past_drained_nodes():
    drained = [free_node(name="node1", accepts=False), free_node(name="node2", accepts=False)]
    assert could_ever_fit(shape(tasks=16, nodes_max=2), drained)
    assert not could_ever_fit(shape(tasks=17, nodes_max=2), drained)
    assert not could_ever_fit(shape(nodes_min=3, nodes_max=3, tasks=3), drained)


def test_a_node_could_host_a_task_whatever_the_total():
    node = free_node(accepts=False)
    assert could_host_task(shape(tasks=17, nodes_max=2), node)
    assert not could_host_task(shape(tasks=9, nodes_max=1), node)
    assert not could_host_task(shape(cpus_per_task=9, nodes_max=2), node)
    assert not could_host_task(shape(memory_per_node_mib=16_001), node)
    assert not could_host_task(shape(tasks=9, tasks_per_node=9, nodes_max=1), node)


def test_a_room_that_gets_everything_back_is_as_it_was():
    free = [free_node([0, 1, 4, 5, 7], gres={"gpu": (0, 1)})]
    room = Room(free)
    shares = room.place(shape(tasks=3, gres=(("gpu", 1),), memory_per_cpu_mib=100))
    assert shares is not None
    room.take(shares)
    assert room.place(shape(tasks=3)) is None
    room.give(shares)
    assert room.place(shape(tasks=5)) == place(shape(tasks=5), free)
    assert room.levels[0].memory_mib == 16_000
    assert room.levels[0].gres == {"gpu": 2}
