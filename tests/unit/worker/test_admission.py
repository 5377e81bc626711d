"""Defaults, limits, and what is refused at once: the recorded cluster's answers."""

from __future__ import annotations

import pytest

from stoker.core.enums import Hold, Reason
from stoker.core.errors import Infeasible, InvalidSpec
from stoker.core.models import FOREVER, JobSpec, Node, Partition
from stoker.core.settings import Settings
from stoker.scheduling.placement import place
from stoker.scheduling.snapshot import FreeNode
from stoker.worker.admission import Admission
from support.machines import machine, waiting_job

BOTH = ("node1", "node2")
PARTITIONS = (
    Partition(name="debug", nodes=BOTH, is_default=True),
    Partition(name="short", nodes=BOTH, max_time_s=600, default_time_s=300, priority_tier=10),
    Partition(name="long", nodes=("node1",), max_time_s=7 * 86_400, default_time_s=86_400),
    Partition(name="narrow", nodes=BOTH, max_nodes=1),
    Partition(name="down", nodes=BOTH, state="DOWN"),
    Partition(name="drain", nodes=BOTH, state="DRAIN"),
    Partition(name="inactive", nodes=BOTH, state="INACTIVE"),
)
GPU_NODES = tuple(Node(name, index, 8, 16_000, gres={"gpu": 2}) for index, name in enumerate(BOTH))


@pytest.fixture
def admission() -> Admission:
    return Admission(machine(*GPU_NODES, partitions=PARTITIONS), Settings())


def asking(partition="debug", **spec):
    return waiting_job(spec=spec, partition=partition)


@pytest.mark.parametrize(
    "spec",
    [
        {"cpus_per_task": 9},
        {"mem_per_node_mib": 16_001},
        {"mem_per_cpu_mib": 20_000},
        {"min_nodes": 1, "max_nodes": 1, "ntasks": 9},
        {"min_nodes": 1, "max_nodes": 1, "ntasks_per_node": 9},
        {"exclude": "node[1-2]"},
        {"gres": "gpu:3"},
        {"gres": "fpga:1"},
        {"min_cpus_per_node": 9},
    ],
)
def test_what_no_single_node_could_give_is_refused_at_once_unless_held(admission, spec):
    with pytest.raises(Infeasible, match="Requested node configuration is not available"):
        admission.check(asking(**spec))
    held = asking(**spec)
    held.hold = Hold.USER
    admission.check(held)


@pytest.mark.parametrize(
    ("spec", "partition", "reason"),
    [
        ({"min_nodes": 3}, "debug", Reason.PARTITION_CONFIG),
        ({"ntasks": 17}, "debug", Reason.PARTITION_CONFIG),
        ({"min_nodes": 2}, "long", Reason.PARTITION_NODE_LIMIT),
        ({"min_nodes": 2}, "narrow", Reason.PARTITION_NODE_LIMIT),
        ({}, "down", Reason.PARTITION_DOWN),
        ({}, "no-longer-there", Reason.PARTITION_INACTIVE),
    ],
)
def test_what_only_the_partition_cannot_give_is_accepted_and_waits(
    admission, spec, partition, reason
):
    job = asking(partition, **spec)
    job.time_limit_s = 60.0
    admission.check(job)
    assert admission.obstacle(job) is reason


@pytest.mark.parametrize(
    "spec",
    [{}, {"mem_per_node_mib": 16_000}, {"mem_per_node_mib": 0}, {"ntasks": 16}, {"min_nodes": 2}],
)
def test_what_fits_is_accepted_and_nothing_is_in_its_way(admission, spec):
    admission.check(asking(**spec))
    assert admission.obstacle(asking(**spec)) is None


@pytest.mark.parametrize("state", ["drain", "inactive"])
def test_a_partition_that_is_drained_or_inactive_takes_no_jobs(admission, state):
    with pytest.raises(InvalidSpec, match=f"partition {state} takes no jobs") as caught:
        admission.check(asking(state))
    assert caught.value.code == "ESLURM_PARTITION_NOT_AVAIL"


def test_jobs_that_wait_in_a_drained_partition_go_on(admission):
    assert admission.obstacle(asking("drain")) is None


@pytest.mark.parametrize("spec", [{"node_list": "node9"}, {"exclude": "node[2-3]"}])
def test_a_node_that_is_not_there_is_refused_by_name_even_if_held(admission, spec):
    job = asking(**spec)
    job.hold = Hold.USER
    with pytest.raises(InvalidSpec, match="invalid node name specified: node") as caught:
        admission.check(job)
    assert caught.value.code == "ESLURM_INVALID_NODE_NAME"


def test_nodes_outside_the_partition_are_refused(admission):
    with pytest.raises(InvalidSpec) as caught:
        admission.check(asking("long", node_list="node2"))
    assert caught.value.code == "ESLURM_REQUESTED_NODES_NOT_IN_PARTITION"


def test_a_listed_node_is_required_and_others_may_come_to_it(admission):
    one = admission.shape(asking(node_list="node1", min_nodes=2))
    assert (one.nodes, one.required, one.nodes_min) == (None, ("node1",), 2)
    both = admission.shape(asking(node_list="node[1-2]"))
    assert (both.required, both.nodes_min) == (("node1", "node2"), 2)


