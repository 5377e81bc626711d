"""Rows of sinfo: nodes that a format cannot tell apart are one row.

A field says something of the partition, of each node, or of all nodes of the row together. What is
said of partition and node tells rows apart; what is said of all together is counted.

Source: sinfo(1); the merging as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from stoker.commands.formats import Field
from stoker.commands.nodeview import NodeState
from stoker.core.models import Partition
from stoker.core.units import compress_hosts
from stoker.worker.controller import Controller, Host, NodeStatus


class Row(msgspec.Struct):
    """A partition and some of its nodes, in the machine's order."""

    partition: Partition
    nodes: tuple[NodeStatus, ...]
    cluster: str
    host: Host

    @property
    def node(self) -> NodeStatus | None:
        """Return the first node, which stands for all where they are alike."""
        return self.nodes[0] if self.nodes else None

    @property
    def state(self) -> NodeState | None:
        """Return the state of the first node."""
        return NodeState.of(self.nodes[0]) if self.nodes else None

    @property
    def node_list(self) -> str:
        """Return the nodes as a host list."""
        return compress_hosts(status.node.name for status in self.nodes)

    @property
    def node_counts(self) -> tuple[int, int, int]:
        """Return how many nodes have jobs, are idle, or are neither."""
        states = [NodeState.of(status) for status in self.nodes]
        busy = sum(state.has_jobs for state in states)
        idle = sum(state.base == "idle" and not state.is_draining for state in states)
        return busy, idle, len(states) - busy - idle

    @property
    def cpu_counts(self) -> tuple[int, int, int]:
        """Return how many CPUs are allocated, are idle, or can be neither."""
        busy = sum(status.allocated_cpus for status in self.nodes)
        idle = 0
        for status in self.nodes:
            state = NodeState.of(status)
            if not state.is_draining and state.base != "down":
                idle += status.node.cpus - status.allocated_cpus
        return busy, idle, sum(status.node.cpus for status in self.nodes) - busy - idle


def rows_of(
    pairs: Iterable[tuple[Partition, Sequence[NodeStatus]]],
    keys: Iterable[Field[Row]],
    controller: Controller,
    *,
    by_node: bool,
) -> list[Row]:
    """Return the rows of *pairs*; those that all *keys* read alike are merged.

    With *by_node* there is a row for each node and each of its partitions, whatever they show.
    """
    host, cluster = controller.host(), controller.cluster_name
    singles = [
        Row(partition, tuple(found[at : at + 1]), cluster, host)
        for partition, found in pairs
        for at in range(max(1, len(found)))
    ]
    if by_node:
        rows = [row for row in singles if row.nodes]
        return sorted(rows, key=lambda row: row.nodes[0].node.index)
    reads = [field.read for field in keys]
    merged: dict[tuple[str | None, ...], Row] = {}
    for row in singles:
        key = tuple(read(row) for read in reads)
        if key in merged:
            merged[key].nodes = tuple(_union(merged[key].nodes, row.nodes))
        else:
            merged[key] = row
    return list(merged.values())


def _union(some: Sequence[NodeStatus], more: Sequence[NodeStatus]) -> Iterator[NodeStatus]:
    found = {status.node.index: status for status in [*some, *more]}
    for index in sorted(found):
        yield found[index]
