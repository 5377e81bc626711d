"""Machines, shapes and jobs in few words, for tests of what decides about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from stoker.core.machine import Machine
from stoker.core.models import FOREVER, Job, JobSpec, Node, NodeShare, Owner, Partition
from stoker.scheduling.snapshot import FreeNode, Queue, Running, Shape, Snapshot, Waiting

ALICE = Owner(2001, "alice", 2001, "alice")


def shape(**changes: Any) -> Shape:
    """Return the shape of a job of one task on one CPU of one node, but for *changes*."""
    given: dict[str, Any] = {
        "partition": "debug",
        "priority_tier": 1,
        "nodes_min": 1,
        "nodes_max": 1,
        "tasks": 1,
        "tasks_per_node": None,
        "cpus_per_task": 1,
        "min_cpus_per_node": 1,
        "memory_per_node_mib": None,
        "memory_per_cpu_mib": None,
    }
    return Shape(**(given | changes))


def free_node(
    cpus: int | Sequence[int] = 8,
    *,
    name: str = "node1",
    total: int = 8,
    memory_mib: int = 16_000,
    total_memory_mib: int = 16_000,
    gres: Mapping[str, Sequence[int]] | None = None,
    accepts: bool = True,
) -> FreeNode:
    """Return a node of which these cores, or so many of the lowest, are free."""
    cores = tuple(range(cpus)) if isinstance(cpus, int) else tuple(cpus)
    devices = {key: tuple(value) for key, value in (gres or {}).items()}
    return FreeNode(name, cores, total, memory_mib, total_memory_mib, devices, accepts)


def running(
    job_id: int,
    cores: Iterable[int],
    ends_at: float = FOREVER,
    *,
    node: str = "node1",
    memory_mib: int = 0,
    exclusive: bool = False,
) -> Running:
    """Return a job that runs on these cores of one node."""
    share = NodeShare(node, tuple(cores), memory_mib)
    return Running(job_id, (share,), ends_at, exclusive)


def queue_of(queued: Iterable[tuple[Shape, Waiting]]) -> list[Queue]:
    """Return the queues, one for each shape, that such jobs stand in."""
    found: dict[Shape, list[Waiting]] = {}
    for wanted, waiting in sorted(queued, key=lambda each: each[1].order):
        found.setdefault(wanted, []).append(waiting)
    return [Queue(wanted, jobs) for wanted, jobs in found.items()]


def snapshot(
    shapes: Iterable[Shape],
    *,
    free: Sequence[FreeNode] | None = None,
    busy: Iterable[Running] = (),
) -> Snapshot:
    """Return a machine on which jobs 1, 2, 3, ... of these shapes wait, in that order."""
    jobs = [(each, Waiting(number, (0, number), 1)) for number, each in enumerate(shapes, 1)]
    return Snapshot(queue_of(jobs), list(busy), free if free is not None else [free_node()])


def machine(*nodes: Node, partitions: Sequence[Partition] = ()) -> Machine:
    """Return the recorded cluster: two nodes of 8 CPUs and 16000 MiB, unless said otherwise."""
    nodes = nodes or (Node("node1", 0, 8, 16_000), Node("node2", 1, 8, 16_000))
    names = tuple(node.name for node in nodes)
    partitions = partitions or (Partition(name="debug", nodes=names, is_default=True),)
    return Machine(nodes, tuple(partitions), 1000, None, binds_cores=True)


def waiting_job(job_id: int = 1, *, spec: Mapping[str, Any] | None = None, **changes: Any) -> Job:
    """Return a job of alice's that waits in the partition debug."""
    given: dict[str, Any] = {
        "job_id": job_id,
        "spec": JobSpec(**({"name": "work"} | dict(spec or {}))),
        "owner": ALICE,
        "submit_at": 1000.0,
        "partition": "debug",
        "priority": 10_000 - job_id,
    }
    return Job(**(given | changes))
