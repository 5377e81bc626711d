"""The reservations as operators have made them: on record, in force, over.

What they keep from jobs `scheduling.reservations` decides. When the time of one is over, its jobs
are ended, as by a time limit, and it goes, or moves on to the next time it comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Final

import msgspec

from stoker.core.enums import JobState
from stoker.core.errors import InvalidSpec
from stoker.core.models import FOREVER, Job, Node, Owner
from stoker.core.reservations import (
    ALL_NODES,
    DAY_S,
    IGNORE_JOBS,
    SPECIFIC_NODES,
    Part,
    Reservation,
    ReservationWish,
)
from stoker.core.reservationstore import ReservationStore
from stoker.worker.admission import Admission
from stoker.worker.ledger import Ledger
from stoker.worker.queue import Turn
from stoker.worker.reservedparts import ALL, busy_nodes, collides, held_parts, parts_of
from stoker.worker.times import ends_at, is_waiting

_LISTS: Final = ("users", "accounts", "groups", "partition", "flags", "comment")
_SIZES: Final = ("nodes", "node_count", "cores", "gres", "partition")

_NAME: Final = re.compile(r"[^\s,=\x00-\x1f]{1,100}")
_LONGEST_S: Final = 100 * 366 * DAY_S
_LATE_S: Final = 600.0
"""So long ago one may begin that is made now."""

EndJob = Callable[[Turn, Job, JobState], None]


class ReservationKeeper:
    """Makes, changes and ends reservations; the real `worker.reservationdesk`."""

    def __init__(self, store: ReservationStore, ledger: Ledger, admission: Admission) -> None:
        """Keep what *admission* judges jobs by, in step with *store*; *ledger* knows who runs."""
        self._store = store
        self._ledger = ledger
        self._admission = admission
        self._nodes: Mapping[str, Node] = {node.name: node for node in admission.machine.nodes}
        self.on_end: EndJob = lambda *_: None
        """Called for a job that runs in a reservation whose time is over."""

    @property
    def _all(self) -> dict[str, Reservation]:
        return self._admission.reservations

    def load(self) -> None:
        """Take them from the record; of nodes that are there no more nothing is kept."""
        self._all.clear()
        for each in self._store.load():
            parts = tuple(part for part in each.parts if part.node in self._nodes)
            if parts:
                self._all[each.name] = msgspec.structs.replace(each, parts=parts)

    def listed(self) -> Sequence[Reservation]:
        """Return all of them, by name."""
        return [self._all[name] for name in sorted(self._all)]

    def next_at(self, now: float) -> float:
        """Return when the next one begins or ends; `FOREVER` if none does."""
        times = (at for each in self._all.values() for at in (each.start_at, each.end_at))
        return min((at for at in times if at > now), default=FOREVER)

    def kept(self) -> Mapping[str, str]:
        """Return of nodes that are kept whole now for what, as states of nodes say it."""
        now = self._ledger.queue.now()
        active = [each for each in self._all.values() if each.is_active(now)]
        active.sort(key=lambda each: each.is_maintenance)
        return {
            part.node: "MAINT+RESERVED" if each.is_maintenance else "RESERVED"
            for each in active
            for part in each.parts
            if part.is_whole
        }

    # Changes.

    def create(self, wish: ReservationWish, by: Owner) -> str:
        """Make a reservation; return its name."""
        turn = self._ledger.queue.current
        self._admission.rights.check_operator(by)
        name = wish.name or self._free_name(wish)
        if _NAME.fullmatch(name) is None:
            raise _refused("ESLURM_RESERVATION_INVALID", f"nothing can be called {name!r}")
        start_at, end_at = _span(wish, turn.now, turn.now)
        made = Reservation(name=name, start_at=start_at, end_at=end_at)
        self._enter(turn, msgspec.structs.replace(made, **_said(wish)), wish)
        return name

    def update(self, wish: ReservationWish, by: Owner) -> None:
        """Change a reservation."""
        turn = self._ledger.queue.current
        self._admission.rights.check_operator(by)
        before = self._existing(wish.name)
        start_at, end_at = _span(wish, before.start_at, turn.now, before)
        fresh = msgspec.structs.replace(before, start_at=start_at, end_at=end_at, **_said(wish))
        self._enter(turn, fresh, wish, before)

    def delete(self, name: str, by: Owner) -> None:
        """Keep nothing any more for a reservation."""
        self._admission.rights.check_operator(by)
        self._existing(name)
        if self._jobs_in(name):
            raise _refused("ESLURM_RESERVATION_BUSY", f"jobs run or wait in {name}")
        self._remove(self._ledger.queue.current, name)

    def advance(self, turn: Turn) -> None:
        """End those whose time is over, and what runs in them."""
        for each in [each for each in self._all.values() if each.end_at <= turn.now]:
            for job in self._jobs_in(each.name):
                if job.ending is None and self._admission.home_of(job) is each:
                    self.on_end(turn, job, JobState.TIMEOUT)
            following = each.after(turn.now)
            if following is None:
                self._remove(turn, each.name)
            else:
                self._put(turn, following)

    # Details.

    def _enter(
        self,
        turn: Turn,
        made: Reservation,
        wish: ReservationWish,
        before: Reservation | None = None,
    ) -> None:
        if wish.start_at is not None and wish.start_at < turn.now - _LATE_S:
            raise _refused("ESLURM_INVALID_TIME_VALUE", "it would have begun long ago")
        if not max(made.start_at, turn.now) < made.end_at < turn.now + _LONGEST_S:
            raise _refused(
                "ESLURM_INVALID_TIME_VALUE", "it would be over before it begins, or never"
            )
        if not (made.users or made.accounts or made.groups):
            raise _refused("ESLURM_RESERVATION_EMPTY", "it says for whom it is not")
        others = [each for each in self._all.values() if each is not before]
        if before is None or any(getattr(wish, name) is not None for name in _SIZES):
            made = self._with_parts(made, wish, others)
        self._check_room(made, others)
        if before is None and made.name in self._all:
            raise _refused("ESLURM_RESERVATION_NAME_DUP", f"there is a {made.name} already")
        self._put(turn, made)

    def _with_parts(
        self, made: Reservation, wish: ReservationWish, others: Sequence[Reservation]
    ) -> Reservation:
        busy = busy_nodes(made, others) | {part.node for part in self._held(made)}
        parts = parts_of(wish, self._candidates(made.partition), busy)
        flags = made.flags
        if wish.nodes is not None:
            extra = (SPECIFIC_NODES, ALL_NODES) if wish.nodes.upper() == ALL else (SPECIFIC_NODES,)
            flags = (*(flag for flag in flags if flag not in (SPECIFIC_NODES, ALL_NODES)), *extra)
        return msgspec.structs.replace(made, parts=parts, flags=flags)

    def _candidates(self, partition: str) -> Sequence[Node]:
        if not partition:
            return list(self._nodes.values())
        found = self._admission.partitions.get(partition)
        if found is None:
            raise _refused("ESLURM_INVALID_PARTITION_NAME", f"there is no partition {partition}")
        return [self._nodes[name] for name in found.nodes]

    def _check_room(self, made: Reservation, others: Sequence[Reservation]) -> None:
        """Refuse to keep what others keep, or what jobs hold that are in none of those."""
        beside = [
            each
            for each in others
            if not (made.may_overlap or each.may_overlap) and each.ever_meets(made)
        ]
        kept = [part for each in beside for part in each.parts]
        if collides(made.parts, kept, self._nodes):
            raise _refused("ESLURM_RESERVATION_OVERLAP", "another reservation keeps some of it")
        kept += self._held(made, beside)
        if IGNORE_JOBS not in made.flags and collides(made.parts, kept, self._nodes):
            raise _refused("ESLURM_NODES_BUSY", "jobs run there; IGNORE_JOBS lets them end")

    def _held(self, made: Reservation, beside: Sequence[Reservation] = ()) -> Sequence[Part]:
        """Return what jobs that are neither in it nor in those *beside* hold when it begins."""
        table = self._ledger.table
        return held_parts(
            shares
            for job_id, shares in self._ledger.tracker.holdings().items()
            if made.name not in table.jobs[job_id].spec.reservation.split(",")
            and self._over_at(table.jobs[job_id]) > made.start_at
            and self._admission.home_of(table.jobs[job_id]) not in beside
        )

    def _over_at(self, job: Job) -> float:
        """Return when a job has ended at the latest: by itself, or with its reservation."""
        home = self._admission.home_of(job)
        return min(ends_at(job), home.end_at if home is not None else FOREVER)

    def _jobs_in(self, name: str) -> list[Job]:
        """Return the jobs that run or wait in a reservation."""
        return [job for job in self._ledger.table if name in job.spec.reservation.split(",")]

    def _existing(self, name: str) -> Reservation:
        if name not in self._all:
            raise _refused("ESLURM_RESERVATION_INVALID", f"there is no reservation {name!r}")
        return self._all[name]

    def _free_name(self, wish: ReservationWish) -> str:
        names = [*(wish.accounts or ()), *(wish.users or ()), "resv"]
        stem = next(name.lstrip("-") for name in names)
        return next(name for number in count(1) if (name := f"{stem}_{number}") not in self._all)

    def _put(self, turn: Turn, reservation: Reservation) -> None:
        self._all[reservation.name] = reservation
        turn.writes.append(partial(self._store.save, reservation=reservation))
        self._look_at_waiting(turn, reservation.name)

    def _remove(self, turn: Turn, name: str) -> None:
        del self._all[name]
        turn.writes.append(partial(self._store.delete, name=name))
        self._look_at_waiting(turn, name)

    def _look_at_waiting(self, turn: Turn, name: str) -> None:
        """Decide anew who may wait for a reservation: it may be for others now."""
        for job in self._jobs_in(name):
            if is_waiting(job):
                self._ledger.refresh(turn, job)


def _span(
    wish: ReservationWish, start_at: float, now: float, before: Reservation | None = None
) -> tuple[float, float]:
    """Return from when until when it is to be; a duration counts from the start."""
    start_at = wish.start_at if wish.start_at is not None else start_at
    if wish.end_at is not None:
        return start_at, wish.end_at
    if wish.duration_s is not None:
        return start_at, start_at + wish.duration_s
    return start_at, before.end_at if before is not None else now


def _said(wish: ReservationWish) -> dict[str, object]:
    """Return what is said of a reservation's own fields."""
    return {name: said for name in _LISTS if (said := getattr(wish, name)) is not None}


def _refused(code: str, why: str) -> InvalidSpec:
    return InvalidSpec(f"cannot reserve that: {why}", code)
