"""What a decision is made from: who waits, who runs, what is free. Plain data, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from stoker.core.models import FOREVER, NodeShare
from stoker.core.reservations import Reservation


class Shape(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """All that placement and limits need to know of a job; jobs of one shape are alike to them.

    Memory is per node or per CPU, never both; 0 per node is all that the node has. ``nodes`` are
    the nodes the job may use, None for all; those in ``required`` must be among the ones it gets,
    and ``nodes_min`` counts them. ``gres`` is per node, sorted. ``licenses`` are
    counted over all nodes. ``time_limit_s`` may be `FOREVER`.
    ``association`` and ``qos`` say under what it runs, where limits are enforced; ``owner`` whose
    it is, where many users are served; ``reservation`` in which it is to run.
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
    required: tuple[str, ...] = ()
    exclusive: bool = False
    time_limit_s: float = FOREVER
    licenses: tuple[tuple[str, int], ...] = ()
    association: int = 0
    qos: str = ""
    owner: int | None = None
    reservation: str = ""


class FreeNode(msgspec.Struct, frozen=True, gc=False):
    """What is free on a node; ``cpus`` and the indices in ``gres`` ascend."""

    name: str
    cpus: tuple[int, ...]
    total_cpus: int
    memory_mib: int
    total_memory_mib: int
    gres: Mapping[str, tuple[int, ...]]
    accepts: bool


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """An eligible job: the smaller ``order`` is considered first; ``count`` tasks may start.

    Orders are unique. An array at its limit has a ``count`` of 0.
    """

    job_id: int
    order: tuple[int, ...]
    count: int


class Queue(NamedTuple):
    """The eligible jobs of one shape, in order; there is at least one.

    ``jobs`` may make its entries only when they are looked at: nobody walks through all of them.
    """

    shape: Shape
    jobs: Sequence[Waiting]


class Running(msgspec.Struct, frozen=True, gc=False):
    """What a running job holds, and when it ends at the latest (epoch seconds, or `FOREVER`).

    ``exclusive``: it shares its nodes with nobody. ``reservation``: in which it runs.
    """

    job_id: int
    shares: tuple[NodeShare, ...]
    ends_at: float
    exclusive: bool = False
    reservation: str = ""


class Allowance(Protocol):
    """What limits of the account book leave; the real one is `scheduling.quotas.Quotas`."""

    def copy(self) -> Allowance:
        """Return the same, to be taken from by itself."""
        ...

    def refusal(self, shape: Shape) -> str:
        """Return why a job of the shape may not start now; "" if it may."""
        ...

    def start(self, shape: Shape, shares: Sequence[NodeShare]) -> None:
        """Count what a job of the shape takes that starts on these shares."""
        ...


class Snapshot(msgspec.Struct, frozen=True):
    """The state of the machine; ``queues`` are sorted by the order of their first job.

    ``quotas`` are what limits of the account book leave, None where none are enforced;
    ``reservations`` keep something for some, now or later.
    """

    queues: Sequence[Queue]
    running: Sequence[Running]
    free: Sequence[FreeNode]
    quotas: Allowance | None = None
    reservations: Sequence[Reservation] = ()

    def with_waiting(self, shape: Shape, job: Waiting) -> Snapshot:
        """Return the same with one more job, to ask what would become of it."""
        queues = sorted([*self.queues, Queue(shape, (job,))], key=lambda each: each.jobs[0].order)
        return self.with_queues(queues)

    def with_queues(self, queues: Sequence[Queue]) -> Snapshot:
        """Return the same with other queues."""
        return msgspec.structs.replace(self, queues=queues)
