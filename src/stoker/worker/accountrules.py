"""What the account book means for jobs: under what they run, and what is refused.

Which of it is enforced the setting ``accounting_storage_enforce`` says: ``associations`` refuses
jobs of those who are in no account, ``qos`` those of a quality that they may not ask for, and
``limits`` lets jobs wait, or refuses them, where they exceed a limit. Where nothing is enforced,
jobs get the account and the quality that the book has for them, and nothing else.

Source: slurm.conf(5), "AccountingStorageEnforce".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from stoker.core.accounts import NORMAL, Association, Book, Limits, Qos, Tres
from stoker.core.enums import Reason
from stoker.core.errors import InvalidSpec
from stoker.core.models import FOREVER, Job, JobSpec, NodeShare
from stoker.core.settings import Settings
from stoker.scheduling.quotas import Ceiling, Grip, Pool, Quotas, ceiling_reason, held
from stoker.scheduling.snapshot import Shape
from stoker.worker.submitcounts import SubmitCounts

_DENY: Final = "DenyOnLimit"
_IMPLIED: Final[Mapping[str, frozenset[str]]] = {
    "none": frozenset(),
    "associations": frozenset({"associations"}),
    "limits": frozenset({"associations", "limits"}),
    "qos": frozenset({"associations", "qos"}),
    "safe": frozenset({"associations", "limits"}),
    "all": frozenset({"associations", "limits", "qos"}),
}
"""What each word of the setting enforces."""

NO_GRIP: Final = (0, "")
"""Under what jobs run where no limits are enforced."""


def enforced_by(settings: Settings) -> frozenset[str]:
    """Return what is enforced: associations, limits, qos."""
    words = settings.accounting_storage_enforce.split(",")
    return frozenset().union(*(_IMPLIED[word] for word in words))


class AccountRules:
    """Judges jobs by the account book of the moment."""

    def __init__(self, settings: Settings, book: Callable[[], Book]) -> None:
        """Enforce what *settings* say of what is in *book*."""
        self._enforced = enforced_by(settings)
        self.is_strict: Final = bool(self._enforced)
        """Whether anything is enforced."""
        self.has_limits: Final = "limits" in self._enforced
        """Whether limits are enforced; asked for often."""
        self.book = book
        self._grips: dict[tuple[int, str], Grip] = {}
        self._grips_of: Book | None = None
        self.spent_mins: Callable[[int], float] = lambda _: 0.0
        """How many CPU minutes have been used under an association, faded with time."""
        self.counts: SubmitCounts | None = SubmitCounts() if self.has_limits else None

    # What comes in.

    def filled(self, spec: JobSpec, user: str, partition: str) -> JobSpec:
        """Return a specification with the account and the quality that the book has for it."""
        book = self.book()
        association = book.of_job(user, spec.account, partition)
        account = spec.account or (association.account if association is not None else "")
        default = book.default_qos_of(association) if association is not None else ""
        qos = spec.qos or ("" if default == NORMAL else default)
        if (account, qos) == (spec.account, spec.qos):
            return spec
        return msgspec.structs.replace(spec, account=account, qos=qos)

    def check(self, job: Job, shape: Shape) -> None:
        """Refuse a job that the book does not allow.

        Raises:
            InvalidSpec: Its user is not in its account, may not ask for its quality, or it exceeds
                a limit of a quality that refuses such jobs.
        """
        if not self._enforced:
            return
        association = self._association(job)
        if association is None:
            raise InvalidSpec(
                "Invalid account or account/partition combination specified",
                "ESLURM_INVALID_ACCOUNT",
            )
        if "qos" in self._enforced and not self._may_ask(association, job):
            raise InvalidSpec("Invalid qos specification", "ESLURM_INVALID_QOS")
        if self.has_limits:
            self._check_denials(association, job, shape)

    def wall_s(self, spec: JobSpec, user: str, partition: str) -> float | None:
        """Return how long a job may run: what its quality says, else its association; None: ever.

        Source: Slurm gives it to jobs that ask for no time.
        """
        if not self.has_limits:
            return None
        association = self.book().of_job(user, spec.account, partition)
        if association is None:
            return None
        grip = self._grip(association, self.book().qos.get(spec.qos or NORMAL))
        return next((each.wall_s for each in grip.ceilings if each.wall_s != FOREVER), None)

    def check_count(self, job: Job) -> None:
        """Refuse one more job, or an array's tasks, beyond a limit on jobs that wait or run.

        Raises:
            InvalidSpec: Names the limit.
        """
        if self.counts is None or (association := self._association(job)) is None:
            return
        new = len(job.array) if job.array is not None else 1
        for reason, most, there in self._counted(association, job):
            if there + new > most:
                raise InvalidSpec(reason, "ESLURM_ACCOUNTING_POLICY")

    def obstacle(self, job: Job) -> Reason | None:
        """Return why the book does not let a job that is in the queue start, if it does not."""
        if not self._enforced:
            return None
        association = self._association(job)
        if association is None:
            return Reason.INVALID_ACCOUNT
        is_allowed = "qos" not in self._enforced or self._may_ask(association, job)
        return None if is_allowed else Reason.INVALID_QOS

    def _association(self, job: Job) -> Association | None:
        return self.book().of_job(job.owner.user_name, job.spec.account, job.partition)

    def _may_ask(self, association: Association, job: Job) -> bool:
        return not job.spec.qos or job.spec.qos in self.book().qos_of(association)

    def _check_denials(self, association: Association, job: Job, shape: Shape) -> None:
        qos = self.book().qos.get(job.spec.qos or NORMAL)
        if qos is None or _DENY not in qos.flags:
            return
        if reason := ceiling_reason(self._grip(association, qos), shape):
            raise InvalidSpec(reason, "ESLURM_ACCOUNTING_POLICY")

    def _counted(self, association: Association, job: Job) -> Iterator[tuple[str, int, int]]:
        """Yield limits on how many jobs wait or run: their names, what they are, and how many."""
        counts = self.counts
        assert counts is not None, "jobs are counted where limits are enforced"
        book = self.book()
        name, account = job.spec.qos or NORMAL, association.account
        qos = book.qos.get(name)
        limits = qos.limits if qos is not None else Limits()
        if limits.grp_submit_jobs is not None:
            yield "QOSGrpSubmitJobsLimit", limits.grp_submit_jobs, counts.of(qos=name)
        if limits.max_submit_jobs_pa is not None:
            there = counts.of(qos=name, accounts={account})
            yield "MaxSubmitJobsPerAccount", limits.max_submit_jobs_pa, there
        if limits.max_submit_jobs_pu is not None:
            there = counts.of(qos=name, user=job.owner.user_name)
            yield "QOSMaxSubmitJobPerUserLimit", limits.max_submit_jobs_pu, there
        own = book.effective(association).max_submit_jobs
        if own is not None:
            there = counts.of(user=job.owner.user_name, accounts={account})
            yield "AssocMaxSubmitJobLimit", own, there
        for each in book.chain(association):
            if (most := each.limits.grp_submit_jobs) is not None:
                user = each.user or None
                below = {other.account for other in book.below(each.account) if not each.user}
                there = counts.of(user=user, accounts={each.account, *below})
                yield "AssocGrpSubmitJobsLimit", most, there

    # What runs.

    def grip_of(self, job: Job) -> tuple[int, str]:
        """Return under what a job runs, as its shape says it where limits are enforced."""
        association = self._association(job)
        if association is None:
            return NO_GRIP
        return association.id, job.spec.qos or NORMAL

    def quotas(
        self, running: Iterable[tuple[Shape, tuple[NodeShare, ...], float]]
    ) -> Quotas | None:
        """Return what limits leave beside running jobs, given with the time they have left.

        None where no limits are enforced.
        """
        if not self.has_limits:
            return None
        quotas = Quotas(_Grips(self))
        for shape, shares, for_s in running:
            quotas.take(shape.association, shape.qos, held(shares, for_s))
        return quotas

    def grip(self, association_id: int, qos_name: str) -> Grip | None:
        """Return the limits of jobs under an association and a quality of service."""
        book = self.book()
        if self._grips_of is not book:
            self._grips, self._grips_of = {}, book
        association = book.associations.get(association_id)
        if association is None:
            return None
        key = association_id, qos_name
        known = self._grips.get(key)
        if known is None:
            known = self._grip(association, book.qos.get(qos_name))
            if not any(pool.mins for pool in known.pools):  # What has been used goes on changing.
                self._grips[key] = known
        return known

    def _grip(self, association: Association, qos: Qos | None) -> Grip:
        book = self.book()
        effective = book.effective(association)
        ceilings = [_ceiling("assoc", effective)]
        pools = [Pool(("assoc", association.id), "assoc", effective.max_jobs)]
        pools += [
            msgspec.structs.replace(
                _group("assoc-group", ("assoc-group", each.id), each.limits),
                mins=each.limits.grp_tres_mins,
                spent_mins={"cpu": self.spent_mins(each.id)},
            )
            for each in book.chain(association)
        ]
        if qos is not None:
            ceilings.insert(0, _ceiling("qos", qos.limits))
            pools = [*_pools_of_qos(association, qos), *pools]
        return Grip(
            tuple(each for each in ceilings if each != Ceiling(each.reasons)),
            tuple(each for each in pools if _is_limited(each)),
        )


class _Grips(Mapping[tuple[int, str], Grip]):
    """The grips by association and quality, made when they are asked for."""

    def __init__(self, rules: AccountRules) -> None:
        self._rules = rules

    def __getitem__(self, key: tuple[int, str]) -> Grip:
        grip = self._rules.grip(*key)
        if grip is None:
            raise KeyError(key)
        return grip

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _pools_of_qos(association: Association, qos: Qos) -> list[Pool]:
    limits = qos.limits
    return [
        _group("qos-group", ("qos", qos.name), limits),
        Pool(
            ("qos-account", qos.name, association.account),
            "qos-account",
            limits.max_jobs_pa,
            limits.max_tres_pa,
            limits.max_tres_run_mins_pa,
        ),
        Pool(
            ("qos-user", qos.name, association.user),
            "qos-user",
            limits.max_jobs_pu,
            limits.max_tres_pu,
            limits.max_tres_run_mins_pu,
        ),
    ]


def _group(reasons: str, key: tuple[str, int | str], limits: Limits) -> Pool:
    return Pool(key, reasons, limits.grp_jobs, limits.grp_tres, limits.grp_tres_run_mins)


def _ceiling(reasons: str, limits: Limits) -> Ceiling:
    least: Tres = limits.min_tres if reasons == "qos" else {}
    return Ceiling(
        reasons,
        amounts=limits.max_tres,
        per_node=limits.max_tres_per_node,
        mins=limits.max_tres_mins,
        least=least,
        wall_s=FOREVER if limits.max_wall is None else 60.0 * limits.max_wall,
    )


def _is_limited(pool: Pool) -> bool:
    return pool.jobs is not None or bool(pool.amounts or pool.run_mins or pool.mins)
