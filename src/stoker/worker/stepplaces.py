"""Where the tasks of a step run: on which nodes, in which order, on which CPUs. Pure.

A step takes all CPUs of its nodes, or exactly those that its tasks ask for; unless it overlaps,
only such as no other step keeps, and so it is with memory, where an amount was asked for. Over
several nodes tasks are numbered in blocks, in turn (``cyclic``), or so many at a time
(``plane=N``).

Source: srun(1), ``--exact``, ``--overlap``, ``--distribution``; recorded: what nodes have no room
for stays with the first, and a plane does not look at CPUs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice

import msgspec

from stoker.core.errors import InvalidSpec
from stoker.core.models import NodeShare, Step
from stoker.worker.requests import StepRequest


class Places(msgspec.Struct, frozen=True):
    """What stands in a `Step` of the same names."""

    nodes: tuple[str, ...]
    tasks_per_node: tuple[int, ...]
    cores: tuple[tuple[int, ...], ...]
    layout: tuple[int, ...] = ()


def place_tasks(
    shares: Sequence[NodeShare], request: StepRequest, others: Iterable[Step]
) -> Places | None:
    """Return where a step runs in an allocation; None if what it needs is busy with *others*.

    Raises:
        InvalidSpec: It can never fit.
    """
    _check_size(shares, request)
    usable = [
        share for share in shares if not request.node_names or share.node in request.node_names
    ]
    others = [step for step in others if not step.overlaps]
    kept = _kept(usable, others)
    room = {share.node: len(share.cpus) for share in usable}
    if not request.overlap:
        room = {node: _left(cpus, len(kept[node]), request) for node, cpus in room.items()}
        room |= dict.fromkeys(_without_memory(usable, others, request), 0)
    room = {node: cpus // request.cpus_per_task for node, cpus in room.items()}
    if not request.overlap:
        room = {node: tasks for node, tasks in room.items() if tasks}
        if len(room) < (request.nodes or 1) or sum(room.values()) < request.ntasks:
            return None
    per_node, layout = _spread(room, request)
    held = {share.node: share.cpus for share in usable}
    return Places(
        nodes=tuple(per_node),
        tasks_per_node=tuple(per_node.values()),
        cores=tuple(
            _cores(held[node], kept[node], tasks, request) for node, tasks in per_node.items()
        ),
        layout=layout,
    )


def _check_size(shares: Sequence[NodeShare], request: StepRequest) -> None:
    wanted = request.ntasks * request.cpus_per_task
    if wanted > sum(len(share.cpus) for share in shares) and not request.overlap:
        raise InvalidSpec(
            "More processors requested than permitted", "ESLURM_TOO_MANY_REQUESTED_CPUS"
        )
    if request.nodes is not None and request.nodes > len(shares):
        raise InvalidSpec(
            f"Only allocated {len(shares)} nodes asked for {request.nodes}",
            "ESLURM_INVALID_NODE_COUNT",
        )


def _kept(shares: Sequence[NodeShare], others: Iterable[Step]) -> Mapping[str, set[int]]:
    """Return the CPUs of each node that other steps keep from this one."""
    kept: dict[str, set[int]] = {share.node: set() for share in shares}
    for step in others:
        for node in kept.keys() & set(step.nodes):
            kept[node].update(step.cores_on(node))
    return kept


def _without_memory(
    shares: Sequence[NodeShare], others: Iterable[Step], request: StepRequest
) -> Iterator[str]:
    """Yield the nodes of whose memory other steps keep too much; an amount of 0 says nothing."""
    kept: Counter[str] = Counter()
    for step in others:
        kept.update(dict.fromkeys(step.nodes, step.memory_mib))
    for share in shares:
        if share.memory_mib and request.memory_mib > share.memory_mib - kept[share.node]:
            yield share.node


def _left(cpus: int, kept: int, request: StepRequest) -> int:
    """Return the CPUs of a node that are left: a step that wants all of them gets all or none."""
    return cpus - kept if request.exact or not kept else 0


def _spread(
    room: Mapping[str, int], request: StepRequest
) -> tuple[Mapping[str, int], tuple[int, ...]]:
    """Return the number of tasks by node, and the layout if they are not numbered in blocks."""
    count = max(1, min(request.nodes or len(room), request.ntasks))
    nodes = tuple(islice(room, count))
    if request.plane:
        layout = tuple(
            islice((at for at in cycle(range(count)) for _ in range(request.plane)), request.ntasks)
        )
        return {node: layout.count(at) for at, node in enumerate(nodes)}, layout
    per_node = dict.fromkeys(nodes, 1)
    left = request.ntasks - len(per_node)
    for node in per_node:
        more = min(left, max(0, room[node] - 1))
        per_node[node] += more
        left -= more
    per_node[nodes[0]] += left
    return per_node, _in_turn(list(per_node.values())) if request.cyclic and count > 1 else ()


def _in_turn(counts: list[int]) -> tuple[int, ...]:
    """Return tasks dealt out one by one, as long as their nodes take more."""
    turns = (at for turn in range(max(counts)) for at, count in enumerate(counts) if turn < count)
    return tuple(turns)


def _cores(
    held: tuple[int, ...], kept: set[int], tasks: int, request: StepRequest
) -> tuple[int, ...]:
    """Return the CPUs of a node that the step's tasks use: the free ones first, if some will do."""
    if not request.exact:
        return held
    by_freedom = sorted(held, key=lambda core: core in kept)
    return tuple(sorted(by_freedom[: tasks * request.cpus_per_task]))
