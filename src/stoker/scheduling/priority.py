"""Of what a priority is made: factors between 0 and 1, each times its weight. Pure.

All jobs age at the same pace until they are as old as age counts. So an order need not be worked
out anew as time passes: `rank` is a priority with the age of all taken off, and stays what it is
until a job is that old.

Source: Slurm's priority/multifactor plugin, as "Multifactor Priority Plugin" describes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

PRIORITY_MAX: Final = 4_294_967_295
_RANK_SCALE: Final = 1000


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """What each factor counts; by resource in ``tres``, which counts what is asked of it."""

    age: int = 0
    assoc: int = 0
    fairshare: int = 0
    job_size: int = 0
    partition: int = 0
    qos: int = 0
    tres: Mapping[str, int] = {}
    max_age_s: float = 7 * 86400.0
    favors_small: bool = False


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """A job's factors, each between 0 and 1; or, weighted, what each adds to its priority."""

    age: float = 0.0
    assoc: float = 0.0
    fairshare: float = 0.0
    job_size: float = 0.0
    partition: float = 0.0
    qos: float = 0.0
    tres: Mapping[str, float] = {}
    nice: int = 0

    def weighted(self, weights: Weights) -> Factors:
        """Return what each factor adds to the priority."""
        return Factors(
            age=self.age * weights.age,
            assoc=self.assoc * weights.assoc,
            fairshare=self.fairshare * weights.fairshare,
            job_size=self.job_size * weights.job_size,
            partition=self.partition * weights.partition,
            qos=self.qos * weights.qos,
            tres={name: self.tres.get(name, 0.0) * each for name, each in weights.tres.items()},
            nice=self.nice,
        )

    def sum(self) -> float:
        """Return what the factors add up to."""
        found = self.age + self.assoc + self.fairshare + self.job_size + self.partition + self.qos
        return found + sum(self.tres.values())

    def priority(self) -> float:
        """Return the priority that weighted factors make: at least 1, since 0 is a hold."""
        return min(max(1.0, self.sum() - self.nice), PRIORITY_MAX)


class Asked(msgspec.Struct, frozen=True):
    """What a job asks for, or what there is: CPUs, nodes, and each resource by name."""

    cpus: int
    nodes: int
    tres: Mapping[str, int] = {}


def age_factor(eligible_at: float, now: float, weights: Weights) -> float:
    """Return how much of the age that counts a job has waited."""
    if not eligible_at:
        return 0.0
    return min(1.0, max(0.0, now - eligible_at) / (weights.max_age_s or 1.0))


def job_size_factor(asked: Asked, there: Asked, *, favors_small: bool = False) -> float:
    """Return how much of the nodes and CPUs that are *there* a job asks for, or leaves."""
    share = min(1.0, max(0.0, (asked.nodes / there.nodes + asked.cpus / there.cpus) / 2))
    return 1.0 - share if favors_small else share


def tres_factors(asked: Asked, there: Asked, weights: Weights) -> Mapping[str, float]:
    """Return how much of each weighted resource a job asks for."""
    return {
        name: min(1.0, asked.tres.get(name, 0) / there.tres[name]) if there.tres.get(name) else 0.0
        for name in weights.tres
    }


def share_of_largest(value: int, largest: int) -> float:
    """Return a partition's, association's or quality's priority as a part of the largest one."""
    return value / largest if largest > 0 else 0.0


def rank(points: float, eligible_at: float, now: float, weights: Weights) -> int:
    """Return a number by which jobs are ordered as by their priorities, whatever the time.

    Args:
        points: The priority but for the age.
        eligible_at: Since when the job ages; *now* if it does not.
        now: It counts only for jobs that are as old as age counts, or do not age.
        weights: What age counts, and for how long.
    """
    max_age_s = weights.max_age_s or 1.0
    since = max(eligible_at, now - max_age_s)
    return round(_RANK_SCALE * (points - weights.age * since / max_age_s))
