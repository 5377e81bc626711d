"""Which cores, memory and devices a job gets, on which nodes.

Two steps. `spread` decides in numbers how many tasks go to which node; it finds a way whenever
there is one. `Room` then picks the very cores and devices. Since the first step looks at numbers
alone, whatever would fit into the same numbers later (reservations, forecasts) asks it too.

A job gets as few nodes as it can, on one node the one that it fills best, so that large holes
stay; its tasks then fill the nodes in the machine's order, and each node gets at least one (-N2 -n4
is 3 and 1). An exclusive job gets all CPUs and devices of its nodes, but no more memory than it
asked for. Source: sbatch(1), and the recorded behaviour of select/cons_tres.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

import msgspec

from stoker.core.models import NodeShare
from stoker.scheduling.snapshot import FreeNode, Shape


class Level(msgspec.Struct, gc=False):
    """What is free on a node, in numbers."""

    name: str
    cpus: int
    total_cpus: int
    memory_mib: int
    total_memory_mib: int
    gres: dict[str, int]
    accepts: bool

    def copy(self) -> Level:
        """Return a level of its own that stands as this one does."""
        return Level(
            self.name,
            self.cpus,
            self.total_cpus,
            self.memory_mib,
            self.total_memory_mib,
            self.gres.copy() if self.gres else {},
            self.accepts,
        )

    def take(self, share: NodeShare) -> None:
        """Lower it by what a job takes."""
        self.cpus -= len(share.cpus)
        self.memory_mib -= share.memory_mib
        for name, indices in share.gres.items():
            self.gres[name] -= len(indices)

    def give(self, share: NodeShare) -> None:
        """Raise it by what a job gives back."""
        self.cpus += len(share.cpus)
        self.memory_mib += share.memory_mib
        for name, indices in share.gres.items():
            self.gres[name] += len(indices)

    def add(self, other: Level) -> None:
        """Raise it by what another one says."""
        self.cpus += other.cpus
        self.memory_mib += other.memory_mib
        for name, count in other.gres.items():
            self.gres[name] += count

    def clear(self) -> None:
        """Say that nothing is free."""
        self.cpus = self.memory_mib = 0
        self.gres = dict.fromkeys(self.gres, 0)

    def take_tasks(self, shape: Shape, tasks: int) -> None:
        """Lower it by what so many tasks of *shape* take."""
        cpus = cpus_for(shape, tasks, self)
        self.memory_mib -= memory_for(shape, cpus, self)
        self.cpus -= cpus
        for name, count in gres_for(shape, self):
            self.gres[name] -= count


def level_of(node: FreeNode) -> Level:
    """Return a node's numbers."""
    return Level(
        node.name,
        len(node.cpus),
        node.total_cpus,
        node.memory_mib,
        node.total_memory_mib,
        {name: len(free) for name, free in node.gres.items()},
        node.accepts,
    )


def cpus_for(shape: Shape, tasks: int, level: Level) -> int:
    """Return the CPUs that so many tasks get on a node."""
    if shape.exclusive:
        return level.total_cpus
    return max(tasks * shape.cpus_per_task, shape.min_cpus_per_node)


def memory_for(shape: Shape, cpus: int, level: Level) -> int:
    """Return the memory that goes with so many CPUs on a node, in MiB."""
    if shape.memory_per_node_mib is not None:
        return shape.memory_per_node_mib or level.total_memory_mib
    memory_mib = cpus * (shape.memory_per_cpu_mib or 0)
    return min(memory_mib, level.total_memory_mib) if shape.exclusive else memory_mib


def gres_for(shape: Shape, level: Level) -> Iterable[tuple[str, int]]:
    """Return the devices, by name, that a job gets on a node; what is free of them if exclusive."""
    return tuple(level.gres.items()) if shape.exclusive else shape.gres


def capacity(shape: Shape, level: Level) -> int:
    """Return how many tasks of *shape* fit on a node beside what runs there.

    Every number from one to this one fits; 0 if the node is not for such jobs.
    """
    if not level.accepts or (shape.nodes is not None and level.name not in shape.nodes):
        return 0
    for name, count in shape.gres:
        if level.gres.get(name, 0) < count:
            return 0
    cpus = _usable_cpus(shape, level)
    if cpus < shape.min_cpus_per_node:
        return 0
    tasks = cpus // shape.cpus_per_task
    return tasks if shape.tasks_per_node is None else min(tasks, shape.tasks_per_node)


