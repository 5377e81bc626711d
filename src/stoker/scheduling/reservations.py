"""What reservations leave to a job, and why it waits for them. Pure.

A job outside of a reservation leaves alone what that keeps, from the moment on at which the two
would meet: it does not start if it would still run when the reservation begins, and one without a
time limit would. A job in a reservation gets nothing but what that keeps, while it is active; it
may ask for more time than is left, and is ended with it.

Source: scontrol(1) on reservations; slurm.conf(5), ``ResvOverRun``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from stoker.core.enums import Reason
from stoker.core.models import NodeShare
from stoker.core.reservations import Part, Reservation
from stoker.scheduling.placement import Level
from stoker.scheduling.snapshot import Running, Shape


class Fences:
    """Reservations at one moment, and what jobs in them hold of them."""

    def __init__(
        self, reservations: Sequence[Reservation], running: Iterable[Running], now: float
    ) -> None:
        """Know which of *reservations* matter from *now* (epoch seconds) on."""
        self._all = [each for each in reservations if now < each.end_at]
        self._by_name = {each.name: each for each in self._all}
        self._now = now
        self._used: dict[tuple[str, str], Level] = defaultdict(_nothing)
        for job in running if self._all else ():
            self.use(job.reservation, job.shares)

    def use(self, name: str, shares: Iterable[NodeShare]) -> None:
        """Note what a job that runs in the reservation *name*, or in none (""), takes."""
        if name:
            for share in shares:
                used = self._used[name, share.node]
                used.cpus += len(share.cpus)
                for kind, indices in share.gres.items():
                    used.gres[kind] = used.gres.get(kind, 0) + len(indices)

    def chosen(self, names: str) -> str:
        """Return in which of those that it names a job would run, the active first; "" in none."""
        if not names:
            return ""
        found = [each for name in names.split(",") if (each := self._by_name.get(name))]
        active = [each for each in found if each.is_active(self._now)]
        return next((each.name for each in active or found), "")

    def over_at(self, name: str) -> float:
        """Return when a reservation is over, and what runs in it is ended."""
        return self._by_name[name].end_at

    def is_open(self, shape: Shape) -> bool:
        """Whether a reservation is active in which a job of *shape* is to run."""
        own = self._own(shape)
        return own is not None and own.is_active(self._now)

    def concern(self, shape: Shape) -> bool:
        """Whether they matter to a job of *shape* that would start now."""
        return bool(shape.reservation or self._in_the_way(shape, None))

    def levels(self, free: Sequence[Level], shape: Shape) -> list[Level] | None:
        """Return what of *free* a job of *shape* may use; None if that is all of it."""
        if not self._all and not shape.reservation:
            return None
        own = self._own(shape)
        others = self._in_the_way(shape, own)
        if not others and not shape.reservation:
            return None
        found = [level.copy() for level in free]
        by_name = {level.name: level for level in found}
        for each in others:
            for part in each.parts:
                self._keep_out(by_name[part.node], part, each.name)
        if shape.reservation:
            self._keep_within(found, own)
        return found

    def reason(self, shape: Shape) -> str:
        """Return what is said of a job that one of them keeps from starting."""
        if shape.reservation:
            if self._own(shape) is None:
                return Reason.RESERVATION_DELETED
            return Reason.RESOURCES if self.is_open(shape) else Reason.RESERVATION
        if any(each.is_maintenance for each in self._in_the_way(shape, None)):
            return Reason.RESERVED_FOR_MAINTENANCE
        return Reason.RESERVED_FOR_OTHERS

    def _own(self, shape: Shape) -> Reservation | None:
        """Return the reservation that a job is to run in: of several, the one that is active."""
        return self._by_name.get(self.chosen(shape.reservation))

    def _in_the_way(self, shape: Shape, own: Reservation | None) -> list[Reservation]:
        """Return those whose time a job would meet that starts now, but for its own."""
        if own is not None and own.may_overlap:
            return []
        ends_at = self._now + shape.time_limit_s
        if own is not None:
            ends_at = min(ends_at, own.end_at)
        return [each for each in self._all if each is not own and each.meets(self._now, ends_at)]

    def _keep_out(self, level: Level, part: Part, name: str) -> None:
        """Lower a node by what is kept of it and not held by those for whom it is."""
        if part.is_whole:
            level.accepts = False
            return
        used = self._used[name, part.node]
        level.cpus -= max(0, part.cpus - used.cpus)
        for kind, count in part.gres.items():
            level.gres[kind] = level.gres.get(kind, 0) - max(0, count - used.gres.get(kind, 0))

    def _keep_within(self, levels: Iterable[Level], own: Reservation | None) -> None:
        """Lower nodes to what is left of a reservation; to nothing if it is not active."""
        is_open = own is not None and own.is_active(self._now)
        parts = {part.node: part for part in own.parts} if own is not None else {}
        for level in levels:
            part = parts.get(level.name)
            if part is None or own is None or not is_open:
                level.accepts = False
            elif not part.is_whole:
                used = self._used[own.name, level.name]
                level.cpus = min(level.cpus, part.cpus - used.cpus)
                for kind in level.gres:
                    left = part.gres.get(kind, 0) - used.gres.get(kind, 0)
                    level.gres[kind] = min(level.gres[kind], left)


def _nothing() -> Level:
    return Level("", 0, 0, 0, 0, {}, accepts=True)