def test_excluded_nodes_and_those_of_other_partitions_are_not_allowed(admission):
    assert admission.shape(asking(exclude="node1")).nodes == ("node2",)
    assert admission.shape(asking("long")).nodes == ("node1",)
    assert admission.shape(asking("long", exclude="node1")).nodes == ()


def test_a_job_that_excludes_every_node_never_runs(admission):
    assert admission.obstacle(asking(exclude="node[1-2]")) is Reason.PARTITION_CONFIG


@pytest.mark.parametrize(
    ("partition", "asked", "expected"),
    [
        ("debug", None, None),
        ("debug", 60.0, 60.0),
        ("debug", FOREVER, None),
        ("short", None, 300),
        ("short", 1200.0, 1200.0),
        ("long", None, 86_400),
    ],
)
def test_the_time_limit_is_what_was_asked_or_the_partitions_default(
    admission, partition, asked, expected
):
    spec = JobSpec(name="work", time_limit_s=asked)
    assert admission.time_limit_s(spec, admission.partitions[partition]) == expected


@pytest.mark.parametrize("limit", [601.0, None])
def test_more_time_than_the_partition_allows_waits_with_that_reason(admission, limit):
    job = asking("short")
    job.time_limit_s = limit
    assert admission.obstacle(job) is Reason.PARTITION_TIME_LIMIT
    job.time_limit_s = 600.0
    assert admission.obstacle(job) is None


def test_memory_that_was_not_asked_for_is_a_share_for_each_cpu(admission):
    shape = admission.shape(asking())
    assert (shape.memory_per_node_mib, shape.memory_per_cpu_mib) == (None, 1000)
    stated = admission.shape(asking(mem_per_node_mib=500))
    assert (stated.memory_per_node_mib, stated.memory_per_cpu_mib) == (500, None)


def test_all_memory_of_the_node_is_zero_and_no_default(admission):
    assert admission.shape(asking(mem_per_node_mib=0)).memory_per_node_mib == 0


def test_the_partition_is_the_one_named_the_first_that_exists_or_the_default(admission):
    def name_of(text):
        return admission.partition_of(JobSpec(name="work", partition=text)).name

    assert [name_of(text) for text in ("", "long", "nosuch,short")] == ["debug", "long", "short"]
    with pytest.raises(InvalidSpec, match="nosuch"):
        name_of("nosuch")


def several(text, limit=None, **more):
    return waiting_job(spec={"partition": text, **more}, partition="", time_limit_s=limit)


@pytest.mark.parametrize(
    ("text", "limit", "chosen"),
    [
        ("debug,short", None, "debug"),
        ("debug,short", 60.0, "short"),
        ("short,long", 3600.0, "long"),
        ("drain,inactive,long", 60.0, "long"),
        ("long,debug", 60.0, "long"),
        ("long,short", FOREVER, "short"),
        ("nosuch,short,", 60.0, "short"),
    ],
)
def test_of_several_partitions_a_job_waits_in_the_highest_that_takes_it(
    admission, text, limit, chosen
):
    """That of a higher tier is tried first; if none takes it, the reason is of that one."""
    job = several(text, limit)
    admission.choose_partition(job)
    assert job.partition == chosen
    assert job.shown_partition == text
    job.start_at = 5.0
    assert job.shown_partition == chosen


def test_a_partition_that_closes_gives_its_jobs_to_the_others_that_they_name(admission):
    job = several("debug,short", 60.0)
    admission.change_partition("short", {"state": "DOWN"})
    admission.choose_partition(job)
    assert job.partition == "debug"
    admission.change_partition("short", {"state": "UP"})
    admission.choose_partition(job)
    assert job.partition == "short"


def test_a_job_of_partitions_that_are_gone_since_a_restart_waits_where_it_was(admission):
    job = several("gone,lost")
    job.partition = "lost"
    admission.choose_partition(job)
    assert (job.partition, admission.obstacle(job)) == ("lost", Reason.PARTITION_INACTIVE)


def test_a_list_with_a_partition_that_is_not_there_is_refused_by_its_name(admission):
    admission.check_partitions(JobSpec(name="work", partition="short,"))
    with pytest.raises(InvalidSpec, match="nosuch"):
        admission.check_partitions(JobSpec(name="work", partition="short,nosuch"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("debug,short", 600), ("short,debug", 300), ("long,debug", 86_400), ("debug,narrow", None)],
)
def test_the_limit_in_several_partitions_is_the_firsts_default_or_the_least_maximum(
    admission, text, expected
):
    spec = JobSpec(name="work", partition=text)
    assert admission.time_limit_s(spec, admission.partition_of(spec)) == expected


def test_equal_requests_share_one_shape(admission):
    first, second = asking(ntasks=2), asking(ntasks=2)
    first.spec_digest = second.spec_digest = b"digest"
    assert admission.shape(first) is admission.shape(second)
    second.time_limit_s = 60.0
    assert admission.shape(second).time_limit_s == 60.0


def test_jobs_without_a_digest_are_not_taken_for_one_another(admission):
    assert admission.shape(asking(ntasks=2)).tasks == 2
    assert admission.shape(asking(ntasks=3)).tasks == 3


def test_a_job_of_no_stated_nodes_may_use_as_many_as_it_needs(admission):
    free = [FreeNode(name, tuple(range(8)), 8, 16_000, 16_000, {}, accepts=True) for name in BOTH]
    shares = place(admission.shape(asking(ntasks=12)), free)
    assert shares is not None
    assert [len(share.cpus) for share in shares] == [8, 4]
