"""What jobs may take by the account book, and why they wait for it: limits, pure.

A job has a `Grip`: the association and the quality of service under which it runs. A grip says what
each of its jobs may ask for at most, and of which *pools* they take: an association's, a quality's,
a user's of that quality. A pool has limits, and what running jobs take of it counts against them.
Jobs of one shape have one grip, so that one look answers for all of them.

Source: sacctmgr(1), the limits; squeue(1), "JOB REASON CODES".
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from stoker.core.models import FOREVER, NodeShare
from stoker.scheduling.snapshot import Shape

Amounts = Mapping[str, float]
"""By resource: cpu, mem (MiB), node, billing, gres/gpu."""


class Pool(msgspec.Struct, frozen=True):
    """Limits that jobs share. ``reasons`` is a family of `REASONS`; None and empty are no limit.

    ``run_mins`` limits what running jobs can still use, in minutes of a resource; ``mins`` what
    has been used, which ``spent_mins`` says.
    """

    key: Hashable
    reasons: str
    jobs: int | None = None
    amounts: Amounts = {}
    run_mins: Amounts = {}
    mins: Amounts = {}
    spent_mins: Amounts = {}


class Ceiling(msgspec.Struct, frozen=True):
    """What each job may ask for: limits of one association or quality of service."""

    reasons: str
    amounts: Amounts = {}
    per_node: Amounts = {}
    mins: Amounts = {}
    least: Amounts = {}
    wall_s: float = FOREVER


class Grip(msgspec.Struct, frozen=True):
    """Under what jobs of a kind run; what comes first is looked at first."""

    ceilings: tuple[Ceiling, ...] = ()
    pools: tuple[Pool, ...] = ()


class Taken(NamedTuple):
    """What a job takes, or would take: by resource, and for how long at most (seconds)."""

    amounts: Amounts
    for_s: float


REASONS: Final[Mapping[str, Mapping[str, str]]] = {
    "assoc": {
        "jobs": "AssocMaxJobsLimit",
        "wall": "AssocMaxWallDurationPerJobLimit",
        "job": "AssocMax{}PerJobLimit",
        "node": "AssocMax{}PerNode",
        "job_mins": "AssocMax{}MinutesPerJobLimit",
    },
    "assoc-group": {
        "jobs": "AssocGrpJobsLimit",
        "amounts": "AssocGrp{}Limit",
        "run_mins": "AssocGrp{}RunMinutesLimit",
        "mins": "AssocGrp{}MinutesLimit",
    },
    "qos": {
        "wall": "QOSMaxWallDurationPerJobLimit",
        "job": "QOSMax{}PerJobLimit",
        "node": "QOSMax{}PerNode",
        "job_mins": "QOSMax{}MinutesPerJobLimit",
        "least": "QOSMin{}NotSatisfied",
    },
    "qos-group": {
        "jobs": "QOSGrpJobsLimit",
        "amounts": "QOSGrp{}Limit",
        "run_mins": "QOSGrp{}RunMinutesLimit",
    },
    "qos-user": {
        "jobs": "QOSMaxJobsPerUserLimit",
        "amounts": "QOSMax{}PerUserLimit",
        "run_mins": "QOSMax{}RunMinutesPerUser",
    },
    "qos-account": {
        "jobs": "MaxJobsPerAccount",
        "amounts": "Max{}PerAccount",
        "run_mins": "Max{}RunMinutesPerAccount",
    },
}
"""How squeue calls each limit; the braces stand for the resource."""

_NAMES: Final = {"cpu": "Cpu", "mem": "Mem", "node": "Node", "billing": "Billing"}
_ODD: Final = {
    "AssocGrpCpuMinutesLimit": "AssocGrpCPUMinutesLimit",
    "AssocGrpCpuRunMinutesLimit": "AssocGrpCPURunMinutesLimit",
    "AssocMaxMemPerJobLimit": "AssocMaxMemPerJob",
    "QOSGrpCpuRunMinutesLimit": "QOSGrpCPURunMinutesLimit",
    "QOSMaxMemPerJobLimit": "QOSMaxMemoryPerJob",
    "QOSMaxMemPerNode": "QOSMaxMemoryPerNode",
    "QOSMaxMemPerUserLimit": "QOSMaxMemoryPerUser",
    "QOSMinMemNotSatisfied": "QOSMinMemory",
}
"""Where Slurm's names do not follow their own pattern."""


def _reason(family: str, kind: str, resource: str = "") -> str:
    pattern = REASONS[family][kind]
    if resource.startswith("gres/"):
        return pattern.format("GRES").removesuffix("Limit").removesuffix("NotSatisfied")
    found = pattern.format(_NAMES.get(resource, resource.capitalize()))
    return _ODD.get(found, found)


