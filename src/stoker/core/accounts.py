"""The account book: who may use the machine for whom, how much of it, and with which quality.

An association joins an account with a user (or stands for the account itself) and carries shares
and limits; accounts form a tree under ``root``. A `Book` is never changed: `Book.after` gives the
next one, so whoever holds one may read it outside a turn. Limits of a user that are not set are
those of the account, or of the account above it; group limits hold for all below them together.

Memory is MiB, wall clock limits are minutes, as Slurm keeps them. A value of None is no limit.

Source: sacctmgr(1) of Slurm 22.05, "GENERAL SPECIFICATIONS FOR ASSOCIATION BASED ENTITIES".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, TypeAlias

import msgspec

ROOT: Final = "root"
"""The account above all others, and the user who is always in it."""

NORMAL: Final = "normal"
"""The quality of service that jobs have when nobody says another."""

PARENT_SHARES: Final = 2_147_483_647
"""``Fairshare=parent``: the user's jobs count as the account's own."""

Tres: TypeAlias = Mapping[str, int]
"""Amounts by resource: ``cpu``, ``mem``, ``node``, ``gres/gpu``."""


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What jobs may take. ``grp``: all of the association's together; ``max``: see each.

    ``max_jobs``, ``max_jobs_accrue`` and ``max_submit_jobs`` are an association's own; ``pu`` and
    ``pa`` are those of a quality of service for each user and each account; the other ``max`` and
    ``min`` are for each job.
    """

    grp_jobs: int | None = None
    grp_jobs_accrue: int | None = None
    grp_submit_jobs: int | None = None
    grp_wall: int | None = None
    grp_tres: Tres = {}
    grp_tres_mins: Tres = {}
    grp_tres_run_mins: Tres = {}
    max_jobs: int | None = None
    max_jobs_accrue: int | None = None
    max_submit_jobs: int | None = None
    max_wall: int | None = None
    max_tres: Tres = {}
    max_tres_per_node: Tres = {}
    max_tres_mins: Tres = {}
    min_prio_threshold: int | None = None
    max_jobs_pu: int | None = None
    max_jobs_accrue_pu: int | None = None
    max_submit_jobs_pu: int | None = None
    max_tres_pu: Tres = {}
    max_tres_run_mins_pu: Tres = {}
    max_jobs_pa: int | None = None
    max_jobs_accrue_pa: int | None = None
    max_submit_jobs_pa: int | None = None
    max_tres_pa: Tres = {}
    max_tres_run_mins_pa: Tres = {}
    min_tres: Tres = {}


NO_LIMITS: Final = Limits()

INHERITED: Final = (
    *("max_jobs", "max_jobs_accrue", "max_submit_jobs", "max_wall"),
    *("max_tres", "max_tres_per_node", "max_tres_mins", "min_prio_threshold"),
)
"""Limits that hold for everyone below who has none of their own."""


