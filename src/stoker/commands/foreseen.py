"""On how many nodes a waiting job will run: what Slurm shows until it runs. Pure.

Slurm tries a job on its nodes as if they were empty. One that is held has not been tried, and what
fits nowhere cannot be: for these it reckons by the CPUs of the largest node, and counts a node more
for tasks of several CPUs that do not fill theirs.

Source: scontrol(1) "NumNodes"; the figures as select/cons_tres of Slurm 22.05 gave them.
"""

from __future__ import annotations

from typing import NamedTuple

from stoker.scheduling.snapshot import Shape


class Room(NamedTuple):
    """What there is for a job: so many nodes, and the most that one of them has."""

    nodes: int
    cpus: int
    memory_mib: int


def nodes_foreseen(shape: Shape, room: Room, *, tasks: int, is_tried: bool = True) -> int:
    """Return the nodes of a job that waits.

    Args:
        shape: What it asks for.
        room: What there is for it.
        tasks: For how many tasks it asks; 0 if it says nothing of them.
        is_tried: Whether it is not held.
    """
    on_a_node = _tasks_on_a_node(shape, room)
    needed = max(shape.nodes_min, -(-shape.tasks // on_a_node)) if on_a_node else 0
    fits = 0 < needed <= room.nodes
    return needed if is_tried and fits else _reckoned(shape, tasks, room.cpus)


def _tasks_on_a_node(shape: Shape, room: Room) -> int:
    cpus = room.cpus
    if shape.memory_per_cpu_mib:
        cpus = min(cpus, room.memory_mib // shape.memory_per_cpu_mib)
    fitting = cpus // shape.cpus_per_task
    return fitting if shape.tasks_per_node is None else min(fitting, shape.tasks_per_node)


def _reckoned(shape: Shape, tasks: int, cpus_max: int) -> int:
    if shape.tasks_per_node is not None:
        return max(shape.nodes_min, tasks // shape.tasks_per_node)
    if shape.cpus_per_task == 1:
        return max(shape.nodes_min, -(-tasks // cpus_max))
    full, left = divmod(tasks, max(1, cpus_max // shape.cpus_per_task))
    return max(shape.nodes_min, full) + bool(left)