def asked(shape: Shape) -> Taken:
    """Return what a job of the shape asks for at least."""
    nodes = shape.nodes_min
    cpus = max(shape.tasks * shape.cpus_per_task, nodes * shape.min_cpus_per_node)
    memory = (shape.memory_per_cpu_mib or 0) * cpus or (shape.memory_per_node_mib or 0) * nodes
    gres = {f"gres/{name}": count * nodes for name, count in shape.gres}
    amounts = {"cpu": cpus, "mem": memory, "node": nodes, "billing": cpus, **gres}
    return Taken(amounts, shape.time_limit_s)


def held(shares: Iterable[NodeShare], for_s: float) -> Taken:
    """Return what a running job has, for as long as it may still have it."""
    amounts: dict[str, float] = {"cpu": 0, "mem": 0, "node": 0}
    for share in shares:
        amounts["cpu"] += len(share.cpus)
        amounts["mem"] += share.memory_mib
        amounts["node"] += 1
        for name, indices in share.gres.items():
            amounts[f"gres/{name}"] = amounts.get(f"gres/{name}", 0) + len(indices)
    amounts["billing"] = amounts["cpu"]
    return Taken(amounts, for_s)


def ceiling_reason(grip: Grip, shape: Shape) -> str:
    """Return which limit for each job a job of the shape exceeds; "" if none."""
    wanted = asked(shape)
    found = (_exceeded(each, wanted, shape.nodes_max) for each in grip.ceilings)
    return next(filter(None, found), "")


def _exceeded(ceiling: Ceiling, wanted: Taken, nodes_max: int) -> str:
    family, amounts = ceiling.reasons, wanted.amounts
    if wanted.for_s > ceiling.wall_s:
        return _reason(family, "wall")
    for kind, limits, factor in (
        ("job", ceiling.amounts, 1),
        ("node", ceiling.per_node, nodes_max),
    ):
        for name, most in limits.items():
            if amounts.get(name, 0) > most * factor:
                return _reason(family, kind, name)
    for name, most in ceiling.mins.items():
        if _minutes(wanted, name) > most:
            return _reason(family, "job_mins", name)
    for name, fewest in ceiling.least.items():
        if amounts.get(name, 0) < fewest:
            return _reason(family, "least", name)
    return ""


def _minutes(taken: Taken, name: str) -> float:
    amount = taken.amounts.get(name, 0)
    return amount * taken.for_s / 60 if amount else 0.0


class Quotas:
    """The pools as running jobs have left them; a pass takes of them what it starts."""

    def __init__(self, grips: Mapping[tuple[int, str], Grip]) -> None:
        """Look up the grips of shapes by association and quality of service."""
        self._grips = grips
        self._jobs: dict[Hashable, int] = {}
        self._amounts: dict[Hashable, dict[str, float]] = {}
        self._minutes: dict[Hashable, dict[str, float]] = {}

    def copy(self) -> Quotas:
        """Return the same, to be taken from by itself."""
        other = Quotas(self._grips)
        other._jobs = dict(self._jobs)
        other._amounts = {key: dict(amounts) for key, amounts in self._amounts.items()}
        other._minutes = {key: dict(minutes) for key, minutes in self._minutes.items()}
        return other

    def take(self, association: int, qos: str, taken: Taken) -> None:
        """Count what a job under this association and quality takes."""
        grip = self._grips.get((association, qos))
        for pool in grip.pools if grip is not None else ():
            self._jobs[pool.key] = self._jobs.get(pool.key, 0) + 1
            amounts = self._amounts.setdefault(pool.key, {})
            for name in pool.amounts:
                amounts[name] = amounts.get(name, 0) + taken.amounts.get(name, 0)
            minutes = self._minutes.setdefault(pool.key, {})
            for name in pool.run_mins:
                minutes[name] = minutes.get(name, 0) + _minutes(taken, name)

    def start(self, shape: Shape, shares: Sequence[NodeShare]) -> None:
        """Count what a job of the shape takes that starts on these shares."""
        self.take(shape.association, shape.qos, held(shares, shape.time_limit_s))

    def refusal(self, shape: Shape) -> str:
        """Return why a job of the shape may not start now; "" if it may."""
        grip = self._grips.get((shape.association, shape.qos))
        if grip is None:
            return ""
        if reason := ceiling_reason(grip, shape):
            return reason
        wanted = asked(shape)
        for pool in grip.pools:
            if pool.jobs is not None and self._jobs.get(pool.key, 0) >= pool.jobs:
                return _reason(pool.reasons, "jobs")
        for pool in grip.pools:
            if reason := self._pool_reason(pool, wanted):
                return reason
        return ""

    def _pool_reason(self, pool: Pool, wanted: Taken) -> str:
        amounts = self._amounts.get(pool.key, {})
        for name, most in pool.amounts.items():
            if amounts.get(name, 0) + wanted.amounts.get(name, 0) > most:
                return _reason(pool.reasons, "amounts", name)
        minutes = self._minutes.get(pool.key, {})
        for name, most in pool.run_mins.items():
            if minutes.get(name, 0) + _minutes(wanted, name) > most:
                return _reason(pool.reasons, "run_mins", name)
        for name, most in pool.mins.items():
            if pool.spent_mins.get(name, 0) >= most:
                return _reason(pool.reasons, "mins", name)
        return ""
