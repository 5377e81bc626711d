"""On how many nodes a waiting job is said to run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.commands.foreseen import Room, nodes_foreseen
from stoker.scheduling.snapshot import Shape

ROOM = Room(nodes=2, cpus=8, memory_mib=16_000)


def shape(
    tasks: int = 1,
    cpus_per_task: int = 1,
    *,
    tasks_per_node: int | None = None,
    nodes_min: int = 1,
    memory_per_cpu_mib: int | None = None,
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
        memory_per_cpu_mib=memory_per_cpu_mib,
    )


@pytest.mark.parametrize(
    ("cpus_per_task", "counts"),
    [
        (1, [1, 1, 1, 1, 1, 1, 1, 1]),
        (2, [2, 2, 2, 1, 2, 2, 2, 2]),
        (3, [2, 1, 2, 2, 3]),
        (4, [2, 1, 2, 2]),
        (5, [1, 2, 3]),
        (8, [1, 2]),
    ],
)
def test_a_held_job_shows_what_slurm_showed_of_two_nodes_with_eight_cpus(
    cpus_per_task: int, counts: list[int]
) -> None:
    found = [
        nodes_foreseen(shape(tasks, cpus_per_task), ROOM, tasks=tasks, is_tried=False)
        for tasks in range(1, len(counts) + 1)
    ]
    assert found == counts


@pytest.mark.parametrize(
    ("wanted", "tasks", "held", "tried"),
    [
        (shape(2, 2), 2, 2, 1),
        (shape(3, 2), 3, 2, 1),
        (shape(1, 4), 0, 1, 1),
        (shape(9), 9, 2, 2),
        (shape(17), 17, 3, 3),
        (shape(12, 2), 12, 3, 3),
        (shape(999), 999, 125, 125),
        (shape(1, 99), 1, 1, 1),
        (shape(6, tasks_per_node=3), 6, 2, 2),
        (shape(7, tasks_per_node=4), 7, 1, 2),
        (shape(2, tasks_per_node=3), 2, 1, 1),
        (shape(2, 2, nodes_min=2), 0, 2, 2),
        (shape(3, 2, nodes_min=3), 3, 4, 4),
        (shape(2, memory_per_cpu_mib=9000), 2, 1, 2),
        (shape(3, memory_per_cpu_mib=7000), 3, 1, 2),
        (shape(1, memory_per_cpu_mib=99_000), 1, 1, 1),
    ],
)
def test_what_was_tried_shows_what_it_needs(
    wanted: Shape, tasks: int, held: int, tried: int
) -> None:
    assert nodes_foreseen(wanted, ROOM, tasks=tasks, is_tried=False) == held
    assert nodes_foreseen(wanted, ROOM, tasks=tasks) == tried


@given(
    st.integers(1, 10_000), st.integers(1, 500), st.integers(1, 64), st.integers(1, 9),
    st.integers(1, 256), st.booleans(),
)  # fmt: skip
def test_there_is_always_a_node_and_never_fewer_than_asked_for(
    tasks: int, cpus_per_task: int, nodes_min: int, nodes: int, cpus_max: int, is_tried: bool
) -> None:
    wanted = shape(tasks, cpus_per_task, nodes_min=nodes_min)
    room = Room(nodes, cpus_max, 16_000)
    for said in (0, tasks):
        assert nodes_foreseen(wanted, room, tasks=said, is_tried=is_tried) >= nodes_min
