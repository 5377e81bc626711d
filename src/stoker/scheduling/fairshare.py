"""Fair shares: who has used less than was promised goes first. Pure.

Each association has shares among its siblings, and use that fades. Its level is the share that it
was promised over the one that it took; siblings are ranked by that, and all users of a better
ranked account stand before those of a worse one. A user's fair share is the place in that order.

Source: Slurm's "Fair Tree Fairshare Algorithm" (Cox and Morrison 2014); ties are its rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import msgspec

from stoker.core.accounts import PARENT_SHARES, ROOT, Association, Book

INFINITE: Final = math.inf


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How an association stands.

    ``norm_shares`` and ``effective_usage`` are what it was promised and what it took of its
    siblings' sum, ``norm_usage`` what it took of all; ``level`` is the first over the second.
    ``fair_share`` is the factor, of users only.
    """

    usage: float
    norm_shares: float
    norm_usage: float
    effective_usage: float
    level: float
    fair_share: float = 0.0


class Spent(msgspec.Struct, frozen=True):
    """What a run of a job has used under an association, in CPU seconds, up to a time."""

    association_id: int
    cpu_s: float
    at: float


def faded(amount: float, passed_s: float, half_life_s: float) -> float:
    """Return what is left of an amount after some time; with a half-life of 0 all of it."""
    return amount * 0.5 ** (passed_s / half_life_s) if half_life_s > 0 else amount


def usage_after(
    usage: Mapping[int, float],
    passed_s: float,
    spent: Iterable[Spent],
    now: float,
    half_life_s: float,
) -> dict[int, float]:
    """Return the use by association after *passed_s*: what was there has faded, more has come."""
    found = {key: faded(amount, passed_s, half_life_s) for key, amount in usage.items()}
    for each in spent:
        more = faded(each.cpu_s, max(0.0, now - each.at), half_life_s)
        found[each.association_id] = found.get(each.association_id, 0.0) + more
    return {key: amount for key, amount in found.items() if amount >= 0.5}


def sums(book: Book, usage: Mapping[int, float]) -> dict[int, float]:
    """Return the use of each association with all below it."""
    found = dict.fromkeys(book.associations, 0.0)
    for key, amount in usage.items():
        association = book.associations.get(key)
        for each in book.chain(association) if association is not None else ():
            found[each.id] += amount
    return found


def norm_shares(book: Book, association: Association) -> float:
    """Return what part of its siblings' shares the association has; of root's, nothing."""
    parent = book.parent(association)
    if parent is None or association.shares == PARENT_SHARES:
        return 0.0
    level = sum(
        each.shares for each in book.children(parent.account) if each.shares != PARENT_SHARES
    )
    return association.shares / level if level else 0.0


def fair_tree(book: Book, usage: Mapping[int, float]) -> dict[int, Standing]:
    """Return how each association stands, by id."""
    used = sums(book, usage)
    standings = {each.id: _standing(book, each, used) for each in book.associations.values()}
    ranking = _Ranking(book, standings)
    ranking.rank(book.children(ROOT), is_tied=False)
    return standings


def _standing(book: Book, own: Association, used: Mapping[int, float]) -> Standing:
    parent = book.parent(own)
    above = used[parent.id] if parent is not None else used[own.id]
    root = book.association(ROOT)
    whole = used[root.id] if root is not None else 0.0
    taken = used[own.id] / above if above else 0.0
    promised = norm_shares(book, own)
    return Standing(
        usage=used[own.id],
        norm_shares=promised,
        norm_usage=used[own.id] / whole if whole else 0.0,
        effective_usage=taken,
        level=_level(own, promised, taken),
    )


def _level(own: Association, promised: float, taken: float) -> float:
    if own.shares == PARENT_SHARES:
        return INFINITE
    if not promised:
        return 0.0
    return promised / taken if taken else INFINITE


class _Ranking:
    """Walks through the tree from the best placed to the worst and gives users their factors."""

    def __init__(self, book: Book, standings: dict[int, Standing]) -> None:
        self._book = book
        self._standings = standings
        self._users = sum(bool(each.user) for each in book.associations.values())
        self._place = self._rank = self._users

    def rank(self, siblings: Sequence[Association], *, is_tied: bool) -> None:
        """Rank siblings, those of equal level alike; *is_tied*: the first with who came before."""
        ordered = sorted(siblings, key=lambda each: (-self._level(each), not each.user))
        for number, (_, group) in enumerate(groupby(ordered, key=self._level)):
            self._rank_equals(list(group), is_tied=is_tied and number == 0)

    def _rank_equals(self, equals: Sequence[Association], *, is_tied: bool) -> None:
        """Rank those of one level: users first, then what is below the accounts as one."""
        users = [each for each in equals if each.user]
        accounts = [each.account for each in equals if not each.user]
        for each in users:
            if not is_tied:
                self._rank = self._place
            is_tied = True
            self._place -= 1
            self._give(each.id, self._rank / self._users)
        below = [each for account in accounts for each in self._book.children(account)]
        if below:
            self.rank(below, is_tied=is_tied)

    def _level(self, each: Association) -> float:
        return self._standings[each.id].level

    def _give(self, key: int, factor: float) -> None:
        self._standings[key] = msgspec.structs.replace(self._standings[key], fair_share=factor)


def last_reset(period: str, now: datetime) -> datetime | None:
    """Return when use was last forgotten under PriorityUsageResetPeriod; None: never."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "DAILY":
            return midnight
        case "WEEKLY":
            return midnight - timedelta(days=(midnight.weekday() + 1) % 7)
        case "MONTHLY":
            return midnight.replace(day=1)
        case "QUARTERLY":
            return midnight.replace(month=midnight.month - (midnight.month - 1) % 3, day=1)
        case "YEARLY":
            return midnight.replace(month=1, day=1)
    return None