class Account(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom use is counted for. ``coordinators`` are users who may change what is below it."""

    name: str
    description: str = ""
    organization: str = ""
    coordinators: tuple[str, ...] = ()


class User(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody who may submit; ``admin_level`` is None, Operator or Administrator."""

    name: str
    admin_level: str = "None"
    default_wckey: str = ""


class Association(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An account, or with ``user`` a user in it, maybe in one partition only.

    ``parent`` is the account above, of accounts only. ``qos`` are the qualities that its jobs may
    ask for, () for those of the account above with ``delta_qos`` (``+high``, ``-low``) applied.
    ``batch`` is the number of the request that put it where it stands: newer ones stand further
    left in the tree's numbering. ``is_default``: the account of the user's jobs that name none.
    """

    id: int
    account: str
    user: str = ""
    partition: str = ""
    parent: str = ""
    batch: int = 0
    shares: int = 1
    priority: int | None = None
    is_default: bool = False
    qos: tuple[str, ...] = ()
    delta_qos: tuple[str, ...] = ()
    default_qos: str = ""
    limits: Limits = NO_LIMITS

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what there is only one of."""
        return (self.account, self.user, self.partition)


class Qos(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A quality of service: what jobs may ask for with ``--qos``."""

    id: int
    name: str
    description: str = ""
    priority: int = 0
    flags: tuple[str, ...] = ()
    grace_s: int = 0
    preempt: tuple[str, ...] = ()
    preempt_mode: str = "cluster"
    preempt_exempt_s: int | None = None
    usage_factor: float = 1.0
    usage_threshold: float | None = None
    limit_factor: float | None = None
    limits: Limits = NO_LIMITS


Entry: TypeAlias = Account | User | Association | Qos
"""What a book consists of."""


class Transaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A change of the book: when, what, by whom, to what; ``about`` are the names it concerns."""

    at: float
    action: str
    actor: str
    where: str
    info: str
    accounts: tuple[str, ...] = ()
    users: tuple[str, ...] = ()


class BookChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a request makes of a book: entries to drop, then to put in; and the next ids."""

    drops: tuple[Entry, ...] = ()
    puts: tuple[Entry, ...] = ()
    transactions: tuple[Transaction, ...] = ()
    next_association_id: int = 0
    next_qos_id: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing but, maybe, the ids to be given next."""
        return not (self.drops or self.puts)


class Book(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All that is in the account book at a time."""

    accounts: Mapping[str, Account]
    users: Mapping[str, User]
    associations: Mapping[int, Association]
    qos: Mapping[str, Qos]
    next_association_id: int
    next_qos_id: int

    @classmethod
    def of(cls, entries: Sequence[Entry], next_association_id: int, next_qos_id: int) -> Book:
        """Return the book of these entries."""
        return cls(
            accounts={each.name: each for each in entries if isinstance(each, Account)},
            users={each.name: each for each in entries if isinstance(each, User)},
            associations={each.id: each for each in entries if isinstance(each, Association)},
            qos={each.name: each for each in entries if isinstance(each, Qos)},
            next_association_id=next_association_id,
            next_qos_id=next_qos_id,
        )

    def after(self, change: BookChange) -> Book:
        """Return the book with a change made."""
        # Copied whole, not entry by entry: a request may make thousands of changes one by one.
        accounts, users = {**self.accounts}, {**self.users}
        associations, qos = {**self.associations}, {**self.qos}
        places: Mapping[type, dict[Any, Any]] = {
            Account: accounts,
            User: users,
            Association: associations,
            Qos: qos,
        }
        for each in change.drops:
            places[type(each)].pop(_name_of(each), None)
        for each in change.puts:
            places[type(each)][_name_of(each)] = each
        return Book(
            accounts=accounts,
            users=users,
            associations=associations,
            qos=qos,
            next_association_id=max(self.next_association_id, change.next_association_id),
            next_qos_id=max(self.next_qos_id, change.next_qos_id),
        )

    def __iter__(self) -> Iterator[Entry]:
        yield from self.accounts.values()
        yield from self.users.values()
        yield from self.associations.values()
        yield from self.qos.values()

    # Finding.

    @cached_property
    def _by_key(self) -> Mapping[tuple[str, str, str], Association]:
        return {each.key: each for each in self.associations.values()}

    @cached_property
    def _children(self) -> Mapping[str, Sequence[Association]]:
        found: dict[str, list[Association]] = {}
        for each in self.associations.values():
            above = each.account if each.user else each.parent
            found.setdefault(above, []).append(each)
        for below in found.values():
            below.sort(key=lambda each: (-each.batch, each.id))
        return found

    def association(self, account: str, user: str = "", partition: str = "") -> Association | None:
        """Return the association of exactly these."""
        return self._by_key.get((account, user, partition))

    def of_job(self, user: str, account: str, partition: str) -> Association | None:
        """Return what a user's job runs under: that of the partition, else the one for all.

        An *account* of "" is the user's default.
        """
        account = account or self.default_account(user)
        return self.association(account, user, partition) or self.association(account, user)

    def default_account(self, user: str) -> str:
        """Return the account of a user's jobs that name none; "" if there is none."""
        default = self._defaults.get(user)
        return default.account if default is not None else ""

    @cached_property
    def _defaults(self) -> Mapping[str, Association]:
        found = {each.user: each for each in self.associations.values() if each.is_default}
        found.pop("", None)
        return found

    def children(self, account: str) -> Sequence[Association]:
        """Return users and accounts directly below an account, from left to right."""
        return self._children.get(account, ())

    def parent(self, association: Association) -> Association | None:
        """Return the association above; None of root's."""
        above = association.account if association.user else association.parent
        return self.association(above) if above else None

    def chain(self, association: Association) -> Iterator[Association]:
        """Yield the association and all above it, up to root's."""
        each: Association | None = association
        while each is not None:
            yield each
            each = self.parent(each)

    def is_coordinator(self, user: str, account: str) -> bool:
        """Whether a user coordinates an account, or one above it."""
        own = self.association(account)
        above = self.chain(own) if own is not None else ()
        return any(
            user in self.accounts[each.account].coordinators
            for each in above
            if each.account in self.accounts
        )

    def below(self, account: str) -> Iterator[Association]:
        """Yield everything below an account, from left to right, each before what is under it."""
        for each in self.children(account):
            yield each
            if not each.user:
                yield from self.below(each.account)

    def tree(self, account: str = ROOT) -> Iterator[tuple[int, Association]]:
        """Yield depth and association from an account on, as lists show them.

        Users come before accounts, both by name.
        """
        own = self.association(account)
        if own is not None:
            yield from self._branch(0, own)

    def _branch(self, depth: int, association: Association) -> Iterator[tuple[int, Association]]:
        yield depth, association
        if association.user:
            return
        below = self.children(association.account)
        shown = sorted(below, key=lambda each: (not each.user, *each.key))
        for each in shown:
            yield from self._branch(depth + 1, each)

    @cached_property
    def numbering(self) -> Mapping[int, tuple[int, int]]:
        """Return, by id, the left and right number of each association: a nested set."""
        numbers: dict[int, tuple[int, int]] = {}
        own = self.association(ROOT)
        if own is not None:
            self._number(own, 1, numbers)
        return numbers

    def _number(self, own: Association, left: int, numbers: dict[int, tuple[int, int]]) -> int:
        right = left + 1
        for each in self.children(own.account) if not own.user else ():
            right = self._number(each, right, numbers) + 1
        numbers[own.id] = (left, right)
        return right

    # What holds for an association, by itself or from above.

    def effective(self, association: Association) -> Limits:
        """Return the limits with those that come from above filled in."""
        found: dict[str, object] = {}
        for each in self.chain(association):
            for name in INHERITED:
                value = getattr(each.limits, name)
                if isinstance(value, Mapping):
                    found[name] = {**value, **found.get(name, {})}  # type: ignore[dict-item]
                elif found.get(name) is None:
                    found[name] = value
        return msgspec.structs.replace(association.limits, **found)

    def qos_of(self, association: Association) -> tuple[str, ...]:
        """Return the names of the qualities that its jobs may ask for, sorted."""
        changes: list[tuple[str, ...]] = []
        names: set[str] = set()
        for each in self.chain(association):
            if each.qos:
                names = set(each.qos)
                break
            changes.append(each.delta_qos)
        for change in reversed(changes):
            names |= {word[1:] for word in change if word.startswith("+")}
            names -= {word[1:] for word in change if word.startswith("-")}
        return tuple(sorted(names & self.qos.keys()))

    def default_qos_of(self, association: Association) -> str:
        """Return the quality of jobs that ask for none; "" if nothing says."""
        return next((each.default_qos for each in self.chain(association) if each.default_qos), "")


def key_of(entry: Entry) -> tuple[str, str]:
    """Return the kind and the name under which an entry is kept."""
    return type(entry).__name__.lower(), str(_name_of(entry))


def _name_of(entry: Entry) -> int | str:
    return entry.id if isinstance(entry, Association) else entry.name


def first_book() -> Book:
    """Return the book of a machine on which nobody has changed it: root and normal."""
    entries: tuple[Entry, ...] = (
        Account(ROOT, "default root account", ROOT),
        User(ROOT, "Administrator"),
        Association(id=1, account=ROOT, batch=1, qos=(NORMAL,)),
        Association(id=2, account=ROOT, user=ROOT, batch=2, is_default=True),
        Qos(id=1, name=NORMAL, description="Normal QOS default"),
    )
    return Book.of(entries, next_association_id=3, next_qos_id=2)