def _usable_cpus(shape: Shape, level: Level) -> int:
    """Return the free CPUs for which there is memory as well."""
    if shape.exclusive:
        if level.cpus < level.total_cpus:
            return 0
    elif shape.memory_per_node_mib is None:
        per_cpu_mib = shape.memory_per_cpu_mib
        return min(level.cpus, level.memory_mib // per_cpu_mib) if per_cpu_mib else level.cpus
    return level.cpus if memory_for(shape, level.cpus, level) <= level.memory_mib else 0


def spread(shape: Shape, levels: Sequence[Level]) -> list[tuple[int, int]] | None:
    """Return (index into *levels*, number of tasks) for each node that the job gets, ascending.

    Returns:
        None if it does not fit.
    """
    tasks = max(shape.tasks, shape.nodes_min)
    if shape.nodes_min == 1:
        index = _tightest(shape, levels, tasks)
        if index is not None:
            return [(index, tasks)]
        if tasks == 1 or shape.nodes_max == 1 or len(levels) == 1:
            return None
    return _over_several(shape, levels, tasks)


def _tightest(shape: Shape, levels: Sequence[Level], tasks: int) -> int | None:
    """Return the node with the fewest free CPUs that takes all tasks."""
    found, cpus_least = None, 0
    for index, level in enumerate(levels):
        if (found is None or level.cpus < cpus_least) and capacity(shape, level) >= tasks:
            if shape.required and level.name not in shape.required:
                continue
            found, cpus_least = index, level.cpus
    return found


def _over_several(
    shape: Shape, levels: Sequence[Level], tasks: int
) -> list[tuple[int, int]] | None:
    capacities = {
        index: count for index, level in enumerate(levels) if (count := capacity(shape, level))
    }
    required = [index for index in capacities if levels[index].name in shape.required]
    if len(required) < len(shape.required):
        return None
    others = sorted(capacities.keys() - required, key=lambda index: (-capacities[index], index))
    left = tasks - sum(capacities[index] for index in required)
    more = max(shape.nodes_min - len(required), 0)
    while more < len(others) and sum(capacities[index] for index in others[:more]) < left:
        more += 1
    chosen = others[:more]
    if len(chosen) < more or sum(capacities[index] for index in chosen) < left:
        return None
    if len(required) + more > min(shape.nodes_max, tasks):
        return None
    if chosen:
        left -= sum(capacities[index] for index in chosen[:-1])
        enough = [index for index in others[more - 1 :] if capacities[index] >= left]
        chosen[-1] = min(enough, key=lambda index: (capacities[index], index))
    nodes = sorted([*required, *chosen])
    counts = _fill(tasks, [capacities[index] for index in nodes])
    return list(zip(nodes, counts, strict=True))


def _fill(tasks: int, capacities: Sequence[int]) -> list[int]:
    """Fill node after node, but leave a task for each that follows."""
    counts = []
    for following, count in zip(range(len(capacities) - 1, -1, -1), capacities, strict=True):
        counts.append(min(count, tasks - following))
        tasks -= counts[-1]
    return counts


class Room:
    """What is free on each node while decisions are made: numbers, and the very cores."""

    __slots__ = ("_cores", "_gres", "_index", "levels")

    def __init__(self, free: Sequence[FreeNode]) -> None:
        self.levels = [level_of(node) for node in free]
        self._cores = [list(node.cpus) for node in free]
        self._gres = [{name: list(indices) for name, indices in node.gres.items()} for node in free]
        self._index = {node.name: index for index, node in enumerate(free)}

    def place(
        self, shape: Shape, levels: Sequence[Level] | None = None
    ) -> tuple[NodeShare, ...] | None:
        """Return what a job of *shape* would get, or None if it does not fit.

        With *levels* it gets no more of a node than they say, though more may be free.
        """
        counts = spread(shape, levels if levels is not None else self.levels)
        if counts is None:
            return None
        return tuple([self._share(shape, index, tasks) for index, tasks in counts])

    def take(self, shares: Iterable[NodeShare]) -> None:
        """Note that these are no longer free; all of them are."""
        for share in shares:
            index = self._index[share.node]
            self.levels[index].take(share)
            _remove(self._cores[index], share.cpus)
            for name, indices in share.gres.items():
                _remove(self._gres[index][name], indices)

    def give(self, shares: Iterable[NodeShare]) -> None:
        """Note that these are free again."""
        for share in shares:
            index = self._index[share.node]
            self.levels[index].give(share)
            _add(self._cores[index], share.cpus)
            for name, indices in share.gres.items():
                _add(self._gres[index][name], indices)

    def _share(self, shape: Shape, index: int, tasks: int) -> NodeShare:
        level = self.levels[index]
        cpus = cpus_for(shape, tasks, level)
        cores = _pick(self._cores[index], cpus)
        memory_mib = memory_for(shape, cpus, level)
        if not level.gres:
            return NodeShare(level.name, cores, memory_mib)
        free = self._gres[index]
        gres = {name: tuple(free[name][:n]) for name, n in gres_for(shape, level) if n}
        return NodeShare(level.name, cores, memory_mib, gres)


def _pick(cores: Sequence[int], count: int) -> tuple[int, ...]:
    """Return *count* of the free cores: a run of neighbours if there is one, the shortest such."""
    if count == 1 or count == len(cores) or cores[-1] - cores[0] == len(cores) - 1:
        return tuple(cores[:count])
    runs = _runs(cores)
    enough = [run for run in runs if len(run) >= count]
    if enough:
        return tuple(min(enough, key=len)[:count])
    # The longest runs first: as few pieces as can be.
    runs.sort(key=len, reverse=True)
    return tuple(sorted([core for run in runs for core in run][:count]))


def _runs(cores: Sequence[int]) -> list[Sequence[int]]:
    """Cut ascending core numbers into runs of neighbours."""
    cuts = [index for index in range(1, len(cores)) if cores[index] != cores[index - 1] + 1]
    return [cores[start:end] for start, end in zip([0, *cuts], [*cuts, len(cores)], strict=True)]


def _remove(numbers: list[int], gone: Sequence[int]) -> None:
    """Take *gone* out of ascending *numbers*; both ascend."""
    if not gone:
        return
    start = bisect_left(numbers, gone[0])
    end = start + len(gone)
    if numbers[start:end] == list(gone):
        del numbers[start:end]
        return
    for number in gone:
        del numbers[bisect_left(numbers, number)]


def _add(numbers: list[int], more: Sequence[int]) -> None:
    for number in more:
        insort(numbers, number)


def place(shape: Shape, free: Sequence[FreeNode]) -> tuple[NodeShare, ...] | None:
    """Return what a job of *shape* gets of what is free, in the machine's order; None if it waits.

    The same question always has the same answer.
    """
    return Room(free).place(shape)


def could_ever_fit(shape: Shape, idle_nodes: Sequence[FreeNode]) -> bool:
    """Whether the job would fit if nothing ran and every node took jobs."""
    return spread(shape, [_open(level_of(node)) for node in idle_nodes]) is not None


def could_host_task(shape: Shape, idle_node: FreeNode) -> bool:
    """Whether the node, idle and taking jobs, could give the job's tasks there their part.

    That is all of its tasks if it must do with one node, or as many as it wants on each, or one.
    """
    tasks = shape.tasks if shape.nodes_max == 1 else shape.tasks_per_node or 1
    return capacity(shape, _open(level_of(idle_node))) >= tasks


def _open(level: Level) -> Level:
    level.accepts = True
    return level


def tasks_on(shape: Shape, shares: Sequence[NodeShare]) -> tuple[int, ...]:
    """Return how many tasks run on each node of an allocation, in its order.

    Source: recorded ``SLURM_TASKS_PER_NODE``.
    """
    most = shape.tasks_per_node or shape.tasks
    capacities = [max(1, min(most, len(share.cpus) // shape.cpus_per_task)) for share in shares]
    return tuple(_fill(max(shape.tasks, len(shares)), capacities))
