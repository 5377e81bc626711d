"""What starts now, and why the others wait: one pass over the queues, in order.

Jobs are considered in one order over all queues. Who fits starts. The first of each partition that
does not fit is its *head* and gets a reservation; later jobs start only if they delay no head
(`scheduling.backfill`). So the head of the whole queue starts as soon as it fits, and is never
starved.

Jobs of one shape are alike: when one does not fit now, no other of its shape is looked at. A pass
costs a few microseconds for each start and for each shape that it looks at, whatever the number of
waiting jobs. It looks at no more than ``depth`` shapes that do not start, as Slurm's
``bf_max_job_test``, but at least at one of each partition, and stops when no CPU is free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple

from stoker.core.enums import Reason
from stoker.core.models import NodeShare
from stoker.scheduling.backfill import Shadow, lowest, shadow
from stoker.scheduling.lines import Line, Lines
from stoker.scheduling.placement import Level, Room, level_of, spread
from stoker.scheduling.reservations import Fences
from stoker.scheduling.snapshot import Allowance, Running, Shape, Snapshot

DEPTH: Final = 200
"""How many shapes that cannot start are looked at before a pass ends.

Only backfill feels it: more finds more holes in a mixed queue, at some microseconds each.
"""

STARTS_MAX: Final = 1000
"""How many jobs one plan starts, so that a turn stays short; `Plan.is_cut` says there is more."""


class Start(NamedTuple):
    """Start this job, or the next task of this array, on these shares."""

    job_id: int
    shape: Shape
    shares: tuple[NodeShare, ...]


class Pass:
    """One pass at one time. It takes what it starts out of *room* and adds it to *running*."""

    def __init__(
        self,
        lines: Lines,
        room: Room,
        running: Sequence[Running],
        now: float,
        depth: int,
        quotas: Allowance | None = None,
        fences: Fences | None = None,
    ) -> None:
        self.starts: list[Start] = []
        self.heads: dict[str, int] = {}
        self.stuck: set[str] = set()
        self.limited: set[int] = set()
        self.is_cut = False
        self.backfilled = 0
        self.quotas = quotas
        self.fenced: set[Shape] = set()
        self._fences = fences
        self._lines = lines
        self._room = room
        self.running = list(running)
        self._now = now
        self._depth = depth
        self._cpus = sum(level.cpus for level in room.levels if level.accepts)
        self._is_whole = all(level.accepts for level in room.levels)
        self._shadows: dict[str, list[Shadow]] = {}
        self._unreserved: list[tuple[Shape, Sequence[Level] | None]] = []
        self._freed: dict[str, dict[str, Level]] = {}

    def run(self, starts_max: int, *, until_full: bool = False) -> None:
        """Decide on every line, or until *starts_max* jobs start, or no CPU is left."""
        while not (until_full and self._cpus <= 0):
            is_open = self._cpus > 0 and self._depth > 0
            line = self._lines.pop(() if is_open else self.stuck)
            if line is None:
                return
            if line.first.count < 1:
                self.limited.add(line.first.job_id)
                self._go_on(line)
                continue
            if self.quotas is not None and self.quotas.refusal(line.shape):
                continue
            shares = self._fit(line)
            if shares is None:
                continue
            if len(self.starts) >= starts_max:
                self.is_cut = True
                return
            self._start(line, shares)

    def _go_on(self, line: Line) -> None:
        if line.step():
            self._lines.push(line)

    def _fit(self, line: Line) -> tuple[NodeShare, ...] | None:
        """Return what the first job of the line may take now; None if it waits."""
        shape = line.shape
        left = self._fences.levels(self._room.levels, shape) if self._fences is not None else None
        shares = None
        if shape.tasks * shape.cpus_per_task <= self._cpus:
            shares = self._room.place(shape, left)
        if shares is None and left is not None and self._is_fenced(shape, left):
            # It waits for a reservation's time, not for who runs: it is no head.
            self.fenced.add(shape)
            self._depth -= 1
        elif shares is None:
            self._make_head(line, left)
        elif self.heads and (in_the_way := self._in_the_way(shape)):
            shares = self._room.place(shape, lowest(left or self._room.levels, in_the_way))
            if shares is None:
                self._depth -= 1
                self.stuck.add(shape.partition)
        return shares

    def _is_fenced(self, shape: Shape, left: Sequence[Level]) -> bool:
        """Whether reservations keep a job from starting, even if all had ended who may make room.

        *left* is what they leave of what is free.
        """
        freed = self._freed_for(self._group(shape))
        levels = [level.copy() for level in left]
        for level in levels:
            level.add(freed[level.name])
        if spread(shape, levels) is not None:
            return False
        return bool(shape.reservation) or spread(shape, self._idle) is not None

    def _freed_for(self, group: str) -> Mapping[str, Level]:
        """Return, by node, what jobs of one reservation hold, or those of none ("")."""
        if group not in self._freed:
            nothing = [level.copy() for level in self._room.levels]
            for level in nothing:
                level.clear()
            held = idle_levels(nothing, self._running_in(group))
            self._freed[group] = {level.name: level for level in held}
        return self._freed[group]

    def _running_in(self, group: str) -> list[Running]:
        return [job for job in self.running if job.reservation == group]

    def _group(self, shape: Shape) -> str:
        """Return the reservation in which a job would run; those of one compete for it."""
        if not shape.reservation or self._fences is None:
            return ""
        return self._fences.chosen(shape.reservation)

    def _make_head(self, line: Line, left: Sequence[Level] | None) -> None:
        """Note that the line's first job does not fit; give it a reservation if it is a head."""
        shape = line.shape
        if not self._is_available(shape):
            return
        self._depth -= 1
        self.stuck.add(shape.partition)
        rank = head_rank(shape, self._group(shape))
        if rank not in self.heads:
            self.heads[rank] = line.first.job_id
            self._unreserved.append((shape, left))

    def _in_the_way(self, shape: Shape) -> list[Shadow]:
        """Return the reservations that a job of the shape would outlast."""
        self._reserve()
        ends_at = self._now + shape.time_limit_s
        shadows = self._shadows.get(self._group(shape), ())
        return [each for each in shadows if not each.admits(ends_at)]

    def _reserve(self) -> None:
        """Make the reservations of new heads. Nothing has started since they were found."""
        if not self._unreserved:
            return
        self.running.sort(key=lambda job: job.ends_at)
        for shape, left in self._unreserved:
            group = self._group(shape)
            running = self.running if left is None else self._running_in(group)
            found = shadow(shape, running, left or self._room.levels, self._now)
            if found is not None:
                self._shadows.setdefault(group, []).append(found)
        self._unreserved.clear()

    def _start(self, line: Line, shares: tuple[NodeShare, ...]) -> None:
        shape, job = line.shape, line.first
        self.starts.append(Start(job.job_id, shape, shares))
        self.backfilled += bool(self.heads)
        self._room.take(shares)
        if self.quotas is not None:
            self.quotas.start(shape, shares)
        group = self._group(shape)
        ends_at = self._now + shape.time_limit_s
        if self._fences is not None and group:
            self._fences.use(group, shares)
            ends_at = min(ends_at, self._fences.over_at(group))
        self._cpus -= sum([len(share.cpus) for share in shares])
        self.running.append(Running(job.job_id, shares, ends_at, reservation=group))
        if group in self._freed:
            for share in shares:
                self._freed[group][share.node].give(share)
        for each in self._shadows.get(group, ()):
            if not each.admits(ends_at):
                each.use(shares)
        line.use()
        if line.first.count < 1:
            self.limited.add(job.job_id)
            self._go_on(line)
        else:
            self._lines.push(line)

    def _is_available(self, shape: Shape) -> bool:
        """Whether it would fit if nothing ran: a job that waits for a drained node is no head."""
        return self._is_whole or spread(shape, self._idle) is not None

    @cached_property
    def _idle(self) -> list[Level]:
        return idle_levels(self._room.levels, self.running)


