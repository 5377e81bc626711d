"""Where a step's tasks run: on which nodes, in which order, on which CPUs."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.core.enums import JobState
from stoker.core.models import NodeShare, Step
from stoker.worker.requests import StepRequest
from stoker.worker.stepplaces import place_tasks

TWO_NODES = (NodeShare("node1", (0, 1, 2), 100), NodeShare("node2", (4,), 100))


def request(**fields):
    return StepRequest(name="a", argv=("a",), environment=(), work_dir="/", **fields)


def step_at(places, *, overlaps=False):
    return Step(
        job_id=1,
        attempt=0,
        step_id="0",
        name="a",
        state=JobState.RUNNING,
        start_at=1.0,
        ntasks=sum(places.tasks_per_node),
        nodes=places.nodes,
        tasks_per_node=places.tasks_per_node,
        cores=places.cores,
        layout=places.layout,
        overlaps=overlaps,
    )


def nodes_by_task(places):
    step = step_at(places)
    return [step.node_of(task) for task in range(step.ntasks)]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, ["node1", "node1", "node1", "node2"]),
        ({"cyclic": True}, ["node1", "node2", "node1", "node1"]),
        ({"plane": 1}, ["node1", "node2", "node1", "node2"]),
        ({"plane": 2}, ["node1", "node1", "node2", "node2"]),
        ({"plane": 9}, ["node1", "node1", "node1", "node1"]),
    ],
)
def test_tasks_are_dealt_out_as_the_distribution_says(how, expected):
    assert nodes_by_task(place_tasks(TWO_NODES, request(ntasks=4, nodes=2, **how), [])) == expected


@pytest.mark.parametrize(
    ("kept", "wanted", "fits"), [(40, 60, True), (40, 61, False), (100, 0, True), (0, 100, True)]
)
def test_an_exact_step_waits_for_memory_that_another_keeps(kept, wanted, fits):
    how = {"ntasks": 1, "nodes": 1, "exact": True, "node_names": ("node1",)}
    first = step_at(place_tasks(TWO_NODES, request(**how), []))
    first.memory_mib = kept
    asked = request(memory_mib=wanted, **how)
    assert (place_tasks(TWO_NODES, asked, [first]) is not None) is fits
    first.overlaps = True
    assert place_tasks(TWO_NODES, asked, [first]) is not None


def test_where_no_memory_is_counted_no_step_waits_for_any():
    shares = [msgspec.structs.replace(share, memory_mib=0) for share in TWO_NODES]
    assert place_tasks(shares, request(memory_mib=100), []) is not None


def test_an_exact_step_is_confined_to_cpus_that_no_other_step_keeps():
    first = place_tasks(TWO_NODES, request(ntasks=2, nodes=1, exact=True), [])
    assert first.cores == ((0, 1),)
    second = place_tasks(TWO_NODES, request(ntasks=1, nodes=1, exact=True), [step_at(first)])
    assert second.cores == ((2,),)


def test_who_overlaps_uses_cpus_and_keeps_none():
    sharing = place_tasks(TWO_NODES, request(overlap=True, exact=True), [])
    assert sharing.cores == ((0,),)
    whole = place_tasks(TWO_NODES, request(ntasks=2), [step_at(sharing, overlaps=True)])
    assert whole.cores == ((0, 1, 2), (4,))


def test_a_step_that_wants_all_cpus_waits_for_one_that_keeps_some():
    some = step_at(place_tasks(TWO_NODES, request(nodes=1, exact=True), []))
    assert place_tasks(TWO_NODES, request(nodes=2, ntasks=2), [some]) is None


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    ntasks=st.integers(1, 20),
    cpus_per_task=st.integers(1, 3),
    plane=st.integers(0, 7),
    exact=st.booleans(),
    cyclic=st.booleans(),
)
def test_every_task_has_a_node_and_no_step_more_than_there_is(
    sizes, ntasks, cpus_per_task, plane, exact, cyclic
):
    shares = [NodeShare(f"n{at}", tuple(range(size)), 1) for at, size in enumerate(sizes)]
    ntasks = min(ntasks, sum(sizes) // cpus_per_task)
    if not ntasks:
        return
    wanted = request(
        ntasks=ntasks, cpus_per_task=cpus_per_task, plane=plane, exact=exact, cyclic=cyclic
    )
    places = place_tasks(shares, wanted, [])
    if places is None:
        return
    step = step_at(places)
    assert sum(places.tasks_per_node) == ntasks
    assert sorted(task for at in range(len(step.nodes)) for task in step.tasks_on(at)) == list(
        range(ntasks)
    )
    held = {share.node: set(share.cpus) for share in shares}
    for node, cores in zip(places.nodes, places.cores, strict=True):
        assert set(cores) <= held[node]
