"""Limits of the account book: what a pass starts, and why the others wait."""

from __future__ import annotations

import msgspec
import pytest

from stoker.core.models import FOREVER, NodeShare
from stoker.scheduling.forecast import forecast
from stoker.scheduling.plan import Plan, plan
from stoker.scheduling.quotas import Ceiling, Grip, Pool, Quotas, held
from stoker.scheduling.snapshot import Queue, Shape, Snapshot, Waiting
from support.machines import free_node, shape

HIGH = (7, "high")


def of(grip: tuple[int, str] = HIGH, **wanted: object) -> Shape:
    return msgspec.structs.replace(shape(**wanted), association=grip[0], qos=grip[1])


def queue(first_id: int, count: int, kind: Shape) -> Queue:
    jobs = [Waiting(job_id, (job_id,), 1) for job_id in range(first_id, first_id + count)]
    return Queue(kind, jobs)


def decide(quotas: Quotas, *queues: Queue, cpus: int = 16) -> Plan:
    return plan(Snapshot(queues, (), (free_node(cpus),), quotas), 0.0)


def quotas_of(*pools: Pool, ceilings: tuple[Ceiling, ...] = ()) -> Quotas:
    return Quotas({HIGH: Grip(ceilings, pools)})


def test_no_more_start_than_a_pool_lets_run():
    kind = of()
    decided = decide(quotas_of(Pool("alice", "assoc", jobs=2)), queue(1, 5, kind))
    assert [start.job_id for start in decided.starts] == [1, 2]
    assert decided.reason(kind, 3) == "AssocMaxJobsLimit"


def test_what_runs_counts_against_the_pool():
    quotas = quotas_of(Pool("u", "qos-user", amounts={"cpu": 4}))
    quotas.take(*HIGH, held([NodeShare("node1", (0, 1, 2), 100)], FOREVER))
    wide, narrow = of(tasks=2), of(tasks=1)
    decided = decide(quotas, queue(1, 1, wide), queue(2, 2, narrow))
    assert [start.job_id for start in decided.starts] == [2]
    assert decided.reason(wide, 1) == "QOSMaxCpuPerUserLimit"
    assert decided.reason(narrow, 3) == "QOSMaxCpuPerUserLimit"


def test_who_is_at_a_limit_keeps_nobody_else_from_starting():
    limited, free = of(tasks=8), of((0, ""), tasks=8)
    quotas = quotas_of(Pool("a", "assoc-group", jobs=0))
    decided = decide(quotas, queue(1, 3, limited), queue(4, 2, free))
    assert [start.job_id for start in decided.starts] == [4, 5]
    assert decided.reason(limited, 1) == "AssocGrpJobsLimit"


def test_a_plan_takes_nothing_of_the_quotas_it_was_asked_with():
    quotas = quotas_of(Pool("alice", "assoc", jobs=1))
    first, second = (decide(quotas, queue(1, 3, of())) for _ in range(2))
    assert first.starts == second.starts


def test_nobody_foretells_when_a_limit_will_free():
    quotas = quotas_of(Pool("alice", "assoc", jobs=0))
    snapshot = Snapshot((queue(1, 2, of()),), (), (free_node(16),), quotas)
    assert forecast(snapshot, 0.0) == {}


@pytest.mark.parametrize(
    ("ceiling", "reason"),
    [
        (Ceiling("qos", wall_s=3600), "QOSMaxWallDurationPerJobLimit"),
        (Ceiling("assoc", wall_s=3600), "AssocMaxWallDurationPerJobLimit"),
        (Ceiling("assoc", amounts={"cpu": 3}), "AssocMaxCpuPerJobLimit"),
        (Ceiling("qos", amounts={"mem": 300}), "QOSMaxMemoryPerJob"),
        (Ceiling("qos", amounts={"gres/gpu": 1}), "QOSMaxGRESPerJob"),
        (Ceiling("assoc", per_node={"cpu": 3}), "AssocMaxCpuPerNode"),
        (Ceiling("assoc", mins={"cpu": 400}), "AssocMaxCpuMinutesPerJobLimit"),
        (Ceiling("qos", least={"cpu": 5}), "QOSMinCpuNotSatisfied"),
    ],
)
def test_what_a_job_may_not_ask_for_is_named_as_squeue_does(ceiling: Ceiling, reason: str):
    kind = of(tasks=4, memory_per_cpu_mib=100, gres=(("gpu", 2),), time_limit_s=7200.0)
    assert quotas_of(ceilings=(ceiling,)).refusal(kind) == reason
    assert quotas_of(ceilings=(Ceiling("qos"),)).refusal(kind) == ""


@pytest.mark.parametrize(
    ("pool", "reason"),
    [
        (Pool("q", "qos-group", jobs=0), "QOSGrpJobsLimit"),
        (Pool("q", "qos-group", amounts={"node": 0}), "QOSGrpNodeLimit"),
        (Pool("q", "qos-user", jobs=0), "QOSMaxJobsPerUserLimit"),
        (Pool("q", "qos-account", jobs=0), "MaxJobsPerAccount"),
        (Pool("q", "qos-account", amounts={"cpu": 1}), "MaxCpuPerAccount"),
        (Pool("a", "assoc-group", amounts={"cpu": 1}), "AssocGrpCpuLimit"),
        (Pool("a", "assoc-group", run_mins={"cpu": 60}), "AssocGrpCPURunMinutesLimit"),
        (
            Pool("a", "assoc-group", mins={"cpu": 60}, spent_mins={"cpu": 61.0}),
            "AssocGrpCPUMinutesLimit",
        ),
    ],
)
def test_what_a_pool_does_not_give_is_named_as_squeue_does(pool: Pool, reason: str):
    kind = of(tasks=2, time_limit_s=3600.0)
    assert quotas_of(pool).refusal(kind) == reason
