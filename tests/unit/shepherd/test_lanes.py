from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from stoker.shepherd.lanes import Lanes
from stoker.shepherd.units import ENDED, QUEUED, RUNNING


def unit(lane: str | None) -> Any:
    return SimpleNamespace(lane=lane, state=QUEUED)


def test_one_of_a_lane_is_ready_until_it_has_left() -> None:
    lanes = Lanes()
    first, second, alone = unit("l"), unit("l"), unit(None)
    for each in (first, second, alone):
        lanes.join(each)
    assert list(lanes.ready) == [first, alone]
    assert lanes.has_followers
    assert lanes.has_line(first)
    assert not lanes.has_line(alone)
    lanes.ready.clear()
    first.state = ENDED
    lanes.leave(first)
    assert list(lanes.ready) == [second]
    assert not lanes.has_followers


def test_of_a_lane_that_is_followed_nobody_is_readied_for_others() -> None:
    lanes = Lanes()
    first, second, third, last = [unit("l") for _ in range(4)]
    for each in (first, second, third):
        lanes.join(each)
    assert lanes.ready.popleft() is first
    lane = lanes.follow("l")
    first.state = RUNNING
    assert lane.front is None
    lanes.leave(first)
    assert lane.front is second
    second.state, third.state = RUNNING, ENDED
    lanes.leave(second)
    assert lane.front is None
    assert not lanes.ready
    lanes.join(last)
    assert lane.front is None, "it stands in a lane of the same name"
    assert list(lanes.ready) == [last]


def test_who_was_withdrawn_is_passed_over() -> None:
    lanes = Lanes()
    units = [unit("l") for _ in range(3)]
    for each in units:
        lanes.join(each)
    units[1].state = ENDED
    lanes.ready.clear()
    lanes.leave(units[0])
    assert list(lanes.ready) == [units[2]]
    assert not lanes.has_work("l")
