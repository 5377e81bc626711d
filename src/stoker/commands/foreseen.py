"""On how many nodes a waiting job will probably run: what Slurm shows until it runs. Pure.

Slurm tries the job on its nodes as if they were empty. It then lets tasks of several CPUs count on
a node for each of them, and what fits nowhere is reckoned by the CPUs of the largest node.

Source: scontrol(1) "NumNodes", and the recorded behaviour of select/cons_tres.
"""

from __future__ import annotations

from stoker.scheduling.snapshot import Shape


def nodes_foreseen(shape: Shape, nodes: int, cpus_max: int) -> int:
    """Return the nodes of a job that waits, of which there are *nodes* with at most *cpus_max*."""
    return max(shape.nodes_min, _nodes_of_tasks(shape, nodes, cpus_max))


def _nodes_of_tasks(shape: Shape, nodes: int, cpus_max: int) -> int:
    if shape.tasks_per_node is not None:
        return -(-shape.tasks // shape.tasks_per_node)
    if shape.cpus_per_task == 1:
        return -(-shape.tasks // cpus_max)
    if max(shape.cpus_per_task, -(-shape.tasks * shape.cpus_per_task // nodes)) <= cpus_max:
        return min(shape.tasks, nodes)
    return shape.tasks // max(1, cpus_max // shape.cpus_per_task)
