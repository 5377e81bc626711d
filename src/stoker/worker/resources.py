"""Who holds which CPUs, memory and generic resources. Never more than there is.

The tracker is told what a recorded decision took and what a recorded end gave back; it checks both
(promise P3): taking what is taken and giving back twice are errors, never clamped. After a restart
it is filled from the allocations on record.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from stoker.core.errors import StokerError
from stoker.core.models import Node, NodeShare
from stoker.scheduling.placement import place
from stoker.scheduling.snapshot import FreeNode, Shape
from stoker.worker.descriptors import ComputedProperty, ThreadSafeProperty
from stoker.worker.observers import Observable

log = logging.getLogger(__name__)


class Overcommitted(StokerError, AssertionError):
    """Somebody tried to take what is taken: a defect of ours."""


class NotHeld(StokerError, LookupError):
    """Somebody tried to give back what the job does not hold."""


class ResourceRequest(msgspec.Struct, frozen=True):
    """A request in its simplest form: CPUs and memory on one node."""

    cpus: int = 1
    memory_mib: int = 0


class _NodeBook:
    """One node's resources: what there is and what is free."""

    __slots__ = ("accepts", "cpus", "gres", "memory_mib", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cpus = set(range(node.cpus))
        self.memory_mib = node.memory_mib
        self.gres = {name: set(range(count)) for name, count in node.gres.items()}
        self.accepts = True

    def take(self, share: NodeShare) -> None:
        if not self._has(share):
            raise Overcommitted(
                f"cannot take {share}: {self.node.name} has CPUs {sorted(self.cpus)} and "
                f"{self.memory_mib} MiB free"
            )
        self.cpus.difference_update(share.cpus)
        self.memory_mib -= share.memory_mib
        for name, indices in share.gres.items():
            self.gres[name].difference_update(indices)

    def give(self, share: NodeShare) -> None:
        self.cpus.update(share.cpus)
        self.memory_mib += share.memory_mib
        for name, indices in share.gres.items():
            self.gres[name].update(indices)

    def what_is_there(self, share: NodeShare) -> NodeShare:
        """Return of a share what the node has, and of its memory what is left."""
        return NodeShare(
            share.node,
            tuple(core for core in share.cpus if core < self.node.cpus),
            min(share.memory_mib, self.memory_mib),
            {
                name: tuple(index for index in indices if index < self.node.gres.get(name, 0))
                for name, indices in share.gres.items()
                if name in self.node.gres
            },
        )

    def free(self) -> FreeNode:
        return FreeNode(
            name=self.node.name,
            cpus=tuple(sorted(self.cpus)),
            total_cpus=self.node.cpus,
            memory_mib=self.memory_mib,
            total_memory_mib=self.node.memory_mib,
            gres={name: tuple(sorted(free)) for name, free in self.gres.items()},
            accepts=self.accepts,
        )

    def _has(self, share: NodeShare) -> bool:
        return (
            len(set(share.cpus)) == len(share.cpus)
            and self.cpus.issuperset(share.cpus)
            and self.memory_mib >= share.memory_mib
            and all(
                self.gres.get(name, set()).issuperset(indices)
                for name, indices in share.gres.items()
            )
        )


class ResourceTracker(Observable):
    """The machine's resources; every change is told to the observers once the lock is let go."""

    total_cpus = ThreadSafeProperty[int]("_total_cpus")
    used_cpus = ThreadSafeProperty[int]("_used_cpus")
    available_cpus = ComputedProperty[int](lambda tracker: tracker.total_cpus - tracker.used_cpus)
    utilization = ComputedProperty[float](
        lambda tracker: 100.0 * tracker.used_cpus / tracker.total_cpus
    )

    def __init__(
        self,
        nodes: Sequence[Node] = (),
        *,
        total_cpus: int = 1,
        total_memory_mib: int = 0,
    ) -> None:
        """Track *nodes*, or a single one of the stated size."""
        super().__init__()
        self.tell_when: Callable[[Callable[[], None]], None] = lambda tell: tell()
        """Calls what tells the observers when a change is final: at once, or once on record."""
        self._lock = threading.RLock()
        self._nodes = tuple(nodes) or (Node("localhost", 0, total_cpus, total_memory_mib),)
        self._held: dict[int, tuple[NodeShare, ...]] = {}
        self._notices: list[tuple[int, dict[str, Any]]] = []
        self._depth = 0
        self._is_refilling = False
        with self._lock:
            self._total_cpus = sum(node.cpus for node in self._nodes)
            self._used_cpus = 0
        self._books = {node.name: _NodeBook(node) for node in self._nodes}

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the lock over several changes; observers hear of them when it is let go."""
        notices: list[tuple[int, dict[str, Any]]] = []
        try:
            with self._lock:
                self._depth += 1
                try:
                    yield
                finally:
                    self._depth -= 1
                    if not self._depth:
                        notices = [] if self._is_refilling else self._notices
                        self._notices, self._is_refilling = [], False
        finally:
            # What was changed before an error is changed all the same.
            if notices:
                self.tell_when(lambda: self._tell(notices))

    def _tell(self, notices: Sequence[tuple[int, dict[str, Any]]]) -> None:
        for cpus, stats in notices:
            if cpus > 0:
                self.notify_allocated(cpus, stats)
            else:
                self.notify_released(-cpus, stats)

    def allocate(
        self, job: int, request: ResourceRequest | Shape | Sequence[NodeShare]
    ) -> tuple[NodeShare, ...] | None:
        """Give *job* what it asks for: which cores, memory and devices; None if that is not free.

        Raises:
            Overcommitted: The job holds something already, or the very shares asked for are taken.
        """
        with self.changing():
            if job in self._held:
                raise Overcommitted(f"cannot allocate to job {job}: it holds resources already")
            shares = self._shares(request)
            if shares is None:
                return None
            self._take(shares)
            self._held[job] = shares
            self._count(shares, +1)
            return shares

    def adopt(self, job: int, shares: Sequence[NodeShare]) -> None:
        """Let *job* hold what is on record; where the machine is smaller now, what is left of it.

        It has been running there, whatever the settings or the host's name say today.

        Raises:
            Overcommitted: Somebody else holds it on record as well.
        """
        with self.changing():
            there = [
                self._books[share.node].what_is_there(share)
                for share in shares
                if share.node in self._books
            ]
            if there != list(shares):
                log.warning("job %d holds %s, of which there is only %s now", job, shares, there)
            self.allocate(job, there)

    def release(self, job: int) -> tuple[NodeShare, ...]:
        """Take back exactly what *job* held, and return it.

        Raises:
            NotHeld: The job holds nothing; a second release is a defect, not a no-op.
        """
        with self.changing():
            shares = self._held.pop(job, None)
            if shares is None:
                raise NotHeld(f"cannot release job {job}: it holds nothing")
            for share in shares:
                self._books[share.node].give(share)
            self._count(shares, -1)
            return shares

    def hand_over(self, job: int, successor: int) -> None:
        """Give what *job* held to *successor*, who holds nothing yet.

        Raises:
            NotHeld: The job holds nothing.
            Overcommitted: The successor holds something already.
        """
        # Where nobody is to hear of it, the lock will do: jobs in lanes come by here one by one.
        if not self.has_observers:
            with self._lock:
                self._pass_on(job, successor)
            return
        with self.changing():
            shares = self._pass_on(job, successor)
            self._count(shares, -1)
            self._count(shares, +1)

    def _pass_on(self, job: int, successor: int) -> tuple[NodeShare, ...]:
        if successor in self._held:
            raise Overcommitted(f"cannot hand over to job {successor}: it holds resources")
        shares = self._held.pop(job, None)
        if shares is None:
            raise NotHeld(f"cannot hand over from job {job}: it holds nothing")
        self._held[successor] = shares
        return shares

    def held(self, job: int) -> tuple[NodeShare, ...] | None:
        """Return what the job holds, if anything."""
        with self._lock:
            return self._held.get(job)

    def holders(self) -> frozenset[int]:
        """Return the jobs that hold something."""
        with self._lock:
            return frozenset(self._held)

    def free_nodes(self) -> list[FreeNode]:
        """Return what is free on each node, in the machine's order."""
        with self._lock:
            return [book.free() for book in self._books.values()]

    def holdings(self) -> dict[int, tuple[NodeShare, ...]]:
        """Return what each job holds."""
        with self._lock:
            return dict(self._held)

    def idle_nodes(self) -> list[FreeNode]:
        """Return the nodes as they would be with nobody on them."""
        return [_NodeBook(node).free() for node in self._nodes]

    def accept(self, node: str, *, accepts: bool) -> None:
        """Let a node take new jobs, or not (drained)."""
        with self._lock:
            self._books[node].accepts = accepts

    def accepts(self, shares: Sequence[NodeShare]) -> bool:
        """Whether all nodes of *shares* take new jobs."""
        with self._lock:
            books = [self._books.get(share.node) for share in shares]
            return all(book is not None and book.accepts for book in books)

    def clear(self) -> None:
        """Forget all holders, to be filled anew from the record.

        Nobody is told of that, nor of what is taken anew in the same `changing` block.
        """
        with self.changing():
            self._is_refilling = True
            accepting = {name: book.accepts for name, book in self._books.items()}
            self._books = {node.name: _NodeBook(node) for node in self._nodes}
            for name, accepts in accepting.items():
                self._books[name].accepts = accepts
            self._held.clear()
            self._used_cpus = 0

    def get_stats(self) -> dict[str, Any]:
        """Return totals and use; ``utilization`` is in percent of the CPUs."""
        with self._lock:
            total_memory = sum(node.memory_mib for node in self._nodes)
            free_memory = sum(book.memory_mib for book in self._books.values())
            return {
                "total_cpus": self.total_cpus,
                "used_cpus": self.used_cpus,
                "available_cpus": self.available_cpus,
                "utilization": self.utilization,
                "total_memory_mib": total_memory,
                "used_memory_mib": total_memory - free_memory,
                "jobs": len(self._held),
            }

    def check(self) -> None:
        """Raise if the books do not add up: what is held and what is free is what there is."""
        with self._lock:
            shares = [share for held in self._held.values() for share in held]
            assert self._used_cpus == sum(len(share.cpus) for share in shares)
            for book in self._books.values():
                on_node = [share for share in shares if share.node == book.node.name]
                held = [core for share in on_node for core in share.cpus]
                assert len(held) == len(set(held)), f"a core of {book.node.name} is held twice"
                assert sorted([*held, *book.cpus]) == list(range(book.node.cpus))
                memory = sum(share.memory_mib for share in on_node)
                assert memory + book.memory_mib == book.node.memory_mib >= memory

    def _take(self, shares: Sequence[NodeShare]) -> None:
        """Take all of *shares*, or nothing."""
        for number, share in enumerate(shares):
            try:
                self._book(share.node).take(share)
            except Overcommitted:
                for taken in shares[:number]:
                    self._books[taken.node].give(taken)
                raise

    def _book(self, node: str) -> _NodeBook:
        if node not in self._books:
            raise Overcommitted(
                f"cannot take anything of {node}: there is no such node; "
                f"the nodes are {','.join(self._books)}"
            )
        return self._books[node]

    def _shares(
        self, request: ResourceRequest | Shape | Sequence[NodeShare]
    ) -> tuple[NodeShare, ...] | None:
        if isinstance(request, Shape):
            return place(request, self.free_nodes())
        if isinstance(request, ResourceRequest):
            return self._first_fit(request)
        return tuple(request)

    def _first_fit(self, request: ResourceRequest) -> tuple[NodeShare, ...] | None:
        for book in self._books.values():
            if book.accepts and len(book.cpus) >= request.cpus <= book.node.cpus:
                cores = tuple(sorted(book.cpus)[: request.cpus])
                if book.memory_mib >= request.memory_mib:
                    return (NodeShare(book.node.name, cores, request.memory_mib),)
        return None

    def _count(self, shares: Sequence[NodeShare], sign: int) -> None:
        cpus = sum(len(share.cpus) for share in shares)
        self._used_cpus += sign * cpus
        if self.has_observers:
            self._notices.append((sign * cpus, self.get_stats()))