def head_rank(shape: Shape, group: str) -> str:
    """Return of whom a job can be the first: of its partition, or of it within a reservation."""
    return f"{shape.partition} in {group}" if group else shape.partition


def idle_levels(levels: Sequence[Level], running: Sequence[Running]) -> list[Level]:
    """Return what would be free if all of *running* had ended."""
    found = {level.name: level.copy() for level in levels}
    for job in running:
        for share in job.shares:
            found[share.node].give(share)
    return list(found.values())


class Plan:
    """What starts, in order, and why the others wait; it keeps nothing of the queues."""

    def __init__(self, snapshot: Snapshot, done: Pass, fences: Fences) -> None:
        self.starts: Sequence[Start] = done.starts
        self.is_cut = done.is_cut
        """Whether more could start: ask again."""
        self.backfilled = done.backfilled
        """How many of those that start go before a job that has a reservation."""
        self.heads = done.heads
        """By `head_rank`, the first job that does not fit: it has a reservation."""
        self._stuck = done.stuck
        self._limited = done.limited
        self._quotas = done.quotas
        self._fenced = done.fenced
        self._fences = fences
        self._snapshot = Snapshot((), snapshot.running, snapshot.free)
        self._is_whole = all(node.accepts for node in snapshot.free)

    def is_fenced(self, shape: Shape) -> bool:
        """Whether jobs of the shape wait for a reservation's time, and so for nobody's end."""
        return shape in self._fenced

    def reason(self, shape: Shape, job_id: int, *, is_at_limit: bool = False) -> str:
        """Return why a job waits that is eligible and not started.

        The first of its partition waits for resources, those behind it for their turn; where all
        nodes belong to exclusive jobs everybody waits for resources, as recorded. *is_at_limit*
        says that its array has as many tasks running as it may; the plan knows that only of those
        that it has come across.
        """
        if is_at_limit or job_id in self._limited:
            return Reason.JOB_ARRAY_TASK_LIMIT
        if self._quotas is not None and (refusal := self._quotas.refusal(shape)):
            return refusal
        is_open = shape.partition in self._stuck and self._fences.is_open(shape)
        if self.is_fenced(shape) or (shape.reservation and not is_open):
            return self._fences.reason(shape)
        if not self._is_whole and spread(shape, self._idle) is None:
            return Reason.REQ_NODE_NOT_AVAIL
        if shape.partition not in self._stuck:
            return Reason.NONE
        rank = head_rank(shape, self._fences.chosen(shape.reservation))
        if self.heads.get(rank) == job_id or self._nodes_of(shape) <= self._exclusive_nodes:
            return Reason.RESOURCES
        return Reason.PRIORITY

    def _nodes_of(self, shape: Shape) -> frozenset[str]:
        return frozenset(shape.nodes) if shape.nodes is not None else self._all_nodes

    @cached_property
    def _all_nodes(self) -> frozenset[str]:
        return frozenset(node.name for node in self._snapshot.free)

    @cached_property
    def _exclusive_nodes(self) -> frozenset[str]:
        return frozenset(
            share.node for job in self._snapshot.running if job.exclusive for share in job.shares
        )

    @cached_property
    def _idle(self) -> list[Level]:
        levels = [level_of(node) for node in self._snapshot.free]
        return idle_levels(levels, self._snapshot.running)


def plan(
    snapshot: Snapshot, now: float, *, depth: int = DEPTH, starts_max: int = STARTS_MAX
) -> Plan:
    """Decide what starts at *now* (epoch seconds); the same question has always the same answer.

    At most *depth* shapes that cannot start are looked at, and *starts_max* jobs started.
    """
    lines = Lines(snapshot.queues)
    quotas = snapshot.quotas.copy() if snapshot.quotas is not None else None
    fences = Fences(snapshot.reservations, snapshot.running, now)
    done = Pass(lines, Room(snapshot.free), snapshot.running, now, depth, quotas, fences)
    done.run(starts_max)
    return Plan(snapshot, done, fences)
