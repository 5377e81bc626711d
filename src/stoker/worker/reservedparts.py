"""Which nodes a reservation keeps, and how much of them; what stands in its way. Pure.

Of named nodes those; of a number of nodes those that are free at that time, in the machine's order.
With a number of CPUs, or of devices a node, only so much is kept of them; devices without CPUs keep
their share of the node's CPUs, so that somebody can use them.

Source: scontrol(1) on reservations; wording of slurmctld's refusals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import ceil

from stoker.core.errors import InvalidSpec
from stoker.core.models import Node, NodeShare
from stoker.core.reservations import Part, Reservation, ReservationWish
from stoker.core.units import NotationError, expand_hosts

ALL = "ALL"


def parts_of(
    wish: ReservationWish, candidates: Sequence[Node], busy: Collection[str]
) -> tuple[Part, ...]:
    """Return what is kept, of nodes that may be taken; those in *busy* only if they are named.

    Raises:
        InvalidSpec: There are no such nodes, or none that have so much.
    """
    nodes = _nodes(wish, candidates, busy)
    gres = dict(wish.gres or ())
    if not all(_has(node, gres) for node in nodes):
        raise _refused("ESLURM_INVALID_GRES")
    if wish.cores is None and not gres:
        return tuple(Part(node.name, node.cpus) for node in nodes)
    return tuple(_some(nodes, wish.cores, gres))


def _nodes(
    wish: ReservationWish, candidates: Sequence[Node], busy: Collection[str]
) -> Sequence[Node]:
    if wish.nodes is not None and wish.nodes.upper() != ALL:
        return _named(wish.nodes, candidates)
    if wish.nodes is not None or (wish.node_count is None and wish.cores is None and not wish.gres):
        return candidates
    able = [node for node in candidates if _has(node, dict(wish.gres or ()))]
    free = [node for node in able if node.name not in busy]
    if len(free) < (wish.node_count or 1):
        raise _too_few(able, wish.node_count or 1)
    if wish.node_count is not None:
        return free[: wish.node_count]
    wanted = wish.cores or 1
    tightest = sorted((node for node in free if node.cpus >= wanted), key=lambda node: node.cpus)
    if tightest:
        return tightest[:1]
    return free


def _named(text: str, candidates: Sequence[Node]) -> Sequence[Node]:
    try:
        names = expand_hosts(text)
    except NotationError:
        raise _refused("ESLURM_INVALID_NODE_NAME") from None
    if not names or not set(names) <= {node.name for node in candidates}:
        raise _refused("ESLURM_INVALID_NODE_NAME")
    return [node for node in candidates if node.name in names]


def _has(node: Node, gres: Mapping[str, int]) -> bool:
    return all(count <= node.gres.get(name, 0) for name, count in gres.items())


def _some(nodes: Sequence[Node], cores: int | None, gres: Mapping[str, int]) -> Iterable[Part]:
    """Yield parts that keep so many cores in all, or those that go with so many devices."""
    left = cores
    if left is not None and left > sum(node.cpus for node in nodes):
        raise _refused("ESLURM_REQUESTED_NODE_CONFIG_UNAVAILABLE")
    for node in nodes:
        if left is None:
            share = max(count / node.gres[name] for name, count in gres.items())
            yield Part(node.name, ceil(share * node.cpus), gres, is_whole=False)
        elif left > 0:
            cpus = min(left, node.cpus)
            left -= cpus
            yield Part(node.name, cpus, gres, is_whole=False)


def _too_few(candidates: Sequence[Node], wanted: int) -> InvalidSpec:
    if wanted > len(candidates):
        return _refused("ESLURM_REQUESTED_NODE_CONFIG_UNAVAILABLE")
    return _refused("ESLURM_NODES_BUSY")


def collides(parts: Iterable[Part], others: Iterable[Part], nodes: Mapping[str, Node]) -> bool:
    """Whether *parts* want more of a node than *others*, all together, leave of it."""
    theirs: dict[str, Part] = {}
    for other in others:
        theirs[other.node] = _sum(theirs[other.node], other) if other.node in theirs else other
    return any(
        _exceeds(_sum(part, theirs[part.node]), nodes[part.node])
        for part in parts
        if part.node in theirs
    )


def _sum(one: Part, other: Part) -> Part:
    """Return two parts of a node as one; who keeps it whole leaves nothing to the other."""
    names = one.gres.keys() | other.gres.keys()
    gres = {name: one.gres.get(name, 0) + other.gres.get(name, 0) for name in names}
    return Part(one.node, one.cpus + other.cpus, gres, one.is_whole or other.is_whole)


def _exceeds(part: Part, node: Node) -> bool:
    return part.is_whole or part.cpus > node.cpus or not _has(node, part.gres)


def held_parts(shares: Iterable[Iterable[NodeShare]]) -> list[Part]:
    """Return what jobs hold, node by node, as if it were reserved."""
    cpus: dict[str, int] = {}
    gres: dict[str, dict[str, int]] = {}
    for each in shares:
        for share in each:
            cpus[share.node] = cpus.get(share.node, 0) + len(share.cpus)
            found = gres.setdefault(share.node, {})
            for name, indices in share.gres.items():
                found[name] = found.get(name, 0) + len(indices)
    return [Part(node, count, gres[node], is_whole=False) for node, count in cpus.items()]


def busy_nodes(made: Reservation, others: Iterable[Reservation]) -> set[str]:
    """Return the nodes of which others keep something when *made* is to."""
    return {node for each in others if each.ever_meets(made) for node in each.nodes}


def _refused(code: str) -> InvalidSpec:
    return InvalidSpec(f"cannot reserve that: {code}", code)
