"""On how many nodes a waiting job is said to run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.foreseen import nodes_foreseen
from stoker.scheduling.snapshot import Shape


def shape(
    tasks: int = 1, cpus_per_task: int = 1, tasks_per_node: int | None = None, nodes_min: int = 1
) -> Shape:
    return Shape(
        partition="debug",
        priority_tier=1,
        nodes_min=nodes_min,
        nodes_max=9,
        tasks=tasks,
        tasks_per_node=tasks_per_node,
        cpus_per_task=cpus_per_task,
        min_cpus_per_node=1,
        memory_per_node_mib=None,
        memory_per_cpu_mib=None,
    )


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (shape(tasks=8), 1),
        (shape(tasks=17), 3),
        (shape(tasks=999), 125),
        (shape(tasks=3, cpus_per_task=2), 2),
        (shape(tasks=2, cpus_per_task=2), 2),
        (shape(tasks=1, cpus_per_task=99), 1),
        (shape(tasks=6, tasks_per_node=3), 2),
        (shape(tasks=7, tasks_per_node=3), 3),
        (shape(nodes_min=2), 2),
    ],
)
def test_two_nodes_of_eight_cpus_are_counted_as_recorded(wanted: Shape, count: int) -> None:
    assert nodes_foreseen(wanted, 2, 8) == count


@given(
    st.integers(1, 10_000), st.integers(1, 500), st.integers(1, 64), st.integers(1, 9),
    st.integers(1, 256),
)  # fmt: skip
def test_there_is_always_a_node_and_never_fewer_than_asked_for(
    tasks: int, cpus_per_task: int, nodes_min: int, nodes: int, cpus_max: int
) -> None:
    wanted = shape(tasks=tasks, cpus_per_task=cpus_per_task, nodes_min=nodes_min)
    assert nodes_foreseen(wanted, nodes, cpus_max) >= nodes_min
