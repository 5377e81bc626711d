"""Which job goes first: what the settings count, and how those who submit stand.

Priorities are worked out anew once in a period, as in Slurm; in between, a new job gets one by what
was known at the last time. Not thread-safe: whoever uses it holds the queue's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Final

from stoker.core.accounts import NORMAL, Association, Book
from stoker.core.models import Job
from stoker.core.settings import Settings
from stoker.scheduling.fairshare import Standing
from stoker.scheduling.policy import Order, Policy, by_submission
from stoker.scheduling.priority import (
    Asked,
    Factors,
    Weights,
    age_factor,
    job_size_factor,
    rank,
    share_of_largest,
    tres_factors,
)
from stoker.worker.admission import PRIORITY_START, Admission

_NO_STANDINGS: Final[Mapping[int, Standing]] = {}


class Priorities:
    """Gives jobs their priorities and their places in the order."""

    def __init__(self, admission: Admission, book: Callable[[], Book]) -> None:
        """Judge by *admission*'s machine and settings, and by the account book of the moment."""
        settings = admission.settings
        self.is_multifactor = settings.priority_type == "multifactor"
        self.weights = weights_of(settings, admission)
        self.standings: Mapping[int, Standing] = _NO_STANDINGS
        """By association, as of the last time; who is new has none yet."""
        self.at = 0.0
        """When priorities were last worked out; 0: never, as under basic."""
        self.book = book
        self._admission = admission
        self._largest_of: tuple[Book, int, int] | None = None

    @property
    def policy(self) -> Policy:
        """Return what places waiting jobs in order."""
        return self.order if self.is_multifactor else by_submission

    def take(self, standings: Mapping[int, Standing], at: float) -> None:
        """Judge from now on by how associations stood at a time."""
        self.standings, self.at = standings, at

    def spent_mins(self, association_id: int) -> float:
        """Return the CPU minutes used under an association, faded, as of the last time."""
        standing = self.standings.get(association_id)
        return standing.usage / 60 if standing is not None else 0.0

    def first(self, job: Job) -> int:
        """Return the priority of a job that has just come in."""
        if job.spec.priority is not None:
            return job.spec.priority
        if not self.is_multifactor:
            return max(1, PRIORITY_START - job.job_id - job.nice)
        return self.now_of(job)

    def now_of(self, job: Job) -> int:
        """Return what the job's priority is now, under multifactor."""
        if job.spec.priority is not None:
            return job.priority
        return int(self.factors(job, job.partition).weighted(self.weights).priority())

    def order(self, job: Job) -> Order:
        """Return a waiting job's place under multifactor: by priority, then by id and task."""
        if job.spec.priority is not None:
            return self._place(job, float(job.priority), self.at)
        return self._of_factors(job)[1]

    def renew(self, job: Job) -> Order:
        """Give a waiting job the priority that it has now; return its place."""
        if job.spec.priority is not None:
            return self.order(job)
        job.priority, place = self._of_factors(job)
        return place

    def _of_factors(self, job: Job) -> tuple[int, Order]:
        """Return the priority that the factors add up to, and the place that goes with it."""
        points = self.factors(job, job.partition).weighted(self.weights)
        priority, own = points.priority(), points.sum() - points.nice
        ageless = max(1.0, own - points.age)
        return int(priority), self._place(job, ageless, job.eligible_at or self.at)

    def _place(self, job: Job, points: float, since: float) -> Order:
        return (-rank(points, since, self.at, self.weights), *by_submission(job)[1:])

    def factors(self, job: Job, partition: str) -> Factors:
        """Return the factors of a job, as if it waited in *partition*."""
        asked, there = self._asked(job), self._there
        association = self._association(job)
        standing = self.standings.get(association.id) if association is not None else None
        return Factors(
            age=age_factor(job.eligible_at, self.at, self.weights),
            assoc=self._assoc_factor(association),
            fairshare=standing.fair_share if standing is not None else 0.0,
            job_size=job_size_factor(asked, there, favors_small=self.weights.favors_small),
            partition=self._partition_factor(partition),
            qos=self._qos_factor(job, association),
            tres=tres_factors(asked, there, self.weights),
            nice=job.nice,
        )

    def _asked(self, job: Job) -> Asked:
        cpus, nodes = job.spec.cpus, job.spec.min_nodes or 1
        if not self.weights.tres:
            return Asked(cpus, nodes)
        shape = self._admission.shape(job)
        per_cpu, per_node = shape.memory_per_cpu_mib, shape.memory_per_node_mib
        tres = {
            "cpu": cpus,
            "mem": (per_cpu or 0) * cpus or (per_node or 0) * nodes,
            "node": nodes,
            "billing": cpus,
        }
        return Asked(cpus, nodes, tres | {f"gres/{name}": n * nodes for name, n in shape.gres})

    @cached_property
    def _there(self) -> Asked:
        machine = self._admission.machine
        gres: dict[str, int] = {}
        for node in machine.nodes:
            for name, count in node.gres.items():
                gres[f"gres/{name}"] = gres.get(f"gres/{name}", 0) + count
        cpus, nodes = machine.cpus, len(machine.nodes)
        tres = {"cpu": cpus, "mem": machine.memory_mib, "node": nodes, "billing": cpus}
        return Asked(cpus, nodes, tres | gres)

    def _association(self, job: Job) -> Association | None:
        return self.book().of_job(job.owner.user_name, job.spec.account, job.partition)

    def _assoc_factor(self, association: Association | None) -> float:
        own = association.priority if association is not None else None
        return share_of_largest(own or 0, self._largest()[0])

    def _partition_factor(self, name: str) -> float:
        partitions = self._admission.partitions
        largest = max(each.priority_job_factor for each in partitions.values())
        own = partitions.get(name)
        return share_of_largest(own.priority_job_factor if own is not None else 0, largest)

    def _qos_factor(self, job: Job, association: Association | None) -> float:
        book = self.book()
        default = book.default_qos_of(association) if association is not None else ""
        quality = book.qos.get(job.spec.qos or default or NORMAL)
        return share_of_largest(quality.priority if quality is not None else 0, self._largest()[1])

    def _largest(self) -> tuple[int, int]:
        """Return the highest priority of an association, and that of a quality of service."""
        book = self.book()
        if self._largest_of is None or self._largest_of[0] is not book:
            of_associations = max(
                (each.priority or 0 for each in book.associations.values()), default=0
            )
            of_qos = max((each.priority for each in book.qos.values()), default=0)
            self._largest_of = (book, of_associations, of_qos)
        return self._largest_of[1:]


def weights_of(settings: Settings, admission: Admission) -> Weights:
    """Return the weights that the settings say."""
    times = admission.machine.priority_times
    return Weights(
        age=settings.priority_weight_age,
        assoc=settings.priority_weight_assoc,
        fairshare=settings.priority_weight_fairshare,
        job_size=settings.priority_weight_job_size,
        partition=settings.priority_weight_partition,
        qos=settings.priority_weight_qos,
        tres=times.tres_weights,
        max_age_s=times.max_age_s,
        favors_small=settings.priority_favor_small,
    )
