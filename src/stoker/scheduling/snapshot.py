"""What a decision is made from: who waits, who runs, what is free. Plain data, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from stoker.core.models import FOREVER, NodeShare


class Shape(msgspec.Struct, frozen=True, gc=False):
    """All that placement and limits need to know of a job; jobs of one shape are alike to them.

    Memory is per node or per CPU, never both. ``nodes`` are the nodes the job may use, None for
    all. ``gres`` is per node, sorted. ``time_limit_s`` may be `FOREVER`.
    """

    partition: str
    priority_tier: int
    nodes_min: int
    nodes_max: int
    tasks: int
    tasks_per_node: int | None
    cpus_per_task: int
    min_cpus_per_node: int
    memory_per_node_mib: int | None
    memory_per_cpu_mib: int | None
    gres: tuple[tuple[str, int], ...] = ()
    nodes: tuple[str, ...] | None = None
    exclusive: bool = False
    time_limit_s: float = FOREVER


class FreeNode(msgspec.Struct, frozen=True, gc=False):
    """What is free on a node; ``cpus`` and the indices in ``gres`` ascend."""

    name: str
    cpus: tuple[int, ...]
    total_cpus: int
    memory_mib: int
    total_memory_mib: int
    gres: Mapping[str, tuple[int, ...]]
    accepts: bool


class Waiting(NamedTuple):
    """An eligible job: the smaller ``order`` is considered first; ``count`` tasks may start."""

    job_id: int
    order: tuple[int, ...]
    count: int


class Running(msgspec.Struct, frozen=True, gc=False):
    """What a running job holds, and when it ends at the latest (epoch seconds, or `FOREVER`)."""

    job_id: int
    shares: tuple[NodeShare, ...]
    ends_at: float


class Snapshot(msgspec.Struct, frozen=True):
    """The state of the queue: for each shape its eligible jobs in order, none of them empty."""

    queues: Mapping[Shape, Sequence[Waiting]]
    running: Sequence[Running]
    free: Sequence[FreeNode]
