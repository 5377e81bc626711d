"""What a reservation is: nodes, or a part of them, kept for some for a span of time.

A node is kept whole, with all of its memory and devices, or so many of its CPUs and devices. One
that repeats (``DAILY``, ``WEEKLY``) moves on when its time is over, by days of the machine's clock:
summer time does not change its hour. Times are epoch seconds.

Source: scontrol(1), "RESERVATIONS - SPECIFICATIONS FOR CREATE, UPDATE, AND DELETE COMMANDS".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from itertools import count
from math import floor, inf
from types import MappingProxyType
from typing import Final

import msgspec

from stoker.core.models import Owner
from stoker.core.units.zones import LOCAL_ZONE

DAY_S: Final = 86400.0
PERIODS_S: Final[Mapping[str, float]] = MappingProxyType(
    {"HOURLY": 3600.0, "DAILY": DAY_S, "WEEKLY": 7 * DAY_S}
)
"""Flags of reservations that come again, with their periods."""

MAINTENANCE: Final = "MAINT"
OVERLAP: Final = "OVERLAP"
IGNORE_JOBS: Final = "IGNORE_JOBS"
SPECIFIC_NODES: Final = "SPEC_NODES"
ALL_NODES: Final = "ALL_NODES"
FLAGS: Final = (
    *(MAINTENANCE, OVERLAP, IGNORE_JOBS, "HOURLY", "DAILY", "WEEKLY"),
    *(SPECIFIC_NODES, ALL_NODES),
)
"""The flags that are known, in the order in which Slurm lists them."""


class Part(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is kept of a node: all of it, or so many CPUs and devices."""

    node: str
    cpus: int
    gres: Mapping[str, int] = {}
    is_whole: bool = True


class Reservation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A reservation as it stands. Names with a minus before them are kept out."""

    name: str
    start_at: float
    end_at: float
    parts: tuple[Part, ...] = ()
    users: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    partition: str = ""
    flags: tuple[str, ...] = ()
    comment: str = ""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the names of its nodes, in the machine's order."""
        return tuple(part.node for part in self.parts)

    @property
    def cpus(self) -> int:
        """Return how many CPUs it keeps over all nodes."""
        return sum(part.cpus for part in self.parts)

    @property
    def is_maintenance(self) -> bool:
        """Whether its nodes are kept so that nothing need run on them."""
        return MAINTENANCE in self.flags

    @property
    def may_overlap(self) -> bool:
        """Whether it may keep what another reservation keeps."""
        return self.is_maintenance or OVERLAP in self.flags

    @property
    def period_s(self) -> float:
        """Return after how long it comes again; 0 if it does not."""
        return next((PERIODS_S[flag] for flag in self.flags if flag in PERIODS_S), 0.0)

    def is_active(self, now: float) -> bool:
        """Whether its time has come and is not over."""
        return self.start_at <= now < self.end_at

    def meets(self, start_at: float, end_at: float) -> bool:
        """Whether its time has a moment in common with a span."""
        return self.start_at < end_at and start_at < self.end_at

    def ever_meets(self, other: Reservation) -> bool:
        """Whether the two have a moment in common, at any of the times they come."""
        fast, slow = sorted((self, other), key=lambda each: each.period_s or inf)
        slow = slow.not_over_at(fast.start_at)
        fast = fast.not_over_at(slow.start_at)
        return fast.meets(slow.start_at, slow.end_at)

    def not_over_at(self, at: float) -> Reservation:
        """Return it as it comes for the first time that is not over then, if it does."""
        return self if at < self.end_at else self.after(at) or self

    def admits(self, owner: Owner, account: str) -> bool:
        """Whether somebody's jobs may run in it; who is kept out is, whatever else is said."""
        verdicts = (
            _verdict(self.users, owner.user_name, str(owner.user_id)),
            _verdict(self.groups, owner.group_name, str(owner.group_id)),
            _verdict(self.accounts, account),
        )
        return False not in verdicts and True in verdicts

    def after(self, now: float) -> Reservation | None:
        """Return what it becomes when its time is over: the next time it comes, or nothing."""
        if not self.period_s:
            return None
        # A day may have an hour more or less than others.
        times = next(
            times
            for times in count(max(1, floor((now - self.end_at) / self.period_s)))
            if self._later(self.end_at, times) > now
        )
        return msgspec.structs.replace(
            self,
            start_at=self._later(self.start_at, times),
            end_at=self._later(self.end_at, times),
        )

    def _later(self, at: float, times: int) -> float:
        by_s = times * self.period_s
        if self.period_s < DAY_S:
            return at + by_s
        return (datetime.fromtimestamp(at, LOCAL_ZONE) + timedelta(seconds=by_s)).timestamp()


def runs_in(
    names: str, nodes: Collection[str], began_at: float, there: Mapping[str, Reservation]
) -> Reservation | None:
    """Return in which of the reservations that it names a job runs that began on these nodes.

    Of several that is the one that keeps them and was active then; others may have become so since.
    """
    found = [each for name in names.split(",") if (each := there.get(name)) is not None]
    return max(
        found,
        key=lambda each: (set(nodes) <= set(each.nodes), each.is_active(began_at)),
        default=None,
    )


class ReservationWish(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a reservation; None where nothing is.

    ``nodes`` is a host list, or ``ALL``. Of ``cores``, over all nodes, and ``gres``, on each, so
    much is kept; of neither: whole nodes.
    """

    name: str = ""
    start_at: float | None = None
    end_at: float | None = None
    duration_s: float | None = None
    nodes: str | None = None
    node_count: int | None = None
    cores: int | None = None
    gres: tuple[tuple[str, int], ...] | None = None
    users: tuple[str, ...] | None = None
    accounts: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    partition: str | None = None
    flags: tuple[str, ...] | None = None
    comment: str | None = None


def _verdict(named: Collection[str], *words: str) -> bool | None:
    """Return whether a list lets somebody in; None if it has nothing to say."""
    if not named:
        return None
    if any(f"-{word}" in named for word in words):
        return False
    return any(word in named for word in words) or all(name.startswith("-") for name in named)
