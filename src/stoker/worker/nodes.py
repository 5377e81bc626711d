"""The nodes as operators and jobs have made them: idle, mixed, allocated, drained, down.

What an operator set is on record and outlives restarts; the rest is read off the tracker's books.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from stoker.core.errors import InvalidSpec
from stoker.core.models import Node, Owner
from stoker.core.repository import NodeState, Repository
from stoker.scheduling.snapshot import FreeNode
from stoker.worker.controller import NodeStatus
from stoker.worker.queue import Turn
from stoker.worker.resources import ResourceTracker
from stoker.worker.rights import Rights

_SETTING: Final = {"DRAIN": "DRAIN", "DOWN": "DOWN", "FAIL": "DRAIN"}
_CLEARING: Final = frozenset({"RESUME", "UNDRAIN", "IDLE"})


class NodeKeeper:
    """Keeps the states that operators gave to nodes."""

    def __init__(
        self,
        nodes: Sequence[Node],
        tracker: ResourceTracker,
        repository: Repository,
        rights: Rights,
    ) -> None:
        """Keep the states of *nodes*, set by *rights*; *tracker* learns which take new jobs."""
        self._rights = rights
        self._nodes = {node.name: node for node in nodes}
        self._tracker = tracker
        self._repository = repository
        self._states: dict[str, NodeState] = {}
        self.kept: Callable[[], Mapping[str, str]] = dict
        """Says of nodes that are reserved now for what: RESERVED, MAINT+RESERVED."""

    def load(self) -> None:
        """Take the states from the record."""
        self._states = {
            state.name: state
            for state in self._repository.node_states()
            if state.name in self._nodes
        }
        for name in self._nodes:
            self._tracker.accept(name, accepts=name not in self._states)

    def statuses(self) -> list[NodeStatus]:
        """Return every node as it stands now, in the machine's order."""
        memory, load, kept = _free_memory_mib(), os.getloadavg()[0], self.kept()
        return [
            self._status(free, memory, load, kept.get(free.name, ""))
            for free in self._tracker.free_nodes()
        ]

    def update(self, turn: Turn, name: str, by: Owner, state: str, reason: str) -> None:
        """Set what an operator says of a node.

        Raises:
            InvalidSpec: There is no such node, or no such state.
            NotAllowed: *by* runs neither the machine nor this daemon.
        """
        if name not in self._nodes:
            raise InvalidSpec(f"Invalid node name specified: {name}", "ESLURM_INVALID_NODE_NAME")
        self._rights.check_administrator(by, "ESLURM_USER_ID_MISSING")
        word = state.upper()
        if word in _CLEARING:
            self._states.pop(name, None)
            turn.node_states[name] = NodeState(name, "", "", 0.0, "")
        elif word in _SETTING:
            said = NodeState(name, _SETTING[word], reason, turn.now, by.user_name)
            self._states[name] = turn.node_states[name] = said
        else:
            raise InvalidSpec("Invalid node state specified", "ESLURM_INVALID_NODE_STATE")
        self._tracker.accept(name, accepts=name not in self._states)

    def _status(self, free: FreeNode, memory_mib: int, load: float, kept: str) -> NodeStatus:
        node = self._nodes[free.name]
        said = self._states.get(free.name)
        used = node.cpus - len(free.cpus)
        return NodeStatus(
            node=node,
            state=_word(used, node.cpus, said) + (f"+{kept}" if kept else ""),
            allocated_cpus=used,
            allocated_memory_mib=node.memory_mib - free.memory_mib,
            reason=said.reason if said else "",
            reason_at=said.reason_at if said else 0.0,
            reason_user=said.reason_user if said else "",
            free_memory_mib=memory_mib,
            load=load,
            allocated_gres={
                name: count - len(free.gres.get(name, ())) for name, count in node.gres.items()
            },
        )


def _word(used: int, cpus: int, said: NodeState | None) -> str:
    base = "IDLE" if not used else "ALLOCATED" if used >= cpus else "MIXED"
    if said is None:
        return base
    return "DOWN" if said.state == "DOWN" else f"{base}+{said.state}"


def _free_memory_mib() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
