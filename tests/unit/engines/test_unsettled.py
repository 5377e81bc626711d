"""What becomes of units of which another shepherd has never heard."""

from __future__ import annotations

from stoker.engines.base import Ended, Evidence, Lost, Started, Withdrawn
from stoker.engines.unsettled import Unsettled


def evidence(*queued: str, running: tuple[str, ...] = (), since: float = 5.0) -> Evidence:
    started = {key: Started(key, 7, 7, 1.0) for key in running}
    return Evidence("boot", frozenset(queued), started, (), remembers_since=since)


def met(known: Evidence) -> Unsettled:
    unsettled = Unsettled()
    unsettled.begin(known)
    return unsettled


def test_what_was_handed_in_and_never_heard_of_was_never_started():
    unsettled = met(evidence("1.0.batch"))
    unsettled.hand_in(["2.0.batch"])
    assert unsettled.go_on(evidence("1.0.batch")) == [Withdrawn("2.0.batch")]


def test_what_was_started_and_is_not_known_any_more_is_lost():
    unsettled = met(evidence("1.0.batch"))
    unsettled.note(Started("1.0.batch", 9, 9, 2.0))
    assert unsettled.go_on(evidence()) == [Lost("1.0.batch")]


def test_one_that_remembers_less_may_have_started_it():
    unsettled = met(evidence("1.0.batch"))
    assert unsettled.go_on(evidence(since=6.0)) == [Lost("1.0.batch")]


def test_what_the_next_one_runs_is_unsettled_until_it_has_ended():
    unsettled = met(evidence())
    assert unsettled.go_on(evidence(running=("1.0.batch",))) == []
    assert unsettled.pids() == {7}
    unsettled.note(Ended("1.0.batch", 0, 0, status_known=True, at=3.0))
    assert not unsettled
    unsettled.note(Started("1.0.batch", 7, 7, 1.0))
    assert not unsettled
