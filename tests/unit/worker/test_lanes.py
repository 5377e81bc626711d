"""Lanes: one runs, the next get what it holds from hand to hand, and nobody holds it twice."""

from __future__ import annotations

import pytest

from stoker.core.enums import AllocationState
from stoker.core.models import Allocation, NodeShare
from stoker.worker.lanes import Lanes
from support.machines import waiting_job


@pytest.fixture
def lanes() -> Lanes:
    lanes = Lanes()
    for job_id in (5, 6, 7):
        lanes.join(5, job_id)
    return lanes


def reserved(job_id, at, *, lane=5, state=AllocationState.RESERVED, **more):
    shares = (NodeShare("node1", (0,), 100),)
    allocation = Allocation(job_id, 0, shares, "token", at, lane=lane, state=state)
    return waiting_job(job_id, allocation=allocation, **more)


def test_only_the_first_holds_anything(lanes):
    assert [lanes.is_behind(each) for each in (5, 6, 7, 99)] == [False, True, True, False]


def test_who_leaves_from_the_front_hands_over_to_the_next(lanes):
    assert lanes.leave(5) == 6
    assert lanes.leave(6) == 7
    assert lanes.leave(7) is None
    assert list(lanes.lines()) == []


def test_who_is_taken_back_from_the_middle_hands_over_nothing(lanes):
    assert lanes.leave(6) is None
    assert lanes.leave(5) == 7


def test_who_stands_in_no_lane_leaves_none(lanes):
    assert lanes.leave(99) is None


def test_followers_are_known_of(lanes):
    assert lanes.has_followers
    lanes.leave(6)
    lanes.leave(7)
    assert not lanes.has_followers


def test_after_a_restart_who_runs_is_in_front_whoever_was_reserved_first_by_number():
    lanes = Lanes()
    lanes.load(
        [
            reserved(5, 100.0, priority=1),
            reserved(6, 100.0, priority=9),
            reserved(7, 100.0, state=AllocationState.ALLOCATED),
            reserved(8, 99.0),
            reserved(9, 1.0, lane=0),
            waiting_job(10),
        ]
    )
    assert dict(lanes.lines()) == {5: [7, 8, 6, 5]}


def test_forgotten_lanes_are_gone(lanes):
    lanes.clear()
    assert not lanes.has_followers
    assert not lanes.is_behind(6)
